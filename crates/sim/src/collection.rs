//! Objects of one kind, for lists, single reads and delta queries alike.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    call::{Answer, Call},
    changes::Class,
    refusal::not_found,
    wanted::Wanted,
};

/// Objects of one kind in a directory, each known by its index: computed when asked for.
pub(crate) trait Collection {
    /// The name in paths and contexts.
    const NAME: &'static str;
    const CLASS: Class;
    /// What comes without `$select`, where that is not everything.
    const DEFAULTS: Option<&'static [&'static str]> = None;

    /// Indexes run below this; some may be gone.
    fn end(call: &Call<'_>) -> usize;
    fn exists(call: &Call<'_>, index: usize) -> bool;
    fn id(call: &Call<'_>, index: usize) -> Uuid;
    /// The index of an id, also where the object is gone.
    fn index(call: &Call<'_>, id: &str) -> Option<usize>;
    fn object(call: &Call<'_>, index: usize, wanted: &Wanted) -> Map<String, Value>;

    /// Relations to users that delta queries follow, and whether they come without `$select`.
    const LINKS: &'static [(&'static str, bool)] = &[];

    /// Places of a relation run below this.
    fn link_end(_: &Call<'_>, _index: usize, _relation: &str) -> usize {
        0
    }

    /// The user at a place of a relation, unless they left.
    fn link(_: &Call<'_>, _index: usize, _relation: &str, _place: usize) -> Option<usize> {
        None
    }

    fn is_linked(_: &Call<'_>, _index: usize, _relation: &str, _user: usize) -> bool {
        false
    }

    fn wanted(select: Option<&str>) -> Wanted {
        Wanted::of(select, Self::DEFAULTS)
    }
}

/// `GET /{collection}`.
pub(crate) fn list<C: Collection>(call: &Call<'_>) -> Answer {
    let wanted = C::wanted(call.query("$select"));
    call.page_where(
        C::NAME,
        C::end(call),
        (100, 999),
        |i| C::exists(call, i),
        |i| Value::Object(C::object(call, i, &wanted)),
    )
}

/// `GET /{collection}/{id}`.
pub(crate) fn one<C: Collection>(call: &Call<'_>) -> Answer {
    let index = find::<C>(call)?;
    let wanted = C::wanted(call.query("$select"));
    Ok(call.send(&Value::Object(C::object(call, index, &wanted))))
}

/// The index of the object that the path names.
pub(crate) fn find<C: Collection>(call: &Call<'_>) -> Result<usize, actix_web::HttpResponse> {
    let index = C::index(call, &call.id);
    if index.is_none() {
        call.state.strayed();
    }
    index
        .filter(|index| C::exists(call, *index))
        .ok_or_else(|| not_found(&call.id))
}
