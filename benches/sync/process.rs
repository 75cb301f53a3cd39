//! Processes of their own, and what they cost.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the release binary and reads its output up to a line that begins with `last`.
pub fn start(args: &[&str], last: &str) -> (Process, String) {
    let mut child = Command::new(binary())
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(Ok(line)) = lines.next() {
        printed.push_str(&line);
        printed.push('\n');
        if line.starts_with(last) {
            break;
        }
    }
    // Nothing more is read: the rest goes nowhere.
    std::thread::spawn(move || for _ in lines {});
    (Process(child), printed)
}

pub fn binary() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    while !path.join("tenantry").is_file() {
        assert!(path.pop(), "build the binary first: cargo build --release");
    }
    path.join("tenantry")
}

pub fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    let rest = text.split(mark).nth(1).unwrap();
    rest.split_whitespace().next().unwrap()
}

pub fn number(name: &str, or: usize) -> usize {
    let mut arguments = std::env::args();
    arguments.find(|a| a == name);
    arguments.next().and_then(|n| n.parse().ok()).unwrap_or(or)
}

pub fn flag(name: &str) -> bool {
    std::env::args().any(|a| a == name)
}

/// Peak resident memory of a process in MB.
pub fn peak(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    after(&status, "VmHWM:").parse::<f64>().unwrap() / 1024.0
}

/// Processor time of a process so far, of user and system together.
pub fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Fields after the name, which may hold spaces: utime and stime are the 12th and 13th of them,
    // in hundredths of a second.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Processor time that everything on this machine used so far.
pub fn machine() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let line = stat.lines().next().unwrap();
    // user, nice, system, idle, iowait, irq, softirq, steal; in hundredths of a second.
    let times: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .map(|n| n.parse().unwrap())
        .collect();
    let used = times[..3].iter().sum::<u64>() + times[5] + times[6];
    Duration::from_millis(used * 10)
}

/// Bytes that went over loopback so far, in both directions: Graph's answers, above all.
pub fn loopback() -> u64 {
    let text = std::fs::read_to_string("/proc/net/dev").unwrap();
    after(&text, "lo:").parse().unwrap()
}
