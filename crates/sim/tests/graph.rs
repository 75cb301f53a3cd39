//! The simulator as a client meets it: over HTTP, with a token.

#![allow(clippy::unwrap_used)] // a test fails by it

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::{Value, json};
use tenantry_sim::{Fault, Kind, Sim, Weather, World};
use uuid::Uuid;

/// A simulator with one directory of a chosen size, consented to.
struct Cloud {
    sim: Sim,
    directory: Uuid,
    token: String,
}

struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
}

fn send(address: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).unwrap();
    let kind = if body.starts_with('{') {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    let path = path.replace(' ', "%20");
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        address,
        body.len()
    )
    .unwrap();
    let mut text = Vec::new();
    // A reset is an answer too.
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    Some(Reply {
        status,
        headers,
        body,
    })
}

impl Cloud {
    async fn start(world: World, change: impl FnOnce(&mut World)) -> Self {
        let mut world = world;
        change(&mut world);
        let directory = world.directories.last().unwrap().id;
        let sim = Sim::start(world, ([127, 0, 0, 1], 0).into(), None)
            .await
            .unwrap();
        let mut cloud = Self {
            sim,
            directory,
            token: String::new(),
        };
        cloud.token = cloud.sign_in(directory).await;
        cloud
    }

    async fn sized(users: usize, groups: usize, memberships: usize) -> Self {
        let world = World::sized("secret".into(), users, groups, memberships);
        Self::start(world, |_| {}).await
    }

    async fn sign_in(&self, directory: Uuid) -> String {
        let application = &self.sim.world().applications[0];
        self.sim.grant(directory, application.client_id);
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=x/.default",
            application.client_id, application.secret
        );
        let reply = self
            .send("POST", &format!("/{directory}/oauth2/v2.0/token"), form)
            .await;
        reply.body["access_token"].as_str().unwrap().to_owned()
    }

    async fn send(&self, method: &'static str, path: &str, body: String) -> Reply {
        self.try_send(method, path, body).await.unwrap()
    }

    /// None where there was no answer.
    async fn try_send(&self, method: &'static str, path: &str, body: String) -> Option<Reply> {
        let (address, token, path) = (self.sim.address(), self.token.clone(), path.to_owned());
        actix_web::web::block(move || send(address, method, &path, &token, &body))
            .await
            .unwrap()
    }

    async fn get(&self, path: &str) -> Reply {
        let path = path
            .strip_prefix(self.sim.url().trim_end_matches('/'))
            .unwrap_or(path);
        self.send("GET", path, String::new()).await
    }

    /// All objects of a list, and the last page.
    async fn all(&self, path: &str) -> (Vec<Value>, Value, usize) {
        let (mut all, mut path, mut pages) = (Vec::new(), path.to_owned(), 0);
        loop {
            let reply = self.get(&path).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.body);
            pages += 1;
            all.extend(reply.body["value"].as_array().unwrap().iter().cloned());
            match reply.body["@odata.nextLink"].as_str() {
                Some(next) => path = next.to_owned(),
                None => return (all, reply.body, pages),
            }
        }
    }
}

fn ids(all: &[Value]) -> BTreeSet<String> {
    all.iter()
        .map(|o| o["id"].as_str().unwrap().to_owned())
        .collect()
}

fn delta_link(page: &Value) -> &str {
    page["@odata.deltaLink"].as_str().unwrap()
}

#[actix_web::test]
async fn a_delta_query_tells_everything_once_and_then_what_changed() {
    let cloud = Cloud::sized(450, 10, 900).await;
    let (all, last, pages) = cloud
        .all("/v1.0/users/delta?$select=displayName,mail&$top=7")
        .await;
    assert_eq!((all.len(), ids(&all).len(), pages), (450, 450, 3));
    let names: BTreeSet<&str> = all
        .iter()
        .flat_map(|u| u.as_object().unwrap().keys().map(String::as_str))
        .collect();
    assert_eq!(names, BTreeSet::from(["id", "displayName", "mail"]));
    let (none, last, _) = cloud.all(delta_link(&last)).await;
    assert!(none.is_empty());

    cloud.sim.rename_user(cloud.directory, 7, "New Name");
    cloud.sim.rename_user(cloud.directory, 7, "Newer Name");
    cloud.sim.add_users(cloud.directory, 2);
    cloud.sim.remove_users(cloud.directory, 3);
    let (changed, last, _) = cloud.all(delta_link(&last)).await;
    assert_eq!(changed.len(), 6);
    let removed = changed.iter().filter(|o| o.get("@removed").is_some());
    assert_eq!(removed.count(), 3);
    assert_eq!(
        changed
            .iter()
            .filter(|o| o["displayName"] == "Newer Name")
            .count(),
        1
    );
    let (list, _, _) = cloud.all("/v1.0/users?$select=id&$top=100").await;
    assert_eq!(list.len(), 449);

    // Every tenth of 452, one of which has left.
    assert_eq!(cloud.sim.change_users(cloud.directory, 10), 45);
    let (changed, last, _) = cloud.all(delta_link(&last)).await;
    assert_eq!(changed.len(), 45);
    let page = cloud.get("/v1.0/users/delta?$deltatoken=latest").await.body;
    assert_eq!(page["value"], json!([]));
    cloud.sim.rename_user(cloud.directory, 9, "Third");
    assert_eq!(cloud.all(delta_link(&page)).await.0.len(), 1);

    cloud.sim.advance(7 * 86_400 + 10);
    let token = cloud.sign_in(cloud.directory).await;
    let cloud = Cloud { token, ..cloud };
    let reply = cloud.get(delta_link(&last)).await;
    assert_eq!(
        (reply.status, &reply.body["error"]["code"]),
        (400, &json!("syncStateNotFound"))
    );
    let fault = Fault::once("/users/delta", Kind::Gone);
    cloud.sim.fail_next(fault);
    let reply = cloud.get("/v1.0/users/delta?$deltatoken=x").await;
    assert_eq!(reply.status, 410);
    let (all, ..) = cloud.all(&reply.headers["location"]).await;
    assert_eq!(all.len(), 449);
}

#[actix_web::test]
async fn what_was_selected_decides_which_changes_are_told() {
    let cloud = Cloud::sized(30, 3, 9).await;
    let (_, last, _) = cloud.all("/v1.0/users/delta?$select=mail").await;
    cloud.sim.rename_user(cloud.directory, 5, "Nobody cares");
    assert!(cloud.all(delta_link(&last)).await.0.is_empty());
}

/// The ids that a relation has after these appearances of its objects.
fn merged(pages: &[Value], relation: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in pages {
        let set = all
            .entry(object["id"].as_str().unwrap().to_owned())
            .or_default();
        for link in object[relation].as_array().into_iter().flatten() {
            let id = link["id"].as_str().unwrap().to_owned();
            assert_eq!(link["@odata.type"], "#microsoft.graph.user");
            if link.get("@removed").is_some() {
                set.remove(&id);
            } else {
                assert!(set.insert(id), "twice");
            }
        }
    }
    all
}

#[actix_web::test]
async fn members_are_sent_in_slices_and_then_as_changes() {
    let cloud = Cloud::sized(1300, 3, 3600).await;
    let (all, last, pages) = cloud
        .all("/v1.0/groups/delta?$select=id,displayName,members,owners")
        .await;
    assert!(all.len() == 9 && pages >= 7, "{} {pages}", all.len());
    let members = merged(&all, "members@delta");
    for (id, members) in &members {
        let (listed, ..) = cloud
            .all(&format!("/v1.0/groups/{id}/members?$select=id&$top=999"))
            .await;
        assert_eq!((&ids(&listed), members.len()), (members, 1200));
        let (owners, ..) = cloud.all(&format!("/v1.0/groups/{id}/owners")).await;
        let told = merged(&all, "owners@delta").remove(id).unwrap_or_default();
        assert_eq!(ids(&owners), told);
    }
    let (groups, ..) = cloud.all("/v1.0/groups?$select=id").await;
    let group = |i: usize| groups[i]["id"].as_str().unwrap().to_owned();

    cloud.sim.remove_users(cloud.directory, 5);
    cloud.sim.add_users(cloud.directory, 1);
    cloud.sim.add_member(cloud.directory, 1, 1300);
    cloud.sim.remove_member(cloud.directory, 1, 1300);
    cloud.sim.add_member(cloud.directory, 0, 1300);
    cloud.sim.remove_member(cloud.directory, 0, 0);
    cloud.sim.remove_group(cloud.directory, 2);
    let (changed, last, _) = cloud.all(delta_link(&last)).await;
    let gone: Vec<&Value> = changed
        .iter()
        .filter(|g| g.get("@removed").is_some())
        .collect();
    assert_eq!(gone.len(), 1);
    let mut after = members.clone();
    for object in &changed {
        let set = after.get_mut(object["id"].as_str().unwrap()).unwrap();
        for link in object["members@delta"].as_array().into_iter().flatten() {
            let id = link["id"].as_str().unwrap().to_owned();
            match link.get("@removed") {
                Some(why) => {
                    assert_eq!(why["reason"], "deleted");
                    set.remove(&id)
                }
                None => set.insert(id),
            };
        }
    }
    for i in 0..2 {
        let (listed, ..) = cloud
            .all(&format!("/v1.0/groups/{}/members?$select=id", group(i)))
            .await;
        assert_eq!(ids(&listed), after[&group(i)], "group {i}");
    }
    let missing = cloud.get(&format!("/v1.0/groups/{}", group(2))).await;
    assert_eq!(missing.status, 404);
    assert!(cloud.all(delta_link(&last)).await.0.is_empty());
}

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

async fn batch(cloud: &Cloud, requests: Value) -> Reply {
    cloud
        .send(
            "POST",
            "/v1.0/$batch",
            json!({ "requests": requests }).to_string(),
        )
        .await
}

#[actix_web::test]
async fn a_batch_answers_each_request_on_its_own() {
    let cloud = Cloud::sized(300, 12, 1500).await;
    let (groups, ..) = cloud.all("/v1.0/groups?$select=id").await;
    cloud.sim.fail_next(Fault::once(
        &format!("/groups/{}/members", groups[1]["id"].as_str().unwrap()),
        Kind::Throttle { seconds: 3 },
    ));
    let mut requests: Vec<Value> = groups
        .iter()
        .enumerate()
        .map(|(i, g)| {
            json!({ "id": i.to_string(), "method": "GET",
            "url": format!("/groups/{}/members?$select=id&$top=20", g["id"].as_str().unwrap()) })
        })
        .collect();
    requests
        .push(json!({ "id": "x", "method": "GET", "url": "users?$select=displayName, id&$top=5" }));
    requests.push(json!({ "id": "y", "method": "GET", "url": "/nothing", "dependsOn": ["x"] }));
    requests.push(json!({ "id": "z", "method": "GET", "url": "/users", "dependsOn": ["y"] }));
    let before = cloud.sim.requests("/members");
    let reply = batch(&cloud, json!(requests)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(cloud.sim.requests("/members"), before + 12);
    let responses = reply.body["responses"].as_array().unwrap();
    assert_eq!(responses.len(), 15);
    assert_ne!(responses[0]["id"], "0");
    let by_id = |id: &str| responses.iter().find(|r| r["id"] == id).unwrap();
    assert_eq!(
        (&by_id("1")["status"], &by_id("1")["headers"]["Retry-After"]),
        (&json!(429), &json!("3"))
    );
    let next = by_id("0")["body"]["@odata.nextLink"].as_str().unwrap();
    assert!(next.starts_with(&cloud.sim.url()), "{next}");
    let (rest, ..) = cloud.all(next).await;
    assert_eq!(rest.len(), 105);
    assert_eq!(by_id("x")["body"]["value"].as_array().unwrap().len(), 5);
    assert_eq!(
        (&by_id("y")["status"], &by_id("z")["status"]),
        (&json!(400), &json!(424))
    );
    assert_eq!(cloud.sim.throttled(), 1);

    let twice = json!([{ "id": "a", "method": "GET", "url": "/users" }, { "id": "A", "method": "GET", "url": "/users" }]);
    assert_eq!(batch(&cloud, twice).await.status, 400);
    let many: Vec<Value> = (0..21)
        .map(|i| json!({ "id": i.to_string(), "method": "GET", "url": "/users" }))
        .collect();
    assert_eq!(batch(&cloud, json!(many)).await.status, 400);
}

#[actix_web::test]
async fn published_limits_are_kept_where_asked_for() {
    let cloud = Cloud::sized(40, 3, 9).await;
    cloud.sim.keep_limits(true);
    let audits = "/v1.0/auditLogs/directoryAudits";
    for _ in 0..4 {
        assert_eq!(cloud.get(audits).await.status, 200);
    }
    assert!(
        cloud
            .get(audits)
            .await
            .headers
            .contains_key("x-ms-throttle-limit-percentage")
    );
    let reply = cloud.get(audits).await;
    assert_eq!(reply.status, 429);
    let wait: i64 = reply.headers["retry-after"].parse().unwrap();
    assert!((1..=10).contains(&wait));
    assert!(reply.headers["x-ms-throttle-scope"].starts_with("Tenant_Application/ReadWrite/"));
    assert_eq!((cloud.sim.throttled(), cloud.sim.undercut()), (1, 0));
    cloud.get(audits).await;
    assert_eq!(cloud.sim.undercut(), 1);
    cloud.sim.advance(11);
    assert_eq!(cloud.get(audits).await.status, 200);

    let policies = "/v1.0/identity/conditionalAccess/policies";
    assert_eq!(cloud.get(policies).await.status, 200);
    let reply = cloud.get(policies).await;
    assert_eq!(reply.status, 429);
    assert!(!reply.headers.contains_key("retry-after"));

    let members = format!(
        "/v1.0/groups/{}/members",
        ids(&cloud.all("/v1.0/groups").await.0).first().unwrap()
    );
    let mut asked = 0;
    while cloud.get(&members).await.status == 200 {
        asked += 1;
        assert!(asked < 2000);
    }
    assert!((1100..1200).contains(&asked), "{asked}");
    cloud.sim.keep_limits(false);
    assert_eq!(cloud.get(&members).await.status, 200);
}

#[actix_web::test]
async fn weather_spoils_its_share_of_requests() {
    let cloud = Cloud::sized(900, 3, 9).await;
    cloud.sim.weather(Weather {
        seed: 7,
        throttle: 0.1,
        absurd: 0.01,
        server_error: 0.1,
        reset: 0.05,
        half_body: 0.05,
        html: 0.05,
        repeat: 0.1,
        ..Weather::default()
    });
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for i in 0..400 {
        let path = format!("/v1.0/users?$top=10&$skiptoken=cGFnZToxMDA&n={i}");
        let kind = match cloud.try_send("GET", &path, String::new()).await {
            None => "reset",
            Some(reply) if reply.status == 429 => "throttle",
            Some(reply) if reply.status >= 500 => "server_error",
            Some(reply) if reply.body.is_null() => "no_json",
            Some(reply) => match reply.body["value"].as_array().unwrap().len() {
                13 => "repeat",
                _ => "right",
            },
        };
        *seen.entry(kind).or_default() += 1;
    }
    let counts = cloud.sim.weathered();
    assert_eq!(counts["reset"], seen["reset"]);
    assert_eq!(counts["repeat"], seen["repeat"]);
    assert_eq!(counts["server_error"], seen["server_error"]);
    assert_eq!(counts["half_body"] + counts["html"], seen["no_json"]);
    assert_eq!(
        counts["throttle"] + counts.get("absurd").unwrap_or(&0),
        seen["throttle"]
    );
    assert!((20..70).contains(&counts["throttle"]), "{counts:?}");
    cloud.sim.clear_faults();
    assert_eq!(cloud.all("/v1.0/users?$top=400").await.0.len(), 900);
    cloud
        .sim
        .fail_next(Fault::once("/users", Kind::Dribble { ms: 100 }));
    assert_eq!(cloud.all("/v1.0/users?$top=400").await.0.len(), 900);
}
