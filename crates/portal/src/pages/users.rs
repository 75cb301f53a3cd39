//! Users of a company's directory.

use actix_web::{HttpRequest, web};
use askama::Template;
use model::{
    CompanyId, Group, RunKind, Window,
    directory::{self, MfaFilter, UserFilter, UserSort, UserType, UserWithMfa},
    inventory::{Object, Snapshot, UserRow},
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
#[template(path = "users/index.html")]
struct Index {
    page: Page,
    head: Head,
    rows: Vec<UserWithMfa>,
    list: ListQuery,
    pager: Pager,
}

impl Index {
    /// The address of this list with one part changed, on its first page.
    fn link(&self, name: &str, value: &str) -> String {
        self.list.link(&self.head.company.id, name, value)
    }

    /// The file of what is shown, with the same filters.
    fn csv_link(&self) -> String {
        self.link("page", "").replacen("/users", "/users.csv", 1)
    }

    /// The address that sorts by a column, or turns its order round.
    fn sort_link(&self, column: &str) -> String {
        let turned = if self.list.column() == column && !self.list.descending() {
            format!("-{column}")
        } else {
            column.to_owned()
        };
        self.link("sort", &turned)
    }

    fn aria_sort(&self, column: &str) -> &'static str {
        match (self.list.column() == column, self.list.descending()) {
            (false, _) => "none",
            (true, false) => "ascending",
            (true, true) => "descending",
        }
    }

    fn sort_icon(&self, column: &str) -> &'static str {
        match self.aria_sort(column) {
            "ascending" => "arrow-up",
            "descending" => "arrow-down",
            _ => "selector",
        }
    }
}

#[derive(Template)]
#[template(path = "users/show.html")]
struct Show {
    page: Page,
    head: Head,
    user: UserWithMfa,
    groups: Vec<Group>,
    history: Vec<Seen>,
}

/// Filters in the address.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    q: String,
    #[serde(default, rename = "type")]
    user_type: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    mfa: String,
    #[serde(default)]
    licensed: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    page: u64,
}

impl ListQuery {
    fn link(&self, company: &CompanyId, name: &str, value: &str) -> String {
        let page = "";
        let mut pairs = [
            ("q", self.q.as_str()),
            ("type", &self.user_type),
            ("status", &self.status),
            ("mfa", &self.mfa),
            ("licensed", &self.licensed),
            ("sort", &self.sort),
            ("page", page),
        ];
        for pair in &mut pairs {
            if pair.0 == name {
                pair.1 = value;
            }
        }
        format!("/companies/{company}/users{}", query(&pairs))
    }

    fn descending(&self) -> bool {
        self.sort.starts_with('-')
    }

    fn column(&self) -> &str {
        match self.sort.trim_start_matches('-') {
            "" => "name",
            column => column,
        }
    }

    fn filter(&self) -> UserFilter {
        UserFilter {
            search: self.q.clone(),
            user_type: match self.user_type.as_str() {
                "guest" => Some(UserType::Guest),
                "member" => Some(UserType::Member),
                _ => None,
            },
            enabled: match self.status.as_str() {
                "enabled" => Some(true),
                "disabled" => Some(false),
                _ => None,
            },
            mfa: match self.mfa.as_str() {
                "registered" => Some(MfaFilter::Registered),
                "missing" => Some(MfaFilter::NotRegistered),
                "unknown" => Some(MfaFilter::Unknown),
                _ => None,
            },
            licensed: match self.licensed.as_str() {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            },
        }
    }

    fn sort(&self) -> UserSort {
        match self.column() {
            "upn" => UserSort::PrincipalName,
            "department" => UserSort::Department,
            "created" => UserSort::Created,
            _ => UserSort::Name,
        }
    }
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CompanyId>,
    list: web::Query<ListQuery>,
) -> Answer {
    let head = Head::load(&principal, *id, "users").await?;
    let title = format!("Users of {}", head.company.name);
    let page = head.frame(&request, &portal, &principal, title).await?;
    let list = list.into_inner();
    let found = directory::users(
        &principal.scope,
        *id,
        &list.filter(),
        list.sort(),
        list.descending(),
        Window::page(list.page.max(1), PAGE_SIZE),
    )
    .await?;
    let pager = Pager::new(list.page, found.rows.len(), found.total, |n| {
        list.link(&id, "page", &n.to_string())
    });
    html(&Index {
        page,
        head,
        rows: found.rows,
        list,
        pager,
    })
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    path: web::Path<(CompanyId, String)>,
) -> Answer {
    let (id, object) = path.into_inner();
    let head = Head::load(&principal, id, "users").await?;
    let user = directory::user(&principal.scope, id, &object)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let title = format!("{}, {}", user.user.display_name, head.company.name);
    let page = head
        .frame(&request, &portal, &principal, title)
        .await?
        .under("Users", format!("/companies/{id}/users"));
    let groups =
        directory::groups_of(&principal.scope, user.user.mapping_id, &user.user.id).await?;
    let snapshot = Snapshot::of_company(&principal.scope, id, RunKind::Directory).await?;
    let history = history(&principal.scope, id, UserRow::TABLE, &snapshot, &object).await?;
    html(&Show {
        history,
        page,
        head,
        user,
        groups,
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
    // One snapshot for the whole file.
    let seen = directory::Seen::of(&principal.scope, id).await?;
    let read = move |window| {
        let (principal, list, seen) = (principal.clone(), list.clone(), seen.clone());
        async move {
            let (filter, sort) = (list.filter(), list.sort());
            let scope = &principal.scope;
            directory::users_of(scope, &seen, &filter, sort, list.descending(), window).await
        }
    };
    Ok(csv_file::sheet(&sheets::USERS, &company.name, read))
}
