//! Lists: pages, `$select`, what Microsoft says of activity and registration, licences.

use tenantry_sim::World;

use crate::{Cloud, ids};

#[actix_web::test]
async fn every_list_pages_and_selects() {
    let world = World::sized_with_devices("secret".into(), 900, 20, 500, 700);
    let cloud = Cloud::start(world, |w| {
        w.directories.last_mut().unwrap().premium_two = true;
    })
    .await;
    for (path, least) in [
        ("/v1.0/users", 900),
        ("/v1.0/groups", 20),
        ("/v1.0/applications", 45),
        ("/v1.0/servicePrincipals", 80),
        ("/v1.0/devices", 700),
        ("/v1.0/deviceManagement/managedDevices", 500),
        ("/v1.0/roleManagement/directory/roleDefinitions", 15),
        ("/v1.0/roleManagement/directory/roleAssignments", 10),
        (
            "/v1.0/roleManagement/directory/roleEligibilityScheduleInstances",
            3,
        ),
        ("/v1.0/identity/conditionalAccess/policies", 5),
        ("/v1.0/identityProtection/riskyUsers", 20),
        ("/v1.0/identityProtection/riskDetections", 20),
        ("/v1.0/auditLogs/directoryAudits", 800),
        ("/v1.0/auditLogs/signIns", 1700),
        ("/beta/reports/servicePrincipalSignInActivities", 50),
        (
            "/v1.0/reports/authenticationMethods/userRegistrationDetails",
            900,
        ),
    ] {
        let (all, ..) = cloud.all(&format!("{path}?$top=400&$select=id")).await;
        assert!(all.len() >= least, "{path}: {}", all.len());
        assert_eq!(ids(&all).len(), all.len(), "{path}");
        assert!(
            all.iter().all(|o| o.as_object().unwrap().len() == 1),
            "{path}"
        );
        let id = all.last().unwrap()["id"].as_str().unwrap();
        if [
            "users",
            "groups",
            "applications",
            "servicePrincipals",
            "devices",
        ]
        .contains(&path.trim_start_matches("/v1.0/"))
        {
            assert_eq!(cloud.get(&format!("{path}/{id}")).await.body["id"], id);
            let told = cloud.all(&format!("{path}/delta?$select=id")).await.0;
            assert_eq!(ids(&told), ids(&all), "{path}");
        }
    }
    let (roles, ..) = cloud.all("/v1.0/directoryRoles?$expand=members").await;
    assert!(
        roles
            .iter()
            .all(|r| !r["members"].as_array().unwrap().is_empty())
    );
    assert_eq!(
        cloud.all("/v1.0/directoryRoles/delta").await.0.len(),
        roles.len()
    );
    let filter = "$filter=servicePrincipalType eq 'ManagedIdentity'";
    let (identities, ..) = cloud
        .all(&format!("/v1.0/servicePrincipals?{filter}"))
        .await;
    assert_eq!(identities.len(), 18);
    for principal in &cloud.all("/v1.0/servicePrincipals").await.0 {
        let id = principal["id"].as_str().unwrap();
        cloud
            .all(&format!("/v1.0/servicePrincipals/{id}/appRoleAssignments"))
            .await;
        let app = principal["appId"].as_str().unwrap();
        let same = cloud
            .get(&format!("/v1.0/servicePrincipals(appId='{app}')"))
            .await;
        assert_eq!(same.body["id"], id);
    }
    let expanded =
        "/v1.0/applications?$select=id&$expand=owners($select=id,displayName,userPrincipalName)";
    let (applications, ..) = cloud.all(expanded).await;
    let many = applications
        .iter()
        .find(|a| a["owners"].as_array().unwrap().len() == 20)
        .unwrap();
    let owners = format!("/v1.0/applications/{}/owners", many["id"].as_str().unwrap());
    assert_eq!(cloud.all(&owners).await.0.len(), 25);
    assert_eq!(many["owners"][0].as_object().unwrap().len(), 4);
}

#[actix_web::test]
async fn activity_and_registration_are_told_as_microsoft_does() {
    let cloud = Cloud::sized(600, 3, 9).await;
    let path = "/v1.0/users?$select=id,signInActivity";
    assert_eq!(cloud.get(&format!("{path}&$top=501")).await.status, 400);
    let (all, _, pages) = cloud.all(&format!("{path}&$top=500")).await;
    assert_eq!((all.len(), pages), (600, 2));
    let never = all
        .iter()
        .filter(|u| u.get("signInActivity").is_none())
        .count();
    assert!((20..100).contains(&never), "{never}");
    let report = "/v1.0/reports/authenticationMethods/userRegistrationDetails?$orderby=lastUpdatedDateTime desc";
    let (before, ..) = cloud.all(report).await;
    cloud.sim.register_mfa(cloud.directory, 500);
    let (after, ..) = cloud.all(report).await;
    assert_eq!(after.len(), before.len());
    assert_eq!(after[0]["id"], before[500]["id"]);
    assert!(after[0]["isMfaRegistered"] == true);
    let times: Vec<&str> = after
        .iter()
        .map(|r| r["lastUpdatedDateTime"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b));

    let (audits, ..) = cloud.all("/v1.0/auditLogs/directoryAudits").await;
    let since = audits[10]["activityDateTime"].as_str().unwrap();
    let filter = format!("/v1.0/auditLogs/directoryAudits?$filter=activityDateTime ge {since}");
    assert_eq!(cloud.all(&filter).await.0, audits[..=10]);
    let reply = cloud
        .get("/v1.0/auditLogs/signIns?$filter=signInEventTypes/any(t:t eq 'x')")
        .await;
    assert_eq!(reply.status, 400);
}

#[actix_web::test]
async fn licences_are_enforced() {
    let cloud = Cloud::start(World::demo("secret".into()), |w| {
        let last = w.directories.last_mut().unwrap();
        last.spreads = 0;
        last.premium = false;
    })
    .await;
    for (path, status, code) in [
        (
            "/v1.0/users?$select=id,signInActivity",
            403,
            "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
        ),
        (
            "/v1.0/auditLogs/signIns",
            403,
            "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
        ),
        ("/v1.0/deviceManagement/managedDevices", 400, "BadRequest"),
        ("/v1.0/identityProtection/riskyUsers", 403, "Forbidden"),
        (
            "/v1.0/roleManagement/directory/roleEligibilityScheduleInstances",
            400,
            "AadPremiumLicenseRequired",
        ),
    ] {
        let reply = cloud.get(path).await;
        assert_eq!(
            (reply.status, reply.body["error"]["code"].as_str()),
            (status, Some(code)),
            "{path}"
        );
    }
    assert!(
        cloud
            .all("/v1.0/identity/conditionalAccess/policies")
            .await
            .0
            .is_empty()
    );
    let (audits, ..) = cloud.all("/v1.0/auditLogs/directoryAudits").await;
    assert!(!audits.is_empty() && audits.len() <= 7 * 2);
}
