//! The simulated cloud in a process.

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
}
