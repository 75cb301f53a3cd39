//! The simulated cloud in a process.

use reqwest::Client;
use serde_json::json;

use crate::{
    floor::World,
    process::{Process, after, start},
};

pub struct Sim {
    pub process: Process,
    pub root: String,
    pub client_id: String,
    pub secret: String,
    pub home: String,
    pub tenants: Vec<String>,
}

pub fn start_sim(args: &[&str], prefix: &str) -> Sim {
    let mut all = vec!["sim", "--sim-listen", "127.0.0.1:0"];
    all.extend(args);
    let (process, printed) = start(&all, "graph =");
    let lines = printed
        .lines()
        .filter(|line| line.starts_with("Directory: "));
    let wanted = lines.filter(|line| {
        line.split_once(' ')
            .unwrap()
            .1
            .split_once(' ')
            .unwrap()
            .1
            .starts_with(prefix)
    });
    Sim {
        root: after(&printed, "cloud: ").to_owned(),
        client_id: after(&printed, "Client ID: ").to_owned(),
        secret: after(&printed, "Client secret: ").to_owned(),
        home: after(&printed, "Tenant ID: ").to_owned(),
        tenants: wanted
            .map(|line| after(line, "Directory: ").to_owned())
            .collect(),
        process,
    }
}

impl Sim {
    pub fn world(&self) -> World {
        World {
            root: self.root.clone(),
            tenants: self.tenants.clone(),
            client_id: self.client_id.clone(),
            secret: self.secret.clone(),
        }
    }

    /// Lets every answer take so long: a network and Microsoft's own time.
    pub async fn slow(&self, ms: usize) {
        let fault = json!({ "path": "/", "kind": { "slow": { "ms": ms } }, "times": usize::MAX });
        let url = format!("{}_sim/faults", self.root);
        let answer = Client::new().post(url).json(&fault).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Answers at once again.
    pub async fn hurry(&self) {
        let url = format!("{}_sim/faults", self.root);
        Client::new().delete(url).send().await.unwrap();
    }
}
