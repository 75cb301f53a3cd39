//! Batches, published limits and bad weather.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_sim::{Fault, Kind, Weather};

use crate::{Cloud, Reply, ids};

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
    let first = cloud.get("/v1.0/users?$top=10").await.body;
    let second = first["@odata.nextLink"].as_str().unwrap().to_owned();
    let second = second
        .strip_prefix(cloud.sim.url().trim_end_matches('/'))
        .unwrap();
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
        let path = format!("{second}&n={i}");
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
