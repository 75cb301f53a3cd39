//! Directory roles: what there are, who holds them, and who may.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Directory,
    call::{Answer, Call},
    changes::Class,
    collection::{Collection, one},
    data::{days_ago, index_of, object_id},
    delta::delta,
    filter::Filter,
    principals::managed_id,
    refusal::not_found,
    router::{Licence, Route},
    users,
    wanted::{Wanted, object},
    world::{self, account_id},
};

const READ: &[&str] = &["RoleManagement.Read.Directory", "Directory.Read.All"];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("/v1.0/directoryRoles", READ, active),
    Route::new("/v1.0/directoryRoles/delta", READ, delta::<Roles>),
    Route::new("/v1.0/directoryRoles/{id}", READ, one::<Roles>),
    Route::new(
        "/v1.0/roleManagement/directory/roleDefinitions",
        READ,
        |call| {
            let all: Vec<Value> = (0..=DEFINITIONS.len())
                .map(|i| definition(call.directory, i))
                .collect();
            call.all("roleManagement/directory/roleDefinitions", &all, 100, 999)
        },
    ),
    Route::new(
        "/v1.0/roleManagement/directory/roleAssignments",
        READ,
        assignments,
    ),
    Route::new(
        "/v1.0/roleManagement/directory/roleEligibilityScheduleInstances",
        &[
            "RoleEligibilitySchedule.Read.Directory",
            "RoleManagement.Read.Directory",
        ],
        eligible,
    )
    .licensed(Licence::Governance),
    Route::new(
        "/v1.0/groups/{id}/transitiveMembers",
        &["GroupMember.Read.All", "Directory.Read.All"],
        transitive_members,
    ),
];

const GLOBAL_ADMINISTRATOR: &str = "62e90394-69f5-4237-9190-012177145e10";
const PRIVILEGED_ROLE_ADMINISTRATOR: &str = "e8611ab8-c189-46e8-94e1-60213ab1f814";
const APPLICATION_ADMINISTRATOR: &str = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3";
const USER_ADMINISTRATOR: &str = "fe930be7-5e62-47db-91af-98c3a49a38b1";
const EXCHANGE_ADMINISTRATOR: &str = "29232cdf-9323-42fd-ade2-1d097af3e4de";
const SECURITY_ADMINISTRATOR: &str = "194ae4cb-b126-40b2-bd5b-6091b380977d";
const HELPDESK_ADMINISTRATOR: &str = "729827e3-9c14-49f7-bb1b-9608f156bbb8";
const GLOBAL_READER: &str = "f2ef992c-3afb-46b9-b7cf-a126ee74c451";
const DIRECTORY_READERS: &str = "88d8e3e3-8f55-4a1e-953a-9b9898b8876b";

/// Microsoft's roles by their templates; the first nine are in use here.
const DEFINITIONS: &[(&str, &str)] = &[
    (GLOBAL_ADMINISTRATOR, "Global Administrator"),
    (
        PRIVILEGED_ROLE_ADMINISTRATOR,
        "Privileged Role Administrator",
    ),
    (APPLICATION_ADMINISTRATOR, "Application Administrator"),
    (USER_ADMINISTRATOR, "User Administrator"),
    (EXCHANGE_ADMINISTRATOR, "Exchange Administrator"),
    (SECURITY_ADMINISTRATOR, "Security Administrator"),
    (HELPDESK_ADMINISTRATOR, "Helpdesk Administrator"),
    (GLOBAL_READER, "Global Reader"),
    (DIRECTORY_READERS, "Directory Readers"),
    ("5d6b6bb7-de71-4623-b4af-96380a352509", "Security Reader"),
    (
        "f28a1f50-f6e7-4571-818b-6a12f2af6b6c",
        "SharePoint Administrator",
    ),
    (
        "b1be1c3e-b65d-4f19-8427-f6fa0d97feb9",
        "Conditional Access Administrator",
    ),
    (
        "b0f54661-2d74-4c50-afa3-1ec803f12efe",
        "Billing Administrator",
    ),
    (
        "158c047a-c907-4556-b7ef-446551a6b5f7",
        "Cloud Application Administrator",
    ),
    (
        "c4e39bd9-1100-46d3-8c65-fb160da0071f",
        "Authentication Administrator",
    ),
    (
        "3a2c62db-5318-420d-8d74-23affee5d9d5",
        "Intune Administrator",
    ),
    ("4a5d8f65-41da-4de4-8968-e035b65339cf", "Reports Reader"),
    (
        "69091246-20e8-4a56-aa4d-066075b2a7a8",
        "Teams Administrator",
    ),
];

/// How many of them are in use, and so are directory roles.
const ACTIVE: usize = 9;
const ID: u64 = 27;

fn description(name: &str) -> String {
    format!("What a {name} may do.")
}

/// The role definition at `index`; after Microsoft's one of the directory's own.
fn definition(d: &Directory, index: usize) -> Value {
    let own = object_id(d, 28, 0).to_string();
    let custom = (own.as_str(), "Printer manager");
    let (id, name) = DEFINITIONS.get(index).copied().unwrap_or(custom);
    json!({
        "id": id, "templateId": id, "displayName": name, "description": description(name),
        "isBuiltIn": index < DEFINITIONS.len(), "isEnabled": true, "resourceScopes": ["/"],
        "version": "1", "rolePermissions": [{ "condition": null,
            "allowedResourceActions": ["microsoft.directory/users/standard/read"] }],
    })
}

/// Directory roles: definitions that are in use. They are not paged.
pub(crate) struct Roles;

impl Collection for Roles {
    const NAME: &'static str = "directoryRoles";
    const CLASS: Class = Class::Role;

    fn end(_: &Call<'_>) -> usize {
        ACTIVE
    }

    fn exists(_: &Call<'_>, index: usize) -> bool {
        index < ACTIVE
    }

    fn id(call: &Call<'_>, index: usize) -> Uuid {
        object_id(call.directory, ID, index)
    }

    fn index(call: &Call<'_>, id: &str) -> Option<usize> {
        index_of(call.directory, ID, id)
    }

    fn object(call: &Call<'_>, index: usize, wanted: &Wanted) -> Map<String, Value> {
        let (template, name) = DEFINITIONS[index];
        object!(wanted, {
            "id": Self::id(call, index),
            "displayName": name,
            "description": description(name),
            "roleTemplateId": template,
            "deletedDateTime": Value::Null,
        })
    }
}

fn active(call: &Call<'_>) -> Answer {
    let wanted = Roles::wanted(call.query("$select"));
    let members = call.expand("members")?;
    let held = held(call);
    call.page_where(
        "directoryRoles",
        ACTIVE,
        (ACTIVE, ACTIVE),
        |_| true,
        |i| {
            let mut role = Roles::object(call, i, &wanted);
            if members.is_some() {
                let holders = held.iter().filter(|(id, ..)| *id == DEFINITIONS[i].0);
                let members: Vec<Value> = holders.map(principal).collect();
                role.insert("members".into(), json!(members));
            }
            Value::Object(role)
        },
    )
}

/// A role's template, who has it, of which type, and their name.
type Held = (&'static str, Uuid, &'static str, String);

fn principal((_, id, kind, name): &Held) -> Value {
    json!({ "@odata.type": format!("#microsoft.graph.{kind}"), "id": id, "displayName": name })
}

fn admin_group(directory: &Directory) -> Uuid {
    world::id(b"role-assignable group", directory.id.as_u64_pair().0)
}

/// Users of the directory with a role each, where they have not left.
fn by_users(call: &Call<'_>, held: &[(&'static str, usize)]) -> Vec<Held> {
    let (d, changes) = (call.directory, &call.changes);
    held.iter()
        .filter(|(_, user)| changes.has_user(d, *user))
        .map(|(role, user)| {
            let name = users::display_name(d, *user, changes);
            (*role, users::id(d, *user), "user", name)
        })
        .collect()
}

/// Who holds which role.
fn held(call: &Call<'_>) -> Vec<Held> {
    let d = call.directory;
    let account = |role, account: &str| {
        let id = account_id(d, account);
        (role, id, "user", account.to_owned())
    };
    let group = (
        GLOBAL_ADMINISTRATOR,
        admin_group(d),
        "group",
        "Administrators".to_owned(),
    );
    let machine = (
        DIRECTORY_READERS,
        managed_id(d, 0),
        "servicePrincipal",
        "mi-backup-0".to_owned(),
    );
    let mut all = by_users(call, &[(GLOBAL_ADMINISTRATOR, 0)]);
    all.extend([
        group,
        account(PRIVILEGED_ROLE_ADMINISTRATOR, "privileged"),
        account(APPLICATION_ADMINISTRATOR, "appadmin"),
        machine,
    ]);
    all.extend(by_users(
        call,
        &[
            (USER_ADMINISTRATOR, 1),
            (EXCHANGE_ADMINISTRATOR, 2),
            (HELPDESK_ADMINISTRATOR, 1),
            (HELPDESK_ADMINISTRATOR, 4),
            (SECURITY_ADMINISTRATOR, 5),
            (GLOBAL_READER, 6),
        ],
    ));
    all
}

fn assignments(call: &Call<'_>) -> Answer {
    let expand = call.expand("principal")?.is_some();
    let filter = Filter::of(call, &["roleDefinitionId", "principalId"])?;
    let all: Vec<Value> = held(call)
        .iter()
        .map(|held| {
            let (role, id, ..) = held;
            let mut assignment = json!({
                "id": format!("{role}-{id}"), "principalId": id, "roleDefinitionId": role,
                "directoryScopeId": "/", "appScopeId": null,
            });
            if expand {
                assignment["principal"] = principal(held);
            }
            assignment
        })
        .filter(|assignment| filter.holds(assignment))
        .collect();
    call.all("roleManagement/directory/roleAssignments", &all, 100, 999)
}

fn eligible(call: &Call<'_>) -> Answer {
    let d = call.directory;
    let expand = call.expand("principal")?.is_some();
    let may = [
        (GLOBAL_ADMINISTRATOR, 2),
        (SECURITY_ADMINISTRATOR, 1),
        (EXCHANGE_ADMINISTRATOR, 7),
    ];
    let all: Vec<Value> = by_users(call, &may)
        .iter()
        .enumerate()
        .map(|(k, held)| {
            let (role, id, ..) = held;
            let mut instance = json!({
                "id": object_id(d, 29, k), "principalId": id, "roleDefinitionId": role,
                "directoryScopeId": "/", "appScopeId": null, "memberType": "Direct",
                "startDateTime": days_ago(90), "endDateTime": null,
                "roleEligibilityScheduleId": object_id(d, 30, k),
            });
            if expand {
                instance["principal"] = principal(held);
            }
            instance
        })
        .collect();
    call.all(
        "roleManagement/directory/roleEligibilityScheduleInstances",
        &all,
        100,
        999,
    )
}

/// Of the group that administrators are in; no other group's are known.
fn transitive_members(call: &Call<'_>) -> Answer {
    if call.id != admin_group(call.directory).to_string() {
        return Err(not_found(&call.id));
    }
    let member = json!({ "@odata.type": "#microsoft.graph.user",
        "id": account_id(call.directory, "groupadmin"), "displayName": "Group Administrator" });
    call.all("directoryObjects", &[member], 100, 999)
}
