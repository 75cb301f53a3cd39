//! Delta queries: everything once, then what changed since.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use serde_json::{Map, Value, json};

use crate::{
    Kind,
    call::{Answer, Call},
    changes::{Edit, What},
    collection::Collection,
    data::mix,
    refusal,
    wanted::Wanted,
};

/// Objects on a page; `$top` is not heard.
const PAGE: usize = 200;
/// Links of a relation in one appearance of an object.
const SLICE: usize = 500;
/// Links on a page, so that a page of groups stays small enough to send.
const LINKS: usize = 10_000;
/// Seconds that a token lives.
const LIFE: i64 = 7 * 86_400;
/// Entries of the log that a page of a spoiled round goes back.
const OVERLAP: usize = 3;

/// What a token holds.
#[derive(Debug, Clone, PartialEq)]
struct Round {
    collection: String,
    /// Which directory's log it counts in.
    directory: u64,
    made: i64,
    /// Whether it lists everything.
    whole: bool,
    /// The next place: an index where everything is listed, else an entry of the log.
    at: usize,
    /// The next place of a relation, where an object has more than fit in one appearance.
    slice: usize,
    /// The entry of the log at which the round ends, and the next one begins.
    until: usize,
    select: Option<String>,
}

impl Round {
    fn encode(&self) -> String {
        let Self {
            collection,
            directory,
            made,
            whole,
            at,
            slice,
            until,
            select,
        } = self;
        // Nothing and an empty list differ.
        let select = select
            .as_ref()
            .map_or_else(String::new, |s| format!("={s}"));
        let text = format!(
            "{collection}|{directory}|{made}|{}|{at}|{slice}|{until}|{select}",
            u8::from(*whole)
        );
        data_encoding::BASE64URL_NOPAD.encode(text.as_bytes())
    }

    fn decode(token: &str) -> Option<Self> {
        let bytes = data_encoding::BASE64URL_NOPAD
            .decode(token.as_bytes())
            .ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let parts: Vec<&str> = text.splitn(8, '|').collect();
        let [collection, directory, made, whole, at, slice, until, select] = parts.as_slice()
        else {
            return None;
        };
        Some(Self {
            collection: (*collection).to_owned(),
            directory: directory.parse().ok()?,
            made: made.parse().ok()?,
            whole: *whole == "1",
            at: at.parse().ok()?,
            slice: slice.parse().ok()?,
            until: until.parse().ok()?,
            select: select.strip_prefix('=').map(str::to_owned),
        })
    }
}

/// `GET /{collection}/delta`.
pub(crate) fn delta<C: Collection>(call: &Call<'_>) -> Answer {
    let now = call.state.now();
    let log = &call.changes.log;
    let directory = mix(call.directory, 0, 0);
    let token = call.query("$skiptoken").or(call.query("$deltatoken"));
    let mut round = match token {
        None | Some("" | "latest") => {
            refuse_options(call)?;
            Round {
                collection: C::NAME.to_owned(),
                directory,
                made: now,
                whole: token != Some("latest"),
                at: if token == Some("latest") {
                    log.len()
                } else {
                    0
                },
                slice: 0,
                until: log.len(),
                select: call.query("$select").map(str::to_owned),
            }
        }
        Some(token) => {
            let round = Round::decode(token).filter(|r| r.collection == C::NAME);
            if round.as_ref().is_some_and(|r| r.directory != directory) {
                call.state.strayed();
            }
            round
                .filter(|r| r.directory == directory)
                .ok_or_else(|| refusal::bad_request("Badly formed token."))?
        }
    };
    // A simulator that was started anew knows no changes of before either.
    if now - round.made > LIFE || round.until > log.len() {
        return Err(refusal::error(
            400,
            "syncStateNotFound",
            "The sync state generation is not found; it is too old or not of this service.",
        ));
    }
    if call.query("$skiptoken").is_none() && !round.whole {
        round.until = log.len();
    }
    let pages = Pages::<C>::new(call, &round);
    let (value, next) = if round.whole {
        pages.everything(&round)
    } else {
        pages.changed(&round)
    };
    Ok(answer::<C>(call, &round, value, next))
}

fn refuse_options(call: &Call<'_>) -> Result<(), HttpResponse> {
    for name in ["$filter", "$expand", "$orderby", "$search"] {
        if call.query(name).is_some() {
            return Err(refusal::error(
                400,
                "Request_UnsupportedQuery",
                &format!("The query option {name} is not supported by delta queries here."),
            ));
        }
    }
    Ok(())
}

/// The page, with the link to the next one or to the next round.
fn answer<C: Collection>(
    call: &Call<'_>,
    round: &Round,
    value: Vec<Value>,
    next: Option<(usize, usize)>,
) -> HttpResponse {
    let link = |name: &str, round: &Round| {
        let (service, token) = (call.ask.service(), round.encode());
        format!("{service}/{}/delta?${name}={token}", C::NAME)
    };
    let page = next.map(|(at, slice)| {
        let round = Round {
            at,
            slice,
            ..round.clone()
        };
        link("skiptoken", &round)
    });
    let mut body = call.body(C::NAME);
    match call.link(page) {
        Some(page) => body.insert("@odata.nextLink".into(), json!(page)),
        None => {
            let next = Round {
                made: call.state.now(),
                whole: false,
                at: round.until,
                slice: 0,
                ..round.clone()
            };
            let own = link("deltatoken", &next);
            let told = match &call.fault {
                Some(Kind::DeltaLink { to }) => to,
                _ => &own,
            };
            body.insert("@odata.deltaLink".into(), json!(told))
        }
    };
    body.insert("value".into(), Value::Array(value));
    call.send(&Value::Object(body))
}

/// Objects of a page, and the place and slice of the next page if there is one.
type Page = (Vec<Value>, Option<(usize, usize)>);

struct Pages<'c, C> {
    call: &'c Call<'c>,
    wanted: Wanted,
    /// Relations that were asked for.
    links: Vec<&'static str>,
    collection: std::marker::PhantomData<C>,
}

impl<'c, C: Collection> Pages<'c, C> {
    fn new(call: &'c Call<'c>, round: &Round) -> Self {
        let named = Wanted::of(round.select.as_deref(), None);
        let links = C::LINKS
            .iter()
            .filter(|(name, always)| match round.select {
                Some(_) => named.has(name),
                None => *always,
            })
            .map(|(name, _)| *name)
            .collect();
        Self {
            call,
            wanted: C::wanted(round.select.as_deref()).with("id"),
            links,
            collection: std::marker::PhantomData,
        }
    }

    /// An object with its properties; those never set are left out, not null.
    fn object(&self, index: usize) -> Map<String, Value> {
        let mut object = C::object(self.call, index, &self.wanted);
        object.retain(|_, value| !value.is_null());
        object
    }

    fn everything(&self, round: &Round) -> Page {
        let end = C::end(self.call);
        let next = |from: usize| (from..end).find(|i| C::exists(self.call, *i));
        let (mut value, mut links, mut slice) = (Vec::new(), 0, round.slice);
        if self.call.fault == Some(Kind::Repeat) && slice == 0 {
            let before = (0..round.at).rev().filter(|i| C::exists(self.call, *i));
            value.extend(before.take(OVERLAP).map(|i| Value::Object(self.object(i))));
        }
        let mut place = next(round.at);
        while let Some(index) = place {
            if value.len() >= PAGE || links >= LINKS {
                return (value, Some((index, 0)));
            }
            let mut object = self.object(index);
            let mut rest = false;
            for relation in &self.links {
                let all = C::link_end(self.call, index, relation);
                let stop = all.min(slice + SLICE);
                rest |= stop < all;
                let found: Vec<Value> = (slice..stop)
                    .filter_map(|place| C::link(self.call, index, relation, place))
                    .map(|user| self.link(user, true))
                    .collect();
                links += found.len();
                if !found.is_empty() {
                    object.insert(format!("{relation}@delta"), json!(found));
                }
            }
            value.push(Value::Object(object));
            if rest {
                // The rest follows on the next page.
                return (value, Some((index, slice + SLICE)));
            }
            slice = 0;
            place = next(index + 1);
        }
        (value, None)
    }

    fn changed(&self, round: &Round) -> Page {
        let log = &self.call.changes.log;
        let mut at = round.at;
        if self.call.fault == Some(Kind::Repeat) {
            at = at.saturating_sub(OVERLAP);
        }
        let mut objects: BTreeMap<usize, Vec<(&str, usize)>> = BTreeMap::new();
        let mut links = 0;
        while at < round.until {
            let edit = log[at];
            if self.wakes(&edit) {
                if objects.len() == PAGE && !objects.contains_key(&edit.index) || links == LINKS {
                    break;
                }
                let linked = objects.entry(edit.index).or_default();
                if let What::Link(relation, user) = edit.what
                    && !linked.contains(&(relation, user))
                {
                    if linked.len() == SLICE {
                        break;
                    }
                    linked.push((relation, user));
                    links += 1;
                }
            }
            at += 1;
        }
        let value = objects
            .iter()
            .map(|(index, linked)| self.changed_object(*index, linked))
            .collect();
        let more = log[at..round.until].iter().any(|edit| self.wakes(edit));
        (value, more.then_some((at, 0)))
    }

    fn changed_object(&self, index: usize, linked: &[(&str, usize)]) -> Value {
        if !C::exists(self.call, index) {
            let id = C::id(self.call, index);
            return json!({ "id": id, "@removed": { "reason": "changed" } });
        }
        let mut object = self.object(index);
        for relation in &self.links {
            let found: Vec<Value> = linked
                .iter()
                .filter(|(name, _)| name == relation)
                .map(|(_, user)| self.link(*user, C::is_linked(self.call, index, relation, *user)))
                .collect();
            if !found.is_empty() {
                object.insert(format!("{relation}@delta"), json!(found));
            }
        }
        Value::Object(object)
    }

    /// A user as a relation shows them, who is in it or left.
    fn link(&self, user: usize, linked: bool) -> Value {
        let id = crate::users::id(self.call.directory, user);
        let mut link = json!({ "@odata.type": "#microsoft.graph.user", "id": id });
        if !linked {
            link["@removed"] = json!({ "reason": "deleted" });
        }
        link
    }

    /// `$select` also says which changes are worth telling.
    fn wakes(&self, edit: &Edit) -> bool {
        edit.class == C::CLASS
            && match edit.what {
                What::Existence => true,
                What::Properties(names) => names.iter().any(|name| self.wanted.has(name)),
                What::Link(relation, _) => self.links.contains(&relation),
            }
    }
}
