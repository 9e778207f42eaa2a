//! As many containers on one bridge as a host may have.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::harness::{Place, allocated, parent, until};
use crate::wire::{Host, PATIENCE, enter, files};

const COUNT: usize = 200;

/// KiB that a monitor may have for itself; the file of its program is not counted.
const SMALL: u64 = 1500;

fn name(number: usize) -> String {
    format!("many-{number}")
}

fn port(number: usize) -> u16 {
    20_000 + number as u16
}

fn names() -> Vec<String> {
    (0..COUNT).map(name).collect()
}

/// What a web server says.
fn page(at: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text.rsplit_once("\r\n\r\n").map(|(_, page)| page.trim().to_owned()).unwrap_or_default())
}

/// Starts them all, a few at the same time.
fn start(place: &Place, host: &Host) {
    let here = host.here();
    std::thread::scope(|scope| {
        for first in 0..4 {
            let here = &here;
            scope.spawn(move || {
                enter(here);
                for number in (first..COUNT).step_by(4) {
                    let (name, port) = (name(number), format!("{}:80", port(number)));
                    let script = format!("echo {name} >/tmp/index.html; exec busybox httpd -f -p 80 -h /tmp");
                    let flags = ["run", "-d", "--network", "wide", "--name", &name, "-p", &port];
                    place.ctn(&[&flags[..], &["box", "sh", "-c", &script]].concat());
                }
            });
        }
    });
}

#[test]
fn two_hundred_on_one_bridge() {
    let place = Place::new();
    let host = Host::new();
    place.ctn(&["network", "create", "--subnet", "10.87.80.0/24", "wide"]);
    start(&place, &host);
    assert_eq!(place.ctn(&["ps", "-q"]).lines().count(), COUNT);
    assert_eq!(
        place.ctn(&["ps", "--format", "{{.Status}}"]).lines().filter(|line| line.starts_with("Up")).count(),
        COUNT
    );

    let all = names();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let format = ["inspect", "-f", "{{.NetworkSettings.Networks.wide.IPAddress}} {{.State.Pid}}"];
    let told = place.ctn(&[&format[..], &all].concat());
    let (addresses, processes): (BTreeSet<IpAddr>, Vec<&str>) = told
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(address, process)| (address.parse::<IpAddr>().unwrap(), process))
        .unzip();
    assert_eq!(addresses.len(), COUNT, "{told}");

    // Each finds all by their names, and they are who they say.
    until("all serve", || (0..COUNT).all(|number| page(([127, 0, 0, 1], port(number)).into()).is_ok()));
    let look = |one: usize, step: usize| {
        let numbers = format!("seq 0 {step} {}", COUNT - 1);
        let look = format!("for i in $({numbers}); do busybox wget -qO- http://many-$i/index.html; done");
        let found = place.ctn(&["exec", &name(one), "sh", "-c", &look]);
        assert!(found.lines().eq(all.iter().copied().step_by(step)), "{found}");
    };
    look(0, 1);
    // All of them could not talk to all: a host knows 1024 neighbours at a time (arp(7), gc_thresh3), its containers' own among them.
    look(COUNT - 1, 20);
    host.outside.run(|| {
        for number in 0..COUNT {
            assert_eq!(page(([192, 0, 2, 1], port(number)).into()).unwrap(), name(number));
        }
    });

    let memory = processes.iter().map(|process| allocated(parent(process))).max().unwrap();
    assert!(memory < SMALL, "a monitor has {memory} KiB");

    place.ctn(&[&["rm", "-f"], &all[..]].concat());
    assert_eq!(place.ctn(&["ps", "-aq"]), "");
    place.ctn(&["network", "rm", "wide"]);
    place.assert_nothing_left();
    let mut left = Vec::new();
    files(&place.run().unwrap().join("network"), &mut left);
    left.retain(|name| !name.ends_with("/lock") && !name.contains("/.last"));
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(host.leftovers(), [""; 0]);
}
