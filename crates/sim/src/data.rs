//! Objects of a directory, computed from its id and their index.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Directory, state::Changes, world};

const GIVEN: &[&str] = &[
    "Adele",
    "Bjørn",
    "Chloé",
    "Dmitri",
    "Élodie",
    "Fatima",
    "Gráinne",
    "Hiroshi",
    "Ines",
    "Jürgen",
    "Katarzyna",
    "Liam",
    "Mei",
    "Noor",
    "Olu",
    "Priya",
    "Qiang",
    "Rosa",
    "Søren",
    "Thảo",
    "Ulla",
    "Václav",
    "Wanjiru",
    "Ximena",
    "Yusuf",
    "Zoë",
    "美咲",
    "محمد",
    "Ελένη",
    "Ольга",
];
const FAMILY: &[&str] = &[
    "Andersson",
    "Bianchi",
    "Castro",
    "D'Souza",
    "Eriksen",
    "Fischer",
    "García",
    "Hansen",
    "Ito",
    "Jansen",
    "Kowalski",
    "López",
    "Müller",
    "Nguyễn",
    "O'Brien",
    "Petrov",
    "Quist",
    "Rossi",
    "Şahin",
    "Tanaka",
    "Usman",
    "Vasquez",
    "Wójcik",
    "Xu",
    "Yamamoto",
    "Zhang",
    "佐藤",
    "الحسن",
    "Παπαδόπουλος",
    "Иванова",
];
const DEPARTMENTS: &[&str] = &[
    "Sales",
    "Finance",
    "Operations",
    "IT",
    "Legal",
    "Human Resources",
    "Research & Development",
];
const TITLES: &[&str] = &[
    "Manager",
    "Specialist",
    "Director",
    "Analyst",
    "Engineer",
    "Assistant",
];

/// A well-mixed number of a directory, a purpose and an index (splitmix64).
fn mix(directory: &Directory, purpose: u64, index: usize) -> u64 {
    let mut z = directory.id.as_u64_pair().0
        ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (index as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn pick<'a>(list: &[&'a str], n: u64) -> &'a str {
    list[usize::try_from(n % list.len() as u64).unwrap_or(0)]
}

fn object_id(directory: &Directory, purpose: u64, index: usize) -> Uuid {
    uuid::Builder::from_random_bytes(
        (u128::from(mix(directory, purpose, index)) << 64
            | u128::from(mix(directory, purpose + 100, index)))
        .to_be_bytes(),
    )
    .into_uuid()
}

fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Now, as the simulated Microsoft sees it: real time.
#[allow(clippy::disallowed_methods)] // the simulator stands for a machine elsewhere
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A fixed day from which dates of objects are counted back, so that they stay the same.
fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default()
}

pub(crate) fn user_id(directory: &Directory, index: usize) -> Uuid {
    object_id(directory, 1, index)
}

/// `GET /organization`.
pub(crate) fn organization(d: &Directory) -> Value {
    json!({
        "id": d.id, "displayName": d.name, "countryLetterCode": d.country, "tenantType": "AAD",
        "createdDateTime": stamp(epoch() - Duration::days(1800)),
        "onPremisesSyncEnabled": null, "partnerTenantType": null,
        "technicalNotificationMails": [format!("it@{}", d.domain)],
        "verifiedDomains": [
            { "name": d.domain, "isDefault": true, "isInitial": false, "type": "Managed", "capabilities": "Email" },
            { "name": initial_domain(d), "isDefault": false, "isInitial": true, "type": "Managed", "capabilities": "Email" },
        ],
        "assignedPlans": [],
    })
}

fn initial_domain(d: &Directory) -> String {
    format!(
        "{}.onmicrosoft.example",
        d.domain.split('.').next().unwrap_or("tenant")
    )
}

/// `GET /domains`.
pub(crate) fn domains(d: &Directory) -> Vec<Value> {
    [(d.domain.clone(), true), (initial_domain(d), false)]
        .into_iter()
        .map(|(name, default)| {
            json!({
                "id": name, "authenticationType": "Managed", "isAdminManaged": true,
                "isDefault": default, "isInitial": !default, "isRoot": true, "isVerified": true,
                "supportedServices": ["Email", "OfficeCommunicationsOnline"],
                "passwordValidityPeriodInDays": 2_147_483_647, "passwordNotificationWindowInDays": 14,
                "availabilityStatus": null, "state": null,
            })
        })
        .collect()
}

/// The user at `index`; the first is the administrator.
pub(crate) fn user(d: &Directory, index: usize, changes: &Changes) -> Value {
    let n = mix(d, 2, index);
    let (given, family) = (pick(GIVEN, n), pick(FAMILY, n >> 8));
    let name = match (index, changes.renamed.get(&index)) {
        (_, Some(name)) => name.clone(),
        (0, _) => "Global Administrator".to_owned(),
        // Names come from outside and may hold anything.
        (3, _) => "<script>alert('x')</script> & \"Friends\"".to_owned(),
        (4, _) => "=HYPERLINK(\"http://evil.example\",\"Pay\")".to_owned(),
        _ => format!("{given} {family}"),
    };
    let guest = index > 4 && n.is_multiple_of(11);
    let upn = match index {
        0 => format!("admin@{}", d.domain),
        _ if guest => format!("guest{index}_partner.example#EXT#@{}", initial_domain(d)),
        _ => format!("user{index}@{}", d.domain),
    };
    let licensed = d.premium && !guest && !n.is_multiple_of(7);
    json!({
        "id": user_id(d, index), "displayName": name, "userPrincipalName": upn,
        "mail": if n % 5 == 4 { Value::Null } else { json!(upn.replace("#EXT#", "")) },
        "givenName": given, "surname": family,
        "jobTitle": if n.is_multiple_of(3) { Value::Null } else { json!(pick(TITLES, n >> 16)) },
        "department": if n.is_multiple_of(4) { Value::Null } else { json!(pick(DEPARTMENTS, n >> 24)) },
        "officeLocation": null, "companyName": if guest { json!("Partner Example") } else { json!(d.name) },
        "employeeId": format!("E{index:06}"), "employeeType": if n.is_multiple_of(9) { "Contractor" } else { "Employee" },
        "usageLocation": d.country, "userType": if guest { "Guest" } else { "Member" },
        "externalUserState": if guest { json!("Accepted") } else { Value::Null },
        "accountEnabled": index == 0 || !n.is_multiple_of(13),
        "onPremisesSyncEnabled": if n.is_multiple_of(6) { json!(true) } else { Value::Null },
        "assignedLicenses": if licensed {
            json!([{ "skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "disabledPlans": [] }])
        } else { json!([]) },
        "createdDateTime": stamp(epoch() - Duration::days(i64::try_from(n % 2000).unwrap_or(0))),
        "lastPasswordChangeDateTime": stamp(epoch() - Duration::days(i64::try_from(n % 400).unwrap_or(0))),
    })
}

/// The registration report's line of the user at `index`.
pub(crate) fn registration(d: &Directory, index: usize) -> Value {
    let n = mix(d, 3, index);
    let registered = index == 0 || n % 100 < 74;
    let methods: &[&str] = match (registered, n % 4) {
        (false, _) => &[],
        (true, 0) => &["microsoftAuthenticatorPush", "softwareOneTimePasscode"],
        (true, 1) => &["mobilePhone"],
        (true, 2) => &["microsoftAuthenticatorPush"],
        (true, _) => &["passKeyDeviceBound", "microsoftAuthenticatorPush"],
    };
    let upn = if index == 0 {
        format!("admin@{}", d.domain)
    } else {
        format!("user{index}@{}", d.domain)
    };
    json!({
        "id": user_id(d, index), "userPrincipalName": upn, "userDisplayName": format!("User {index}"),
        "userType": "member", "isAdmin": index == 0 || n.is_multiple_of(97), "isSsprRegistered": registered,
        "isSsprEnabled": true, "isSsprCapable": registered, "isMfaRegistered": registered,
        "isMfaCapable": registered, "isPasswordlessCapable": registered && n % 4 == 3,
        "methodsRegistered": methods, "isSystemPreferredAuthenticationMethodEnabled": true,
        "systemPreferredAuthenticationMethods": [],
        "userPreferredMethodForSecondaryAuthentication": if registered { "push" } else { "none" },
        "lastUpdatedDateTime": stamp(epoch()),
    })
}

/// The group at `index`.
pub(crate) fn group(d: &Directory, index: usize) -> Value {
    let n = mix(d, 4, index);
    let department = pick(DEPARTMENTS, index as u64);
    let (types, security, mail): (&[&str], bool, bool) = match index % 5 {
        0 => (&["Unified"], false, true),
        1 => (&[], true, false),
        2 => (&["DynamicMembership"], true, false),
        3 => (&[], false, true),
        _ => (&[], true, true),
    };
    json!({
        "id": object_id(d, 5, index),
        "displayName": if index == 1 { "All <i>staff</i> & friends".to_owned() } else { format!("{department} {index}") },
        "description": if n.is_multiple_of(3) { Value::Null } else { json!(format!("Everyone in {department}")) },
        "groupTypes": types, "securityEnabled": security, "mailEnabled": mail,
        "mail": if mail { json!(format!("group{index}@{}", d.domain)) } else { Value::Null },
        "visibility": if index.is_multiple_of(5) { json!("Private") } else { Value::Null },
        "membershipRule": if index % 5 == 2 { json!(format!("user.department -eq \"{department}\"")) } else { Value::Null },
        "membershipRuleProcessingState": if index % 5 == 2 { json!("On") } else { Value::Null },
        "isAssignableToRole": if n.is_multiple_of(10) { json!(true) } else { Value::Null },
        "onPremisesSyncEnabled": null,
        "createdDateTime": stamp(epoch() - Duration::days(i64::try_from(n % 1500).unwrap_or(0))),
        "renewedDateTime": stamp(epoch() - Duration::days(i64::try_from(n % 1500).unwrap_or(0))),
        "expirationDateTime": null, "assignedLicenses": [],
    })
}

/// Index of the group with this id.
pub(crate) fn group_index(d: &Directory, id: &str) -> Option<usize> {
    let id = Uuid::parse_str(id).ok()?;
    (0..d.groups).find(|i| object_id(d, 5, *i) == id)
}

/// How many members the group at `index` has.
pub(crate) fn member_count(d: &Directory, index: usize) -> usize {
    if d.groups == 0 {
        return 0;
    }
    let even = d.memberships / d.groups + usize::from(index < d.memberships % d.groups);
    even.min(d.users)
}

/// The user index of the `k`-th member of a group: consecutive users, so no one comes twice.
pub(crate) fn member_user(d: &Directory, group: usize, k: usize) -> usize {
    (group * (d.memberships / d.groups.max(1)).max(1) + k) % d.users.max(1)
}

const CONTROLS: &[(&str, &str, &str, f64, &str)] = &[
    (
        "AdminMFAV2",
        "Ensure multifactor authentication is enabled for all users in administrative roles",
        "Identity",
        10.0,
        "AzureAD",
    ),
    (
        "MFARegistrationV2",
        "Ensure multifactor authentication is enabled for all users",
        "Identity",
        9.0,
        "AzureAD",
    ),
    (
        "BlockLegacyAuthentication",
        "Enable policy to block legacy authentication",
        "Identity",
        8.0,
        "AzureAD",
    ),
    (
        "IntegratedApps",
        "Do not allow users to grant consent to unmanaged applications",
        "Identity",
        4.0,
        "AzureAD",
    ),
    (
        "OneAdmin",
        "Designate more than one global admin",
        "Identity",
        1.0,
        "AzureAD",
    ),
    (
        "RoleOverlap",
        "Use least privileged administrative roles",
        "Identity",
        1.0,
        "AzureAD",
    ),
    (
        "PWAgePolicyNew",
        "Do not expire passwords",
        "Identity",
        8.0,
        "AzureAD",
    ),
    (
        "SelfServicePasswordReset",
        "Enable self-service password reset",
        "Identity",
        1.0,
        "AzureAD",
    ),
    (
        "SigninRiskPolicy",
        "Protect all users with a sign-in risk policy",
        "Identity",
        7.0,
        "AzureAD",
    ),
    (
        "UserRiskPolicy",
        "Protect all users with a user risk policy",
        "Identity",
        7.0,
        "AzureAD",
    ),
    (
        "aad_admin_consent_workflow",
        "Enable the admin consent workflow",
        "Identity",
        3.0,
        "AzureAD",
    ),
    (
        "exo_mailboxaudit",
        "Ensure mailbox auditing is enabled for all users",
        "Apps",
        5.0,
        "EXO",
    ),
    (
        "mdo_safelinks",
        "Create Safe Links policies for email messages",
        "Apps",
        9.0,
        "MDO",
    ),
    (
        "mdo_safeattachments",
        "Turn on Safe Attachments in block mode",
        "Apps",
        8.0,
        "MDO",
    ),
    (
        "mdo_antiphish",
        "Set the phishing email level threshold at 2 or higher",
        "Apps",
        8.0,
        "MDO",
    ),
    (
        "mdo_spamaction",
        "Set action to take on spam detection",
        "Apps",
        5.0,
        "MDO",
    ),
    (
        "spo_externalsharing",
        "Restrict external sharing of content",
        "Apps",
        6.0,
        "SPO",
    ),
    (
        "11770.MDA_Google_EnableTwoFactorAuth",
        "Enforce two-step verification for Google Workspace",
        "Apps",
        5.0,
        "MDA_Google",
    ),
    (
        "mip_search_auditlog",
        "Ensure Microsoft 365 audit log search is enabled",
        "Data",
        3.0,
        "MIP",
    ),
    (
        "mip_sensitivitylabels",
        "Extend sensitivity labelling to assets",
        "Data",
        5.0,
        "MIP",
    ),
    (
        "mip_DLP_policies",
        "Ensure DLP policies are enabled",
        "Data",
        5.0,
        "MIP",
    ),
    (
        "scid_2000",
        "Turn on Microsoft Defender Antivirus",
        "Device",
        10.0,
        "MDATP",
    ),
    (
        "scid_2010",
        "Turn on Tamper Protection",
        "Device",
        9.0,
        "MDATP",
    ),
    (
        "scid_2013",
        "Turn on BitLocker for operating system drives",
        "Device",
        9.0,
        "MDATP",
    ),
    (
        "scid_63",
        "Block untrusted and unsigned processes that run from USB",
        "Device",
        9.0,
        "MDATP",
    ),
    (
        "scid_2070",
        "Update Microsoft Defender Antivirus definitions",
        "Device",
        8.0,
        "MDATP",
    ),
    (
        "aati_lateralmovement",
        "Reduce lateral movement path risk to sensitive entities",
        "Infrastructure",
        5.0,
        "AATP",
    ),
    (
        "aati_unsecurekerberos",
        "Resolve unsecure Kerberos delegations",
        "Infrastructure",
        5.0,
        "AATP",
    ),
];

/// `GET /security/secureScores`: the day `ago` days back, newest first.
pub(crate) fn secure_score(d: &Directory, ago: usize) -> Value {
    let day = now() - Duration::days(i64::try_from(ago).unwrap_or(0));
    let date = day.format("%Y-%m-%d").to_string();
    let max: f64 = CONTROLS.iter().map(|c| c.3).sum();
    let mut controls = Vec::new();
    let mut total = 0.0;
    for (i, (name, title, category, points, _)) in CONTROLS.iter().enumerate() {
        let n = mix(d, 6, i) % 100;
        // Controls are won one after another: each was open before its own day.
        let won_ago = mix(d, 7, i) % 120;
        let share = match n {
            _ if (ago as u64) > won_ago => 0.0,
            n if n < u64::from(d.score) => 1.0,
            n if n < u64::from(d.score) + 12 => 0.5,
            _ => 0.0,
        };
        let score = points * share;
        total += score;
        controls.push(json!({
            "controlName": name, "controlCategory": category, "description": format!("<p>{title}.</p>"),
            "score": score, "scoreInPercentage": share * 100.0,
            "implementationStatus": format!("You have {} of {} affected accounts covered.", (share * 40.0).round(), 40),
            "lastSynced": format!("{date}T03:00:00Z"), "count": format!("{}", (share * 40.0).round()), "total": "40",
        }));
    }
    json!({
        "id": format!("{}_{date}", d.id), "azureTenantId": d.id, "createdDateTime": format!("{date}T00:00:00Z"),
        "currentScore": total, "maxScore": max, "activeUserCount": d.users, "licensedUserCount": 0,
        "enabledServices": if d.premium { json!(["HasAADP1", "HasEXOP2", "HasSPOP2"]) } else { json!(["HasAADFree"]) },
        "averageComparativeScores": [
            { "basis": "TotalSeats", "averageScore": 41.5, "SeatSizeRangeLowerValue": "1", "SeatSizeRangeUpperValue": "100" },
            { "basis": "AllTenants", "averageScore": 44.1 },
        ],
        "controlScores": controls,
        "vendorInformation": { "provider": "SecureScore", "providerVersion": null, "subProvider": null, "vendor": "Microsoft" },
    })
}

/// `GET /security/secureScoreControlProfiles`.
pub(crate) fn control_profiles(d: &Directory) -> Vec<Value> {
    CONTROLS
        .iter()
        .enumerate()
        .map(|(i, (name, title, category, points, service))| {
            let impact = ["Low", "Moderate", "High", "Unknown"][i % 4];
            let state = if i % 9 == 8 { "ThirdParty" } else { "Default" };
            json!({
                "id": name, "azureTenantId": d.id, "title": title, "controlCategory": category,
                "actionType": "Config", "actionUrl": "https://security.microsoft.com/securescore",
                "maxScore": points, "rank": i + 1, "service": service, "tier": "Core",
                "threats": ["Account breach", "Data exfiltration"], "userImpact": impact,
                "implementationCost": (if i % 2 == 0 { "Low" } else { "Moderate" }), "deprecated": false,
                "remediation": format!(
                    "<ol><li>Open the <a href=\"https://entra.microsoft.com/\">admin center</a>.</li>\
                     <li>{title}.</li></ol><img src=x onerror=alert(1)><script>alert(2)</script>"),
                "remediationImpact": "<p>Users may be asked to sign in again.</p>",
                "lastModifiedDateTime": null, "complianceInformation": [],
                "controlStateUpdates": [{ "assignedTo": null, "comment": null, "state": state,
                    "updatedBy": null, "updatedDateTime": null }],
                "vendorInformation": { "provider": "SecureScore", "providerVersion": null,
                    "subProvider": null, "vendor": "Microsoft" },
            })
        })
        .collect()
}

/// `GET /subscribedSkus`.
pub(crate) fn skus(d: &Directory) -> Vec<Value> {
    if !d.premium {
        return vec![];
    }
    let mut plans = vec![("41781fb2-bc02-4b7c-bd55-b576c07bb09d", "AAD_PREMIUM")];
    if d.premium_two {
        plans.push(("eec0eb4f-6444-4f95-aba0-50c24d67f998", "AAD_PREMIUM_P2"));
        plans.push(("c1ec4a95-1f05-45b3-a911-aa3fa01094f5", "INTUNE_A"));
    }
    let plans: Vec<Value> = plans
        .into_iter()
        .map(|(id, name)| {
            json!({ "servicePlanId": id, "servicePlanName": name,
                "provisioningStatus": "Success", "appliesTo": "User" })
        })
        .collect();
    vec![json!({
        "id": format!("{}_06ebc4ee-1bb5-47dd-8120-11324bc54e06", d.id),
        "skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "skuPartNumber": if d.premium_two { "SPE_E5" } else { "SPE_E3" },
        "accountId": d.id, "accountName": d.name, "appliesTo": "User", "capabilityStatus": "Enabled",
        "consumedUnits": d.users, "prepaidUnits": { "enabled": d.users + 10, "lockedOut": 0, "suspended": 0, "warning": 0 },
        "servicePlans": plans,
        "subscriptionIds": [world::id(b"subscription", d.users as u64)],
    })]
}
