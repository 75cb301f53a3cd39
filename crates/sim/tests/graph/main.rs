//! The simulator as a client meets it: over HTTP, with a token.

#![allow(clippy::unwrap_used)] // a test fails by it

mod batches;
mod delta;
mod lists;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;
use tenantry_sim::{Sim, World};
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

    /// A token of the directory, which consents.
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
