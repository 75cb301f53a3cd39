//! Groups, without their members, which follow.

use graph::{Request, types};
use model::inventory::GroupRow;

use crate::Collector;

pub(crate) struct Groups;

impl Collector for Groups {
    const NAME: &'static str = "groups";
    const PERMISSION: &'static str = "GroupMember.Read.All";
    type Wire = types::Group;
    type Row = GroupRow;

    fn request() -> Request {
        Request::get("/groups")
            .select(types::Group::SELECT)
            .top(999)
    }

    fn normalise(wire: types::Group) -> GroupRow {
        GroupRow {
            kind: kind(&wire).into(),
            id: wire.id,
            display_name: wire.display_name,
            description: wire.description,
            membership_rule: wire.membership_rule,
            mail: wire.mail,
            visibility: wire.visibility,
            security_enabled: wire.security_enabled,
            mail_enabled: wire.mail_enabled,
            is_assignable_to_role: wire.is_assignable_to_role,
            on_premises_sync_enabled: wire.on_premises_sync_enabled,
            group_created_at: wire.created_date_time.map(Into::into),
        }
    }
}

/// Microsoft has no type property: it follows from three others (source: Graph, group resource).
fn kind(group: &types::Group) -> &'static str {
    let has = |name: &str| {
        group
            .group_types
            .iter()
            .any(|t| t.eq_ignore_ascii_case(name))
    };
    match (has("Unified"), group.security_enabled, group.mail_enabled) {
        (true, _, _) => "microsoft365",
        (_, Some(true), Some(true)) => "mail_enabled_security",
        (_, Some(true), _) => "security",
        (_, _, Some(true)) => "distribution",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_follows_from_three_properties() {
        let of = |json: &str| kind(&serde_json::from_str::<types::Group>(json).unwrap());
        assert_eq!(
            of(r#"{"id":"a","groupTypes":["Unified"],"mailEnabled":true}"#),
            "microsoft365"
        );
        assert_eq!(
            of(
                r#"{"id":"a","groupTypes":["DynamicMembership"],"securityEnabled":true,"mailEnabled":false}"#
            ),
            "security"
        );
        assert_eq!(
            of(r#"{"id":"a","securityEnabled":true,"mailEnabled":true}"#),
            "mail_enabled_security"
        );
        assert_eq!(
            of(r#"{"id":"a","securityEnabled":false,"mailEnabled":true}"#),
            "distribution"
        );
        assert_eq!(of(r#"{"id":"a","groupTypes":null}"#), "unknown");
    }
}
