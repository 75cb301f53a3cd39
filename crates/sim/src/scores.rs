//! Secure Score: the days, and what is scored.

use chrono::Duration;
use serde_json::{Value, json};

use crate::{
    Directory,
    call::{Answer, Call},
    data::{mix, now},
    router::Route,
};

const ROLES: &[&str] = &["SecurityEvents.Read.All"];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("/v1.0/security/secureScores", ROLES, days),
    Route::new("/v1.0/security/secureScoreControlProfiles", ROLES, controls),
];

fn days(call: &Call<'_>) -> Answer {
    call.page("security/secureScores", 90, 90, 90, |ago| {
        secure_score(call.directory, ago)
    })
}

fn controls(call: &Call<'_>) -> Answer {
    call.all(
        "security/secureScoreControlProfiles",
        &control_profiles(call.directory),
        20,
        200,
    )
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
fn secure_score(d: &Directory, ago: usize) -> Value {
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
fn control_profiles(d: &Directory) -> Vec<Value> {
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
