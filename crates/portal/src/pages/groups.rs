//! Groups of a company's directory and who is in them.

use actix_web::{HttpRequest, web};
use askama::Template;
use model::{
    CompanyId, GroupMember, RunKind, Window,
    directory::{self, GroupWithCount},
    inventory::{GroupRow, Object, Snapshot},
};
use report::csv as sheets;
use serde::Deserialize;

use super::{
    companies::Head,
    objects::{Seen, history},
};
use crate::{
    Portal, csv_file,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, PAGE_SIZE, Page, Pager, filters, html, query},
};

#[derive(Template)]
#[template(path = "groups/index.html")]
struct Index {
    page: Page,
    head: Head,
    rows: Vec<GroupWithCount>,
    search: String,
    kind: String,
    pager: Pager,
}

impl Index {
    /// The file of what is shown, with the same filters.
    fn csv_link(&self) -> String {
        let pairs = [("q", self.search.as_str()), ("kind", &self.kind)];
        format!(
            "/companies/{}/groups.csv{}",
            self.head.company.id,
            query(&pairs)
        )
    }
}

#[derive(Template)]
#[template(path = "groups/show.html")]
struct Show {
    page: Page,
    head: Head,
    group: GroupWithCount,
    members: Vec<GroupMember>,
    search: String,
    pager: Pager,
    history: Vec<Seen>,
}

impl Show {
    fn csv_link(&self) -> String {
        let (company, group) = (self.head.company.id, &self.group.group.id);
        let pairs = [("q", self.search.as_str())];
        format!(
            "/companies/{company}/groups/{group}/members.csv{}",
            query(&pairs)
        )
    }
}

/// Kinds of groups: the word in the address, and the label.
pub(crate) const KINDS: &[(&str, &str)] = &[
    ("microsoft365", "Microsoft 365"),
    ("security", "Security"),
    ("mail_enabled_security", "Mail-enabled security"),
    ("distribution", "Distribution"),
];

/// The label of a kind, and "dynamic" where a rule decides membership.
fn kind_label(group: &model::Group) -> String {
    let label = KINDS
        .iter()
        .find(|(word, _)| *word == group.kind)
        .map_or("Unknown", |(_, label)| label);
    if group.membership_rule.is_some() {
        format!("{label}, dynamic")
    } else {
        label.to_owned()
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    page: u64,
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CompanyId>,
    list: web::Query<ListQuery>,
) -> Answer {
    let head = Head::load(&principal, *id, "groups").await?;
    let title = format!("Groups of {}", head.company.name);
    let page = head.frame(&request, &portal, &principal, title).await?;
    let kind = KINDS.iter().map(|k| k.0).find(|k| *k == list.kind);
    let window = Window::page(list.page.max(1), PAGE_SIZE);
    let found = directory::groups(&principal.scope, *id, &list.q, kind, window).await?;
    let pager = Pager::new(list.page, found.rows.len(), found.total, |n| {
        let pairs = [
            ("q", list.q.as_str()),
            ("kind", &list.kind),
            ("page", &n.to_string()),
        ];
        format!("/companies/{id}/groups{}", query(&pairs))
    });
    html(&Index {
        page,
        head,
        rows: found.rows,
        search: list.q.clone(),
        kind: list.kind.clone(),
        pager,
    })
}

/// Exactly what is filtered, as a file.
pub(crate) async fn csv(
    principal: Signed,
    id: web::Path<CompanyId>,
    list: web::Query<ListQuery>,
) -> Answer {
    let company = model::company::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let (id, list) = (*id, list.into_inner());
    let kind = KINDS.iter().map(|k| k.0).find(|k| *k == list.kind);
    // One snapshot for the whole file.
    let seen = Snapshot::of_company(&principal.scope, id, RunKind::Directory).await?;
    let read = move |window| {
        let (principal, seen, search) = (principal.clone(), seen.clone(), list.q.clone());
        async move { directory::groups_in(&principal.scope, &seen, &search, kind, window).await }
    };
    Ok(csv_file::sheet(&sheets::GROUPS, &company.name, read))
}

/// A group's members, as a file.
pub(crate) async fn members_csv(
    principal: Signed,
    path: web::Path<(CompanyId, String)>,
    list: web::Query<ListQuery>,
) -> Answer {
    let (id, object) = path.into_inner();
    let group = directory::group(&principal.scope, id, &object)
        .await?
        .ok_or(PageProblem::NotFound)?
        .group;
    let name = group.display_name.clone();
    let search = list.into_inner().q;
    let read = move |window| {
        let (principal, group, search) = (principal.clone(), group.clone(), search.clone());
        async move { directory::members(&principal.scope, &group, &search, window).await }
    };
    Ok(csv_file::sheet(&sheets::MEMBERS, &name, read))
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    path: web::Path<(CompanyId, String)>,
    list: web::Query<ListQuery>,
) -> Answer {
    let (id, object) = path.into_inner();
    let head = Head::load(&principal, id, "groups").await?;
    let group = directory::group(&principal.scope, id, &object)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let title = format!("{}, {}", group.group.display_name, head.company.name);
    let page = head
        .frame(&request, &portal, &principal, title)
        .await?
        .under("Groups", format!("/companies/{id}/groups"));
    let window = Window::page(list.page.max(1), PAGE_SIZE);
    let found = directory::members(&principal.scope, &group.group, &list.q, window).await?;
    let pager = Pager::new(list.page, found.rows.len(), found.total, |n| {
        let pairs = [("q", list.q.as_str()), ("page", &n.to_string())];
        format!("/companies/{id}/groups/{object}{}", query(&pairs))
    });
    let snapshot = Snapshot::of_company(&principal.scope, id, RunKind::Directory).await?;
    let history = history(&principal.scope, id, GroupRow::TABLE, &snapshot, &object).await?;
    html(&Show {
        history,
        page,
        head,
        group,
        members: found.rows,
        search: list.q.clone(),
        pager,
    })
}
