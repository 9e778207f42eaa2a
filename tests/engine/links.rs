//! `--link`, and what else a container may have of a network for itself.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::harness::{Place, ctn, prepare, until};

/// Starts a container that stays.
fn start(place: &Place, name: &str, flags: &[&str]) {
    place.ctn(&[&["run", "-d", "--name", name], flags, &["box", "sleep", "1000"]].concat());
}

fn line(place: &Place, name: &str, address: &str) -> String {
    let hosts = place.ctn(&["exec", name, "cat", "/etc/hosts"]);
    hosts.lines().find(|line| line.starts_with(&format!("{address}\t"))).unwrap_or_default().to_owned()
}

#[test]
fn in_the_default_network_links_are_lines_and_variables() {
    let place = Place::new();
    start(&place, "data", &["--expose", "80", "-e", "A=b"]);
    start(&place, "web", &["--link", "data:my-db"]);
    let address = place.field("data", ".NetworkSettings.IPAddress");
    let short = &place.field("data", ".Id")[..12];
    assert_eq!(line(&place, "web", &address), format!("{address}\tmy-db {short} data"));
    let wanted = [
        format!("MY_DB_PORT=tcp://{address}:80"),
        format!("MY_DB_PORT_80_TCP=tcp://{address}:80"),
        format!("MY_DB_PORT_80_TCP_ADDR={address}"),
        "MY_DB_PORT_80_TCP_PORT=80".into(),
        "MY_DB_PORT_80_TCP_PROTO=tcp".into(),
        "MY_DB_NAME=/web/my-db".into(),
        "MY_DB_ENV_A=b".into(),
        "MY_DB_ENV_OF=image".into(),
    ];
    // What `exec` runs has them, too.
    let variables = place.ctn(&["exec", "web", "env"]);
    let own: Vec<&str> = variables.lines().filter(|line| line.starts_with("MY_DB_")).collect();
    assert_eq!(own, wanted);
    assert_eq!(place.field("web", "json .HostConfig.Links"), r#"["/data:/web/my-db"]"#);

    // One that has another address after a start is found there, under whatever name it has by then.
    place.ctn(&["stop", "-t", "0", "data"]);
    start(&place, "another", &[]);
    place.ctn(&["rename", "data", "store"]);
    place.ctn(&["start", "store"]);
    let other = place.field("store", ".NetworkSettings.IPAddress");
    assert_ne!(address, other);
    assert_eq!(line(&place, "web", &other), format!("{other}\tmy-db {short} store"));
    assert_eq!(line(&place, "web", &address), "");

    // Whose files can't be written doesn't keep another from starting.
    let files = place.store().join("containers").join(place.field("web", ".Id"));
    std::fs::rename(files.join("hostname"), files.join("aside")).unwrap();
    let (code, _, errors) = place.outcome(&["restart", "-t", "0", "store"]);
    assert!(code == Some(0) && errors.contains("read"), "{errors}");
    std::fs::rename(files.join("aside"), files.join("hostname")).unwrap();
    let other = place.field("store", ".NetworkSettings.IPAddress");

    assert!(place.refusal(1, &["rm", "--link", "/web/nonesuch"]).contains("no such link: /web/nonesuch"));
    assert!(place.refusal(1, &["rm", "--link", "web"]).contains("cannot remove the default link name"));
    place.ctn(&["rm", "--link", "/web/my-db"]);
    assert_eq!(line(&place, "web", &other), "");
    assert_eq!(place.field("web", "json .HostConfig.Links"), "null");
    place.ctn(&["rm", "-f", "web", "store", "another"]);
    place.assert_nothing_left();
}

/// Each tells whoever is linked to it of its address, and what one says must not undo what another has said.
#[test]
fn many_that_are_linked_to_start_at_once() {
    let place = Place::new();
    let names: Vec<String> = (0..8).map(|number| format!("data{number}")).collect();
    let mut links = Vec::new();
    for name in &names {
        start(&place, name, &[]);
        links.extend(["--link", name]);
    }
    start(&place, "web", &links);
    let file = place.store().join("containers").join(place.field("web", ".Id")).join("hosts");
    let before = std::fs::metadata(&file).unwrap().ino();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    for round in 0..3 {
        place.ctn(&[&["stop", "-t", "0"], &all[..]].concat());
        let starts: Vec<_> = all.iter().map(|name| place.spawn(&["start", name])).collect();
        for start in starts {
            let output = start.wait_with_output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        }
        let hosts = place.ctn(&["exec", "web", "cat", "/etc/hosts"]);
        for name in &names {
            let address = place.field(name, ".NetworkSettings.IPAddress");
            let beginning = format!("{address}\t{name} ");
            assert!(hosts.lines().any(|line| line.starts_with(&beginning)), "{round}: {beginning:?}: {hosts}");
        }
    }
    assert_eq!(std::fs::metadata(&file).unwrap().ino(), before);
    place.ctn(&[&["rm", "-f", "web"], &all[..]].concat());
    place.assert_nothing_left();
}

/// One has looked who is there, and is slow to write that down; meanwhile another one starts.
#[test]
fn who_is_slow_to_tell_does_not_undo_what_another_has_told() {
    let place = Place::new();
    for name in ["slow", "quick"] {
        start(&place, name, &[]);
    }
    start(&place, "web", &["--link", "slow", "--link", "quick"]);
    place.ctn(&["stop", "-t", "0", "slow", "quick"]);
    let directory = place.store().join("containers").join(place.field("web", ".Id"));
    let mut slow = Command::new("strace");
    slow.args(["-f", "-o", "/dev/null", "-e", "trace=openat", "-e", "inject=openat:delay_enter=3000000", "-P"]);
    slow.arg(directory.join("hosts")).arg(ctn());
    prepare(&mut slow, &place.path, &["start", "slow"]);
    let mut slow = slow.spawn().unwrap();
    let endpoint = place.run().unwrap().join("network/endpoints");
    let id = place.field("slow", ".Id");
    until("it has an address", || {
        std::fs::read_dir(&endpoint).unwrap().any(|network| network.unwrap().path().join(&id).exists())
    });
    place.ctn(&["start", "quick"]);
    place.until_field("slow", ".State.Status", "running");
    for name in ["slow", "quick"] {
        let address = place.field(name, ".NetworkSettings.IPAddress");
        assert!(line(&place, "web", &address).contains(name), "{name}");
    }
    place.ctn(&["rm", "-f", "slow", "quick", "web"]);
    // It has followed the monitor.
    slow.wait().unwrap();
    place.assert_nothing_left();
}

/// It has noted its link, and will have a record.
#[test]
fn who_is_being_made_keeps_its_links() {
    let place = Place::new();
    start(&place, "data", &[]);
    let containers = place.store().join("containers");
    let (made, gone) = (containers.join("a".repeat(64)), "b".repeat(64));
    std::fs::create_dir(&made).unwrap();
    let directory = std::fs::File::open(&made).unwrap();
    rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let linked = containers.join(place.field("data", ".Id")).join("linked");
    std::fs::create_dir(&linked).unwrap();
    for name in ["a".repeat(64), gone.clone()] {
        std::fs::write(linked.join(name), "").unwrap();
    }
    place.ctn(&["restart", "-t", "0", "data"]);
    assert!(linked.join("a".repeat(64)).exists() && !linked.join(gone).exists());
    drop(directory);
    place.ctn(&["rm", "-f", "data"]);
    assert!(!made.exists());
    place.assert_nothing_left();
}

#[test]
fn who_can_not_be_told_keeps_nobody_from_starting() {
    let place = Place::new();
    start(&place, "data", &[]);
    start(&place, "web", &["--link", "data"]);
    let file = place.store().join("containers").join(place.field("web", ".Id")).join("hostname");
    std::fs::remove_file(file).unwrap();
    place.ctn(&["stop", "-t", "0", "data"]);
    let output = place.command(&["start", "data"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && text.contains("is not known to the container web: read "), "{text}");
    place.ctn(&["rm", "-f", "web", "data"]);
    place.assert_nothing_left();
}

#[test]
fn who_is_linked_to_has_to_be_there_and_run() {
    let place = Place::new();
    let refused = |flags: &[&str], words: &str| {
        let refusal = place.refusal(125, &[&["run", "--rm"], flags, &["box", "true"]].concat());
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
    };
    refused(&["--link", "nonesuch"], "could not get container for nonesuch");
    refused(&["--link", "a:b:c"], "bad format for links");
    place.ctn(&["create", "--name", "data", "box", "true"]);
    refused(&["--name", "web", "--link", "data:db"], "Cannot link to a non running container: /data AS /web/db");
    for mode in ["host", "none", "container:data"] {
        refused(&["--network", mode, "--link", "data"], "links are only supported for user-defined networks");
    }
    place.ctn(&["create", "--name", "of-host", "--network", "host", "box", "true"]);
    refused(&["--link", "of-host"], "host type networking can't be used with links");
    // One that is gone is no link any more.
    place.ctn(&["create", "--name", "left", "--link", "data", "box", "grep", "-c", "data", "/etc/hosts"]);
    place.ctn(&["rm", "data"]);
    assert_eq!(place.outcome(&["start", "-a", "left"]).1, "0\n");
    place.ctn(&["rm", "left", "of-host"]);
    place.assert_nothing_left();
}

#[test]
fn in_a_network_of_ones_own_a_link_is_a_name_that_one_container_knows() {
    let place = Place::new();
    place.ctn(&["network", "create", "--subnet", "10.87.71.0/24", "mine"]);
    start(&place, "data", &["--network", "mine", "--ip", "10.87.71.10"]);
    start(&place, "web", &["--network", "mine", "--link", "data:db"]);
    start(&place, "third", &["--network", "mine"]);
    let ask = |name: &str| place.outcome(&["exec", name, "busybox", "nslookup", "db"]).1;
    assert!(ask("web").contains("10.87.71.10"), "{}", ask("web"));
    assert!(!ask("third").contains("10.87.71.10"));
    assert_eq!(place.field("web", "json .NetworkSettings.Networks.mine.Links"), r#"["data:db"]"#);
    assert_eq!(place.field("web", "json .HostConfig.Links"), "null");
    // A name that another has is who was meant, in this container.
    place.ctn(&["network", "disconnect", "mine", "third"]);
    place.ctn(&["network", "connect", "--link", "data:web", "mine", "third"]);
    let found = place.outcome(&["exec", "third", "busybox", "nslookup", "web"]).1;
    assert!(found.contains("10.87.71.10"), "{found}");
    place.ctn(&["rm", "-f", "data", "web", "third"]);
    place.ctn(&["network", "rm", "mine"]);
    place.assert_nothing_left();
}

#[test]
fn further_addresses_and_settings_of_a_link() {
    let place = Place::new();
    place.ctn(&["network", "create", "--subnet", "10.87.72.0/24", "mine"]);
    start(&place, "one", &["--network", "mine", "--link-local-ip", "169.254.34.68"]);
    let options = "com.docker.network.endpoint.ifname=lan7";
    let settings = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1";
    start(&place, "two", &["--network", &format!("name=mine,driver-opt={options},link-local-ip=fe80::7")]);
    let addresses = |name: &str| place.ctn(&["exec", name, "busybox", "ip", "addr"]);
    assert!(addresses("one").contains("inet 169.254.34.68/16 "), "{}", addresses("one"));
    assert!(
        addresses("two").contains(" lan7") && addresses("two").contains("inet6 fe80::7/64 "),
        "{}",
        addresses("two")
    );
    let of_one = place.field("one", "json .NetworkSettings.Networks.mine.IPAMConfig");
    assert_eq!(of_one, r#"{"LinkLocalIPs":["169.254.34.68"]}"#);
    place.ctn(&["network", "create", "--subnet", "10.87.73.0/24", "other"]);
    let connect = ["network", "connect", "--driver-opt", settings, "--link-local-ip", "169.254.1.2", "other", "one"];
    place.ctn(&connect);
    assert!(addresses("one").contains("inet 169.254.1.2/16 "), "{}", addresses("one"));
    assert_eq!(place.ctn(&["exec", "one", "cat", "/proc/sys/net/ipv4/conf/eth1/log_martians"]), "1\n");
    assert_eq!(place.ctn(&["exec", "one", "cat", "/proc/sys/net/ipv4/conf/eth0/log_martians"]), "0\n");
    // Others would make routes to what isn't there.
    for address in ["10.87.73.9", "169.253.255.255", "fd00::7", "fec0::1"] {
        let words = format!("invalid link-local IP address: {address}");
        let connect = place.refusal(1, &["network", "connect", "--link-local-ip", address, "other", "two"]);
        let flag = place.refusal(125, &["run", "--rm", "--network", "mine", "--link-local-ip", address, "box", "true"]);
        let field = format!("name=mine,link-local-ip={address}");
        let field = place.refusal(1, &["create", "--network", &field, "box", "true"]);
        assert!([connect, flag, field].iter().all(|refusal| refusal.contains(&words)), "{address}");
    }
    let refusal = place.refusal(1, &["network", "connect", "--driver-opt", "x=y", "other", "two"]);
    assert!(refusal.contains("no option \"x\""), "{refusal}");
    // A name that another of its links has; the place that it has nothing in is not taken away from it either.
    for (name, words) in [("lan7", "has a link lan7 already"), ("lo", "can't be the name of a link")] {
        let taken = format!("com.docker.network.endpoint.ifname={name}");
        let refusal = place.refusal(1, &["network", "connect", "--driver-opt", &taken, "other", "two"]);
        assert!(refusal.contains(words), "{refusal}");
    }
    assert!(addresses("two").contains(" lan7"), "{}", addresses("two"));
    place.ctn(&["rm", "-f", "one", "two"]);
    place.ctn(&["network", "rm", "mine", "other"]);
    place.assert_nothing_left();
}
