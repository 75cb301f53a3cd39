//! The sheets, one for each list of the portal; docs/csv.md has their headers.

use model::{
    Alert, Assessment, AuditRow, Company, Delivery, Evidence, GroupMember, Run, SecureScore,
    Tenant, Timestamp,
    credential::Credential,
    directory::{GroupWithCount, UserWithMfa},
    inventory::{Cell, Record, Table},
    mapping::MappingRow,
    member::Colleague,
    secure_score::{self, Control},
};

use super::{Error, Sheet, lines};

fn maybe<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn text(text: &Option<String>) -> String {
    text.clone().unwrap_or_default()
}

fn time(at: Option<Timestamp>) -> String {
    at.map(Timestamp::rfc3339).unwrap_or_default()
}

/// The audit log.
pub const AUDIT: Sheet<AuditRow> = Sheet {
    name: "audit-log",
    headers: &[
        "number",
        "at",
        "actor_kind",
        "actor",
        "address",
        "action",
        "target_kind",
        "target_id",
        "target",
        "detail",
        "hash",
    ],
    cells: |row| {
        vec![
            row.seq.to_string(),
            row.at.rfc3339(),
            row.actor_kind.clone(),
            row.actor_name.clone(),
            row.address.clone(),
            row.action.clone(),
            row.target_kind.clone(),
            row.target_id.clone(),
            row.target_name.clone(),
            row.detail.clone(),
            row.hash.clone(),
        ]
    },
};

/// Users of a directory.
pub const USERS: Sheet<UserWithMfa> = Sheet {
    name: "users",
    headers: &[
        "id",
        "display_name",
        "user_principal_name",
        "mail",
        "user_type",
        "account_enabled",
        "licensed",
        "mfa_registered",
        "mfa_methods",
        "is_admin",
        "job_title",
        "department",
        "office_location",
        "company_name",
        "employee_id",
        "employee_type",
        "usage_location",
        "account_created_at",
        "last_password_change_at",
        "last_sign_in_at",
        "on_premises_sync_enabled",
    ],
    cells: |row| {
        let user = &row.user;
        vec![
            user.id.clone(),
            user.display_name.clone(),
            user.user_principal_name.clone(),
            text(&user.mail),
            text(&user.user_type),
            maybe(user.account_enabled),
            maybe(user.licensed),
            maybe(row.mfa_registered),
            row.methods.join(" "),
            maybe(row.is_admin),
            text(&user.job_title),
            text(&user.department),
            text(&user.office_location),
            text(&user.company_name),
            text(&user.employee_id),
            text(&user.employee_type),
            text(&user.usage_location),
            time(user.account_created_at),
            time(user.last_password_change_at),
            time(row.last_sign_in_at),
            maybe(user.on_premises_sync_enabled),
        ]
    },
};

/// Groups of a directory.
pub const GROUPS: Sheet<GroupWithCount> = Sheet {
    name: "groups",
    headers: &[
        "id",
        "display_name",
        "kind",
        "members",
        "description",
        "mail",
        "visibility",
        "membership_rule",
        "security_enabled",
        "mail_enabled",
        "is_assignable_to_role",
        "on_premises_sync_enabled",
        "group_created_at",
    ],
    cells: |row| {
        let group = &row.group;
        vec![
            group.id.clone(),
            group.display_name.clone(),
            group.kind.clone(),
            row.members.to_string(),
            text(&group.description),
            text(&group.mail),
            text(&group.visibility),
            text(&group.membership_rule),
            maybe(group.security_enabled),
            maybe(group.mail_enabled),
            maybe(group.is_assignable_to_role),
            maybe(group.on_premises_sync_enabled),
            time(group.group_created_at),
        ]
    },
};

/// Members of a group.
pub const MEMBERS: Sheet<GroupMember> = Sheet {
    name: "group-members",
    headers: &["id", "display_name", "type"],
    cells: |row| {
        vec![
            row.id.clone(),
            text(&row.display_name),
            row.member_type.clone(),
        ]
    },
};

/// Days of Secure Score.
pub const SCORES: Sheet<SecureScore> = Sheet {
    name: "secure-scores",
    headers: &[
        "day",
        "current_score",
        "max_score",
        "percent",
        "active_users",
        "licensed_users",
    ],
    cells: |row| {
        vec![
            row.day.clone(),
            row.current_score.to_string(),
            row.max_score.to_string(),
            maybe(secure_score::percent(row).map(|percent| format!("{percent:.2}"))),
            maybe(row.active_user_count),
            maybe(row.licensed_user_count),
        ]
    },
};

/// Controls of Secure Score.
pub const CONTROLS: Sheet<Control> = Sheet {
    name: "secure-score-controls",
    headers: &[
        "id",
        "title",
        "category",
        "status",
        "score",
        "max_score",
        "rank",
        "service",
        "tier",
        "user_impact",
        "implementation_cost",
        "state",
        "action_url",
    ],
    cells: |row| {
        let profile = row.profile.as_ref();
        let of = |read: fn(&model::ControlProfile) -> &Option<String>| {
            profile
                .map(|profile| text(read(profile)))
                .unwrap_or_default()
        };
        vec![
            row.id.clone(),
            row.title().to_owned(),
            row.category().to_owned(),
            row.status().label().to_owned(),
            maybe(row.points()),
            maybe(row.possible()),
            maybe(profile.and_then(|profile| profile.rank)),
            of(|p| &p.service),
            of(|p| &p.tier),
            of(|p| &p.user_impact),
            of(|p| &p.implementation_cost),
            of(|p| &p.state),
            of(|p| &p.action_url),
        ]
    },
};

/// Companies, with the mappings of each.
pub const COMPANIES: Sheet<(Company, Vec<MappingRow>)> = Sheet {
    name: "companies",
    headers: &[
        "id",
        "name",
        "domain",
        "external_id",
        "directory_ids",
        "last_sync_at",
        "created_at",
    ],
    cells: |(company, mappings)| {
        let ids: Vec<String> = mappings
            .iter()
            .map(|m| m.tenant.directory_id.to_string())
            .collect();
        vec![
            company.id.to_string(),
            company.name.clone(),
            company.domain.clone(),
            company.external_id.clone(),
            ids.join(" "),
            time(mappings.iter().filter_map(|m| m.mapping.last_sync_at).max()),
            company.created_at.rfc3339(),
        ]
    },
};

/// Tenants, with the names of their credential and company.
pub const TENANTS: Sheet<(Tenant, String, String)> = Sheet {
    name: "tenants",
    headers: &[
        "id",
        "directory_id",
        "display_name",
        "default_domain",
        "country",
        "state",
        "credential",
        "company",
        "consented_at",
        "last_error",
    ],
    cells: |(tenant, credential, company)| {
        vec![
            tenant.id.to_string(),
            tenant.directory_id.to_string(),
            tenant.display_name.clone(),
            tenant.default_domain.clone(),
            text(&tenant.country),
            tenant.state.to_string(),
            credential.clone(),
            company.clone(),
            time(tenant.consented_at),
            text(&tenant.last_error),
        ]
    },
};

/// Company mappings.
pub const MAPPINGS: Sheet<MappingRow> = Sheet {
    name: "company-mappings",
    headers: &[
        "id",
        "company_id",
        "company",
        "directory_id",
        "tenant",
        "matched_by",
        "last_sync_at",
        "last_sync_state",
        "created_at",
    ],
    cells: |row| {
        vec![
            row.mapping.id.to_string(),
            row.company.id.to_string(),
            row.company.name.clone(),
            row.tenant.directory_id.to_string(),
            row.tenant.display_name.clone(),
            row.mapping.matched_by.clone(),
            time(row.mapping.last_sync_at),
            text(&row.mapping.last_sync_state),
            row.mapping.created_at.rfc3339(),
        ]
    },
};

/// Credentials, without anything that is secret.
pub const CREDENTIALS: Sheet<Credential> = Sheet {
    name: "credentials",
    headers: &[
        "id",
        "name",
        "kind",
        "cloud",
        "directory_id",
        "client_id",
        "state",
        "secret_expires_at",
        "last_success_at",
        "last_error",
        "created_at",
        "revoked_at",
    ],
    cells: |row| {
        vec![
            row.id.to_string(),
            row.name.clone(),
            row.kind.to_string(),
            row.cloud.clone(),
            row.directory_id.to_string(),
            row.client_id.to_string(),
            row.state.to_string(),
            time(row.secret_expires_at),
            time(row.last_success_at),
            text(&row.last_error),
            row.created_at.rfc3339(),
            time(row.revoked_at),
        ]
    },
};

/// Jobs, with the names of their companies.
pub const JOBS: Sheet<(Run, String)> = Sheet {
    name: "jobs",
    headers: &[
        "number",
        "id",
        "company_id",
        "company",
        "kind",
        "cause",
        "state",
        "attempt",
        "requested_by",
        "error",
        "created_at",
        "started_at",
        "finished_at",
    ],
    cells: |(run, company)| {
        vec![
            run.number.to_string(),
            run.id.to_string(),
            run.company_id.to_string(),
            company.clone(),
            run.kind.to_string(),
            run.cause.to_string(),
            run.state.to_string(),
            run.attempt.to_string(),
            run.requested_by.clone(),
            text(&run.error),
            run.created_at.rfc3339(),
            time(run.started_at),
            time(run.finished_at),
        ]
    },
};

/// Alerts, with the names of their companies.
pub const ALERTS: Sheet<(Alert, String)> = Sheet {
    name: "alerts",
    headers: &[
        "number",
        "id",
        "kind",
        "severity",
        "state",
        "company",
        "title",
        "text",
        "opened_at",
        "handled_by",
        "handled_at",
        "closed_at",
    ],
    cells: |(alert, company)| {
        vec![
            alert.number.to_string(),
            alert.id.to_string(),
            alert.kind.to_string(),
            alert.severity.to_string(),
            alert.state.to_string(),
            company.clone(),
            alert.title.clone(),
            alert.text.clone(),
            alert.opened_at.rfc3339(),
            text(&alert.handled_by),
            time(alert.handled_at),
            time(alert.closed_at),
        ]
    },
};

/// Statements of evidence.
pub const EVIDENCE: Sheet<Evidence> = Sheet {
    name: "evidence",
    headers: &["id", "kind", "fingerprint", "run_id", "created_at"],
    cells: |row| {
        vec![
            row.id.to_string(),
            row.kind.to_string(),
            row.fingerprint.clone(),
            row.run_id.to_string(),
            row.created_at.rfc3339(),
        ]
    },
};

/// Assessments, with the names of their companies.
pub const ASSESSMENTS: Sheet<(Assessment, String)> = Sheet {
    name: "assessments",
    headers: &[
        "id",
        "name",
        "company",
        "catalogue",
        "state",
        "first_day",
        "last_day",
        "created_by",
        "approved_by",
        "approved_at",
    ],
    cells: |(row, company)| {
        vec![
            row.id.to_string(),
            row.name.clone(),
            company.clone(),
            row.catalogue.clone(),
            row.state.to_string(),
            row.period_start.day(),
            row.period_end.plus_ms(-1).day(),
            row.created_by_name.clone(),
            text(&row.approved_by_name),
            time(row.approved_at),
        ]
    },
};

/// Members of the organisation.
pub const COLLEAGUES: Sheet<Colleague> = Sheet {
    name: "members",
    headers: &[
        "id",
        "email",
        "role",
        "limited_to_companies",
        "has_second_factor",
        "joined_at",
        "seen_at",
    ],
    cells: |row| {
        vec![
            row.id.to_string(),
            row.email.clone(),
            row.role.to_string(),
            maybe(row.companies.as_ref().map(Vec::len)),
            row.has_second_factor.to_string(),
            row.joined_at.rfc3339(),
            time(row.seen_at),
        ]
    },
};

/// What a channel sent.
pub const DELIVERIES: Sheet<Delivery> = Sheet {
    name: "deliveries",
    headers: &[
        "id",
        "event",
        "subject",
        "state",
        "attempts",
        "error",
        "created_at",
        "sent_at",
    ],
    cells: |row| {
        vec![
            row.id.to_string(),
            row.event.clone(),
            row.subject.clone(),
            row.state.to_string(),
            row.attempts.to_string(),
            text(&row.error),
            row.created_at.rfc3339(),
            time(row.sent_at),
        ]
    },
};

/// Headers of [`records`]: the id, the table's own columns, and when syncs saw what.
pub fn record_headers(table: &Table) -> Vec<&'static str> {
    let own = table.columns.iter().map(|(name, _)| *name);
    std::iter::once("id")
        .chain(own)
        .chain(["first_seen_at", "changed_at"])
        .collect()
}

/// Objects of any table of a directory; lists and structures are JSON.
///
/// # Errors
/// As [`Sheet::write`].
pub fn records(table: &Table, rows: &[Record], with_headers: bool) -> Result<Vec<u8>, Error> {
    let headers = record_headers(table);
    let cells = rows.iter().map(|row| {
        let own = row.fields.iter().map(|(_, cell)| match cell {
            None => String::new(),
            Some(Cell::Text(text)) => text.clone(),
            Some(Cell::Boolean(yes)) => yes.to_string(),
            Some(Cell::Number(n)) => n.to_string(),
            Some(Cell::Points(n)) => n.to_string(),
            Some(Cell::Time(at)) => at.rfc3339(),
        });
        std::iter::once(row.id.clone())
            .chain(own)
            .chain([row.first_seen_at.rfc3339(), row.changed_at.rfc3339()])
            .collect()
    });
    lines(with_headers.then_some(headers.as_slice()), cells)
}

/// Name and headers of every sheet.
pub fn all() -> Vec<(&'static str, &'static [&'static str])> {
    macro_rules! list {
        ($($sheet:ident),+) => { vec![$(($sheet.name, $sheet.headers)),+] };
    }
    list!(
        USERS,
        GROUPS,
        MEMBERS,
        SCORES,
        CONTROLS,
        COMPANIES,
        TENANTS,
        MAPPINGS,
        CREDENTIALS,
        JOBS,
        ALERTS,
        EVIDENCE,
        ASSESSMENTS,
        COLLEAGUES,
        DELIVERIES,
        AUDIT
    )
}
