//! Everything of a tenant as events of OCSF, in one answer, against writing the same events from memory.

use std::time::Instant;

use serde_json::Value;

use crate::{
    process::{cpu, peak},
    product::Product,
};

/// Reads the events of all users; whether the bar is held.
#[allow(clippy::cast_precision_loss)]
pub async fn run(product: &Product) -> bool {
    let before = peak(product.pid());
    let (began, used) = (Instant::now(), cpu(product.pid()));
    let url = format!("{}/ocsf-events?class=user_inventory", product.api);
    let mut answer = product
        .http
        .get(url)
        .bearer_auth(&product.token)
        // What is measured is writing events: compression is the other side's choice.
        .header("accept-encoding", "identity")
        .send()
        .await
        .unwrap();
    let mut bytes: Vec<u8> = Vec::new();
    while let Some(part) = answer.chunk().await.unwrap() {
        bytes.extend_from_slice(&part);
    }
    let wall = began.elapsed().as_secs_f64();
    let used = (cpu(product.pid()) - used).as_secs_f64();
    let after = peak(product.pid());
    let events: Vec<Value> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let megabytes = bytes.len() as f64 / 1e6;
    // The floor: the same events, already in memory, written to memory.
    let began = Instant::now();
    let mut written = Vec::with_capacity(bytes.len());
    for event in &events {
        serde_json::to_writer(&mut written, event).unwrap();
        written.push(b'\n');
    }
    let floor = began.elapsed().as_secs_f64();
    assert_eq!(written.len(), bytes.len(), "the same events");
    let speed = megabytes / used;
    println!(
        "OCSF: {} events, {megabytes:.0} MB in {wall:.2} s wall, {used:.2} s cpu: {speed:.0} MB a second of cpu (bar: 30)",
        events.len()
    );
    println!(
        "    {:.1} times writing them from memory ({floor:.2} s; bar: 3, where 30 MB are not reached); peak memory {before:.0} MB before, {after:.0} MB after",
        used / floor
    );
    (speed >= 30.0 || used <= 3.0 * floor) && after - before < 40.0
}
