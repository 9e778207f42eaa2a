//! What a place in a network costs: the time of `attach`, `release` and `detach`, with a bridge and one published port.
//!
//!     scripts/unified-host cargo run --release --example network-cost
//!
//! It makes a network namespace of its own to be the host, and one for each container.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use corten::network::{Attachment, Networks, port};
use corten::sys::clone::{CloneFlags, join, unshare};

const ROUNDS: u32 = 200;

fn main() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("network-cost-{}", std::process::id()));
    let result = measure(&directory);
    let _ = std::fs::remove_dir_all(&directory);
    result
}

fn measure(directory: &std::path::Path) -> Result<()> {
    unshare(CloneFlags::NEWNET)?;
    let networks = Networks::open(&directory.join("root"), &directory.join("run"))?;
    let (mut attached, mut released, mut detached) = (Vec::new(), Vec::new(), Vec::new());
    let first = round(&networks, 0)?;
    println!("the first one, with the bridge and all rules: attach {:?}", first.0);
    for number in 1..=ROUNDS {
        let (attach, away) = round(&networks, number)?;
        attached.push(attach);
        if number.is_multiple_of(2) { released.push(away) } else { detached.push(away) }
    }
    for (name, mut times) in [("attach", attached), ("release", released), ("detach", detached)] {
        times.sort();
        let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(Duration::ZERO);
        println!("{name}: median {:?}, a tenth below {:?}, a tenth above {:?}", at(50), at(10), at(90));
    }
    Ok(())
}

fn round(networks: &Networks, number: u32) -> Result<(Duration, Duration)> {
    let own = File::open("/proc/thread-self/ns/net")?;
    unshare(CloneFlags::NEWNET)?;
    let namespace = File::open("/proc/thread-self/ns/net")?;
    join(own.as_fd(), CloneFlags::NEWNET)?;
    let id = format!("{number:064x}");
    let start = Instant::now();
    let reserved = networks.reserve(&port::parse("8080:80")?)?;
    networks
        .attach(&Attachment {
            container: &id,
            name: "web",
            hostname: "",
            namespace: namespace.as_fd(),
            network: "bridge",
            interface: "eth0",
            addresses: &[],
            mac: None,
            aliases: &[],
            ports: &reserved.ports,
        })
        .context("attach")?;
    let attached = start.elapsed();
    let start = Instant::now();
    if number.is_multiple_of(2) {
        networks.release(&id)?
    } else {
        networks.detach(&id, None)?
    }
    Ok((attached, start.elapsed()))
}
