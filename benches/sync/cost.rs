//! What something cost, and what it is held against: the floor, the peer.

use std::{path::Path, process::Command};

use crate::{
    floor::World,
    process::{after, loopback},
};

/// What something cost.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    pub wall: f64,
    pub cpu: f64,
    pub requests: i64,
    pub bytes: u64,
    pub peak: f64,
}

impl Cost {
    pub fn print(&self, name: &str) {
        println!(
            "{name:<28} {:>8.2} s wall {:>8.2} s cpu {:>7} requests {:>6} MB read {:>6.0} MB peak",
            self.wall,
            self.cpu,
            self.requests,
            self.bytes / 1_000_000,
            self.peak
        );
    }
}

/// Starts this program again as the floor.
pub fn run_floor(world: &World, folder: &Path) -> Cost {
    let bytes = loopback();
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("--floor")
        .arg(folder.join("floor.db"))
        .args([&world.root, &world.client_id, &world.secret])
        .args(&world.tenants)
        .output()
        .unwrap();
    cost(
        &String::from_utf8(output.stdout).unwrap(),
        loopback() - bytes,
    )
}

/// Starts the peer: a script on Microsoft's SDK, with the Python that `TENANTRY_PYTHON` names.
pub fn run_peer(world: &World, folder: &Path) -> Cost {
    let python = std::env::var("TENANTRY_PYTHON").unwrap_or_else(|_| {
        panic!("name a Python with tests/python/requirements.txt in TENANTRY_PYTHON")
    });
    let bytes = loopback();
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("sync/peer.py"))
        .args([
            &world.root,
            &world.tenants[0],
            &world.client_id,
            &world.secret,
        ])
        .arg(folder.join("peer.db"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    cost(
        &String::from_utf8(output.stdout).unwrap(),
        loopback() - bytes,
    )
}

/// What a measured program says of itself.
pub fn cost(printed: &str, bytes: u64) -> Cost {
    let field = |name: &str| after(printed, &format!("{name}=")).parse::<f64>().unwrap();
    #[allow(clippy::cast_possible_truncation)]
    Cost {
        wall: field("wall"),
        cpu: field("cpu"),
        requests: field("requests") as i64,
        bytes,
        peak: field("peak"),
    }
}
