//! Delta queries: everything once, then what changed, and tokens that open one directory's pages alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tenantry_sim::{Fault, Kind, World};

use crate::{Cloud, delta_link, ids};

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
async fn what_is_of_another_directory_is_refused_and_counted() {
    let mut cloud = Cloud::start(World::many("secret".into(), 2, 150), |_| {}).await;
    let [other, own] = [1, 2].map(|n| {
        let directories = &cloud.sim.world().directories;
        directories[directories.len() - n].id
    });
    cloud.token = cloud.sign_in(other).await;
    let page = cloud.get("/v1.0/users?$top=10").await.body;
    let user = page["value"][0]["id"].as_str().unwrap().to_owned();
    let round = cloud.all("/v1.0/users/delta").await.1;
    let next = page["@odata.nextLink"].as_str().unwrap().to_owned();
    for path in [&next, delta_link(&round)] {
        assert_eq!(cloud.get(path).await.status, 200);
    }
    assert_eq!(cloud.sim.strays(), 0);
    cloud.token = cloud.sign_in(own).await;
    assert_eq!(cloud.get(&next).await.status, 400);
    assert_eq!(cloud.get(delta_link(&round)).await.status, 400);
    let found = cloud.get(&format!("/v1.0/users/{user}")).await;
    assert_eq!(found.status, 404);
    assert_eq!(cloud.sim.strays(), 3);
}
