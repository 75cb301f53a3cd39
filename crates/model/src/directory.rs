//! Reading a company's directory: users with their MFA state, groups and members, domains, counts.

use sea_orm::{
    ColumnTrait, Condition, ExprTrait, FromQueryResult, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Value,
    sea_query::{Expr, Func, LikeExpr},
};

use crate::{
    CompanyId, Domain, Group, GroupMember, Listing, MappingId, Result, RunKind, Scope,
    SubscribedSku, Timestamp, User, Window,
    db::{query_all, query_one},
    entity::{domain, group, group_member},
    inventory::{self, DeviceRow, GroupRow, Object, ServicePrincipalRow, Snapshot, UserRow},
};

/// `%text%` for LIKE against `LOWER(column)`, in the three spellings that cover what the databases
/// make of letters beyond ASCII: PostgreSQL lowers them, SQLite leaves them as they are.
pub(crate) fn like_patterns(text: &str) -> [String; 3] {
    let text = text.replace('\0', "");
    let text = text.trim();
    [
        text.to_lowercase(),
        text.to_ascii_lowercase(),
        text.to_uppercase().to_ascii_lowercase(),
    ]
    .map(|text| {
        let mut pattern = String::from("%");
        for c in text.chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        pattern
    })
}

pub(crate) fn contains(column: impl ColumnTrait, text: &str) -> Condition {
    like_patterns(text)
        .iter()
        .fold(Condition::any(), |any, pattern| {
            any.add(
                Expr::expr(Func::lower(Expr::col(column.as_column_ref())))
                    .like(LikeExpr::new(pattern).escape('\\')),
            )
        })
}

/// A user with what the registration report says. Every `None` means unknown.
#[derive(Debug, Clone)]
pub struct UserWithMfa {
    /// The user.
    pub user: User,
    /// Whether MFA is registered.
    pub mfa_registered: Option<bool>,
    /// Whether the report calls them an administrator.
    pub is_admin: Option<bool>,
    /// Registered methods, in Microsoft's words.
    pub methods: Vec<String>,
    /// Last sign-in with a password or another proof; `None` is never, or not known.
    pub last_sign_in_at: Option<Timestamp>,
    /// Last sign-in of an application in the user's name.
    pub last_non_interactive_sign_in_at: Option<Timestamp>,
    /// Whether sign-in activity of this user was read at all.
    pub sign_in_is_known: bool,
    /// When the user was seen to be gone, if so.
    pub gone_at: Option<Timestamp>,
}

/// Filters of the users table.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// Part of name, UPN, mail, department or job title.
    pub search: String,
    /// `member` or `guest`.
    pub user_type: Option<UserType>,
    /// Account enabled.
    pub enabled: Option<bool>,
    /// MFA.
    pub mfa: Option<MfaFilter>,
    /// Has any licence.
    pub licensed: Option<bool>,
}

/// Of the directory itself or of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserType {
    /// Not a guest.
    Member,
    /// Guest.
    Guest,
}

/// What is known of MFA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MfaFilter {
    /// Registered.
    Registered,
    /// Known not to be registered.
    NotRegistered,
    /// Could not be read, or not reported.
    Unknown,
}

/// Sort order of the users table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserSort {
    /// By display name.
    #[default]
    Name,
    /// By user principal name.
    PrincipalName,
    /// By department.
    Department,
    /// By date of creation.
    Created,
}

/// What of a user is read together.
const USER_COLUMNS: &str = "u.*, m.is_mfa_registered, m.is_admin, m.methods, a.last_sign_in_at,
    a.last_non_interactive_sign_in_at, a.id AS activity_of";

/// What a reader sees of a company: its directory, and its sign-in activity, which is read by itself.
#[derive(Debug, Clone)]
pub struct Seen {
    directory: Snapshot,
    activity: Snapshot,
}

impl Seen {
    /// The generations that it is of: for each mapping that of the directory and that of sign-in activity,
    /// which is 0 where none was read.
    pub fn generations(&self) -> Vec<i64> {
        let mappings = self.directory.mappings();
        let both = mappings.flat_map(|(id, of)| [of, self.activity.generation(id)]);
        both.collect()
    }

    /// The same of other generations; see [`Snapshot::pin`].
    pub fn pin(&mut self, generations: &[i64]) -> bool {
        let (pairs, rest) = generations.as_chunks::<2>();
        let directory: Vec<i64> = pairs.iter().map(|pair| pair[0]).collect();
        let mappings: Vec<MappingId> = self.directory.mappings().map(|(id, _)| id).collect();
        if !rest.is_empty() || !self.directory.pin(&directory) {
            return false;
        }
        let activity = mappings.into_iter().zip(pairs.iter().map(|pair| pair[1]));
        self.activity.pin_each(activity)
    }

    /// As it is published now.
    pub async fn of(scope: &Scope, company: CompanyId) -> Result<Self> {
        Ok(Self {
            directory: Snapshot::of_company(scope, company, RunKind::Directory).await?,
            activity: Snapshot::of_company(scope, company, RunKind::SignInActivity).await?,
        })
    }

    /// Users with their registration and activity.
    fn users(&self, values: &mut Vec<Value>) -> String {
        let registration = self.directory.joined("m", "u", values);
        let activity = self.activity.joined("a", "u", values);
        let users = self.directory.sql("u", values);
        format!(
            "FROM users u LEFT JOIN mfa_registrations m ON m.id = u.id AND {registration}
             LEFT JOIN sign_in_activities a ON a.id = u.id AND {activity} WHERE {users}"
        )
    }
}

/// The condition of a filter and its parameters.
fn users_where(seen: &Seen, filter: &UserFilter) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = vec![];
    let mut sql = seen.users(&mut values);
    if !filter.search.trim().is_empty() {
        let columns = [
            "u.display_name",
            "u.user_principal_name",
            "COALESCE(u.mail, '')",
            "COALESCE(u.department, '')",
            "COALESCE(u.job_title, '')",
        ];
        let from = values.len() + 1;
        let any: Vec<String> = columns
            .iter()
            .flat_map(|column| {
                (from..from + 3).map(move |n| format!("LOWER({column}) LIKE ${n} ESCAPE '\\'"))
            })
            .collect();
        sql.push_str(&format!(" AND ({})", any.join(" OR ")));
        values.extend(like_patterns(&filter.search).map(Value::from));
    }
    match filter.user_type {
        Some(UserType::Guest) => sql.push_str(" AND LOWER(u.user_type) = 'guest'"),
        Some(UserType::Member) => {
            sql.push_str(" AND (u.user_type IS NULL OR LOWER(u.user_type) <> 'guest')");
        }
        None => {}
    }
    match filter.enabled {
        Some(true) => sql.push_str(" AND u.account_enabled"),
        Some(false) => sql.push_str(" AND NOT u.account_enabled"),
        None => {}
    }
    match filter.licensed {
        Some(true) => sql.push_str(" AND u.licensed"),
        Some(false) => sql.push_str(" AND NOT u.licensed"),
        None => {}
    }
    match filter.mfa {
        Some(MfaFilter::Registered) => sql.push_str(" AND m.is_mfa_registered"),
        Some(MfaFilter::NotRegistered) => sql.push_str(" AND NOT m.is_mfa_registered"),
        Some(MfaFilter::Unknown) => sql.push_str(" AND m.is_mfa_registered IS NULL"),
        None => {}
    }
    (sql, values)
}

/// Users of a company.
pub async fn users(
    scope: &Scope,
    company: CompanyId,
    filter: &UserFilter,
    sort: UserSort,
    descending: bool,
    window: Window,
) -> Result<Listing<UserWithMfa>> {
    let seen = Seen::of(scope, company).await?;
    users_of(scope, &seen, filter, sort, descending, window).await
}

/// Users that somebody sees.
pub async fn users_of(
    scope: &Scope,
    seen: &Seen,
    filter: &UserFilter,
    sort: UserSort,
    descending: bool,
    window: Window,
) -> Result<Listing<UserWithMfa>> {
    let (condition, values) = users_where(seen, filter);
    let conn = &scope.conn();
    let total: i64 = query_one(
        conn,
        &format!("SELECT COUNT(*) AS n {condition}"),
        values.clone(),
    )
    .await?
    .map_or(Ok(0), |r| r.try_get("", "n"))?;
    let column = match sort {
        UserSort::Name => "u.display_name",
        UserSort::PrincipalName => "u.user_principal_name",
        UserSort::Department => "u.department",
        UserSort::Created => "u.account_created_at",
    };
    let direction = if descending { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT {USER_COLUMNS} {condition}
         ORDER BY {column} {direction}, u.mapping_id, u.id LIMIT {} OFFSET {}",
        window.limit, window.offset
    );
    let rows = query_all(conn, &sql, values).await?;
    Ok(Listing {
        rows: rows.iter().map(user_row).collect::<Result<_>>()?,
        total: u64::try_from(total).unwrap_or_default(),
    })
}

fn user_row(row: &sea_orm::QueryResult) -> Result<UserWithMfa> {
    let methods: Option<String> = row.try_get("", "methods")?;
    Ok(UserWithMfa {
        user: User::from_query_result(row, "")?,
        mfa_registered: row.try_get("", "is_mfa_registered")?,
        is_admin: row.try_get("", "is_admin")?,
        methods: methods
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default(),
        last_sign_in_at: row.try_get("", "last_sign_in_at")?,
        last_non_interactive_sign_in_at: row.try_get("", "last_non_interactive_sign_in_at")?,
        sign_in_is_known: row.try_get::<Option<String>>("", "activity_of")?.is_some(),
        gone_at: None,
    })
}

/// One user of a company by Microsoft's id, also a removed one: its history stays readable.
pub async fn user(scope: &Scope, company: CompanyId, id: &str) -> Result<Option<UserWithMfa>> {
    if !scope.sees(company) {
        return Ok(None);
    }
    let seen = Seen::of(scope, company).await?;
    let mut values = vec![];
    let registration = seen.directory.joined("m", "u", &mut values);
    let activity = seen.activity.joined("a", "u", &mut values);
    values.extend([scope.partner().into(), company.into(), id.into()]);
    let n = values.len();
    let rows = query_all(
        &scope.conn(),
        &format!(
            "SELECT {USER_COLUMNS} FROM users u
             LEFT JOIN mfa_registrations m ON m.id = u.id AND {registration}
             LEFT JOIN sign_in_activities a ON a.id = u.id AND {activity}
             WHERE u.partner_id = ${} AND u.company_id = ${} AND u.id = ${n} AND u.until > u.since",
            n - 2,
            n - 1
        ),
        values,
    )
    .await?;
    let mut newest: Option<UserWithMfa> = None;
    for row in &rows {
        let mut version = user_row(row)?;
        let published = seen.directory.generation(version.user.mapping_id);
        if version.user.since > published {
            continue;
        }
        // One that ended with a generation that is not published yet is still there.
        version.gone_at = version
            .user
            .ended_at
            .filter(|_| version.user.until <= published);
        let key = |u: &UserWithMfa| (u.gone_at.is_none(), u.user.changed_at);
        if newest.as_ref().is_none_or(|n| key(&version) > key(n)) {
            newest = Some(version);
        }
    }
    Ok(newest)
}

/// Groups that a user (or any object) is in.
pub async fn groups_of(scope: &Scope, mapping: MappingId, object: &str) -> Result<Vec<Group>> {
    let seen = Snapshot::of_mapping(scope, mapping, RunKind::Directory).await?;
    let memberships: Vec<String> = scope
        .find::<group_member::Entity>()
        .filter(seen.condition::<group_member::Entity>())
        .filter(group_member::Column::Id.eq(object))
        .all(&scope.conn())
        .await?
        .into_iter()
        .map(|m| m.group_id)
        .collect();
    Ok(scope
        .find::<group::Entity>()
        .filter(seen.condition::<group::Entity>())
        .filter(group::Column::Id.is_in(memberships))
        .order_by_asc(group::Column::DisplayName)
        .all(&scope.conn())
        .await?)
}

/// A group and how many members it has.
#[derive(Debug, Clone)]
pub struct GroupWithCount {
    /// The group.
    pub group: Group,
    /// Direct members known.
    pub members: i64,
    /// When the group was seen to be gone, if so.
    pub gone_at: Option<Timestamp>,
}

/// Groups of a company by name, with the number of members.
pub async fn groups(
    scope: &Scope,
    company: CompanyId,
    search: &str,
    kind: Option<&str>,
    window: Window,
) -> Result<Listing<GroupWithCount>> {
    let seen = Snapshot::of_company(scope, company, RunKind::Directory).await?;
    groups_in(scope, &seen, search, kind, window).await
}

/// Groups that a snapshot shows.
pub async fn groups_in(
    scope: &Scope,
    seen: &Snapshot,
    search: &str,
    kind: Option<&str>,
    window: Window,
) -> Result<Listing<GroupWithCount>> {
    let mut query = scope
        .find::<group::Entity>()
        .filter(seen.condition::<group::Entity>());
    if !search.trim().is_empty() {
        query = query.filter(
            Condition::any()
                .add(contains(group::Column::DisplayName, search))
                .add(contains(group::Column::Description, search)),
        );
    }
    if let Some(kind) = kind {
        query = query.filter(group::Column::Kind.eq(kind));
    }
    let conn = &scope.conn();
    let total = query.clone().count(conn).await?;
    let found = query
        .order_by_asc(group::Column::DisplayName)
        .order_by_asc(group::Column::Id)
        .offset(window.offset)
        .limit(window.limit)
        .all(conn)
        .await?;
    let mut rows = Vec::with_capacity(found.len());
    for group in found {
        let members = count_members(scope, seen, &group).await?;
        rows.push(GroupWithCount {
            group,
            members,
            gone_at: None,
        });
    }
    Ok(Listing { rows, total })
}

async fn count_members(scope: &Scope, seen: &Snapshot, group: &Group) -> Result<i64> {
    let count = scope
        .find::<group_member::Entity>()
        .filter(
            seen.only(group.mapping_id)
                .condition::<group_member::Entity>(),
        )
        .filter(group_member::Column::GroupId.eq(&group.id))
        .count(&scope.conn())
        .await?;
    Ok(i64::try_from(count).unwrap_or_default())
}

/// One group of a company by Microsoft's id.
pub async fn group(scope: &Scope, company: CompanyId, id: &str) -> Result<Option<GroupWithCount>> {
    let seen = Snapshot::of_company(scope, company, RunKind::Directory).await?;
    let versions = scope
        .find::<group::Entity>()
        .filter(group::Column::CompanyId.eq(company))
        .filter(group::Column::Id.eq(id))
        .all(&scope.conn())
        .await?;
    let newest = versions
        .into_iter()
        .filter(|g| g.since < g.until && g.since <= seen.generation(g.mapping_id))
        .max_by_key(|g| (g.until > seen.generation(g.mapping_id), g.changed_at));
    match newest {
        None => Ok(None),
        Some(group) => Ok(Some(GroupWithCount {
            members: count_members(scope, &seen, &group).await?,
            gone_at: group
                .ended_at
                .filter(|_| group.until <= seen.generation(group.mapping_id)),
            group,
        })),
    }
}

/// Direct members of a group, by name.
pub async fn members(
    scope: &Scope,
    group: &Group,
    search: &str,
    window: Window,
) -> Result<Listing<GroupMember>> {
    let seen = Snapshot::of_mapping(scope, group.mapping_id, RunKind::Directory).await?;
    let mut query = scope
        .find::<group_member::Entity>()
        .filter(seen.condition::<group_member::Entity>())
        .filter(group_member::Column::GroupId.eq(&group.id));
    if !search.trim().is_empty() {
        query = query.filter(contains(group_member::Column::DisplayName, search));
    }
    let total = query.clone().count(&scope.conn()).await?;
    let mut rows = query
        .order_by_asc(group_member::Column::DisplayName)
        .order_by_asc(group_member::Column::Id)
        .offset(window.offset)
        .limit(window.limit)
        .all(&scope.conn())
        .await?;
    for member in &mut rows {
        // A change names no one, and a name may be newer than the membership.
        let table = match member.member_type.as_str() {
            "user" => UserRow::TABLE,
            "group" => GroupRow::TABLE,
            "device" => DeviceRow::TABLE,
            "servicePrincipal" => ServicePrincipalRow::TABLE,
            _ => continue,
        };
        let found = inventory::of_parents(scope, table, &seen, "id", &member.id).await?;
        if let Some(name) = found.first().and_then(|record| record.text("display_name")) {
            member.display_name = Some(name.to_owned());
        }
    }
    Ok(Listing { total, rows })
}

/// Domains of a company, the default one first.
pub async fn domains(scope: &Scope, company: CompanyId) -> Result<Vec<Domain>> {
    let seen = Snapshot::of_company(scope, company, RunKind::Directory).await?;
    let mut rows = scope
        .find::<domain::Entity>()
        .filter(seen.condition::<domain::Entity>())
        .order_by_asc(domain::Column::Id)
        .all(&scope.conn())
        .await?;
    rows.sort_by_key(|d| d.is_default != Some(true));
    Ok(rows)
}

/// Counts of a company's directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overview {
    /// Users that are not guests.
    pub members: i64,
    /// Guests.
    pub guests: i64,
    /// Disabled accounts.
    pub disabled: i64,
    /// Users with any licence.
    pub licensed: i64,
    /// Administrators, as the registration report says.
    pub admins: i64,
    /// MFA registered.
    pub mfa_registered: i64,
    /// Known not to be registered.
    pub mfa_not_registered: i64,
    /// Not known.
    pub mfa_unknown: i64,
    /// Groups.
    pub groups: i64,
}

/// Counts for the overview page.
pub async fn overview(scope: &Scope, company: CompanyId) -> Result<Overview> {
    if !scope.sees(company) {
        return Ok(Overview::default());
    }
    let conn = &scope.conn();
    let seen = Seen::of(scope, company).await?;
    let mut values = vec![];
    let users = seen.users(&mut values);
    let row = query_one(
        conn,
        &format!(
            "SELECT COUNT(*) AS users,
                COALESCE(SUM(CASE WHEN LOWER(u.user_type) = 'guest' THEN 1 ELSE 0 END), 0) AS guests,
                COALESCE(SUM(CASE WHEN NOT u.account_enabled THEN 1 ELSE 0 END), 0) AS disabled,
                COALESCE(SUM(CASE WHEN u.licensed THEN 1 ELSE 0 END), 0) AS licensed,
                COALESCE(SUM(CASE WHEN m.is_admin THEN 1 ELSE 0 END), 0) AS admins,
                COALESCE(SUM(CASE WHEN m.is_mfa_registered THEN 1 ELSE 0 END), 0) AS registered,
                COALESCE(SUM(CASE WHEN NOT m.is_mfa_registered THEN 1 ELSE 0 END), 0) AS missing
             {users}"
        ),
        values,
    )
    .await?;
    let groups = inventory::count(scope, GroupRow::TABLE, &seen.directory, &[]).await?;
    let Some(row) = row else {
        return Ok(Overview::default());
    };
    let users: i64 = row.try_get("", "users")?;
    let guests: i64 = row.try_get("", "guests")?;
    let (registered, missing): (i64, i64) =
        (row.try_get("", "registered")?, row.try_get("", "missing")?);
    Ok(Overview {
        members: users - guests,
        guests,
        disabled: row.try_get("", "disabled")?,
        licensed: row.try_get("", "licensed")?,
        admins: row.try_get("", "admins")?,
        mfa_registered: registered,
        mfa_not_registered: missing,
        mfa_unknown: users - registered - missing,
        groups: i64::try_from(groups).unwrap_or_default(),
    })
}

/// When the company's data was last brought up to date: the oldest of its mappings' last syncs, or
/// `None` when one was never synced.
pub fn synced_at(mappings: &[crate::mapping::MappingRow]) -> Option<Timestamp> {
    mappings
        .iter()
        .map(|m| m.mapping.last_sync_at)
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .min()
}

/// Licences of a mapping's directory, by part number, without those that ended.
pub async fn subscribed_skus(scope: &Scope, mapping: MappingId) -> Result<Vec<SubscribedSku>> {
    use crate::entity::subscribed_sku::{Column, Entity};
    let seen = Snapshot::of_mapping(scope, mapping, RunKind::Directory).await?;
    Ok(scope
        .find::<Entity>()
        .filter(seen.condition::<Entity>())
        .order_by_asc(Column::SkuPartNumber)
        .all(&scope.conn())
        .await?)
}
