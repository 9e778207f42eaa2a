//! Containers in networks; the networks' own tests are in tests/network.

use std::io::Read;
use std::net::TcpStream;

use crate::harness::{Place, kill, until};

#[test]
fn a_port_is_published_and_held() {
    let place = Place::new();
    let script = "while :; do echo served | busybox nc -l -p 80; done";
    place.ctn(&["run", "-d", "--name", "server", "-p", "127.0.0.1:18080:80", "box", "sh", "-c", script]);
    let mut answer = String::new();
    until("it serves", || {
        let read = TcpStream::connect("127.0.0.1:18080").and_then(|mut stream| stream.read_to_string(&mut answer));
        read.is_ok() && answer == "served\n"
    });
    assert_eq!(place.ctn(&["port", "server"]), "80/tcp -> 127.0.0.1:18080\n");
    assert_eq!(place.ctn(&["port", "server", "80"]), "127.0.0.1:18080\n");
    assert!(place.ctn(&["ps"]).contains("127.0.0.1:18080->80/tcp"));
    let refusal = place.refusal(125, &["run", "--rm", "-p", "127.0.0.1:18080:80", "box", "true"]);
    assert!(refusal.contains("port is already allocated"), "{refusal}");
    let refusal = place.refusal(1, &["network", "rm", "bridge"]);
    assert!(refusal.contains("pre-defined"), "{refusal}");
    // Whatever its monitor held is free again with the next command.
    kill(place.monitor_of("server"));
    place.ctn(&["ps"]);
    place.ctn(&["run", "--rm", "-p", "127.0.0.1:18080:80", "box", "true"]);
    place.ctn(&["rm", "server"]);
    place.assert_nothing_left();
}

#[test]
fn names_addresses_and_files() {
    let place = Place::new();
    place.ctn(&["network", "create", "--subnet", "10.87.65.0/24", "mine"]);
    let flags =
        ["--network", "mine", "--ip", "10.87.65.77", "--network-alias", "alias", "--mac-address", "02:00:00:00:00:77"];
    place.ctn(&[&["run", "-d", "--name", "known"], &flags[..], &["box", "sleep", "1000"]].concat());
    let look = |script: &str| place.ctn(&["run", "--rm", "--network", "mine", "box", "sh", "-c", script]);
    for name in ["known", "alias"] {
        let found = look(&format!("busybox nslookup {name}"));
        assert!(found.contains("10.87.65.77"), "{found}");
    }
    assert!(look("cat /etc/resolv.conf").starts_with("nameserver 127.0.0.11\n"));
    assert!(place.ctn(&["exec", "known", "cat", "/sys/class/net/eth0/address"]).starts_with("02:00:00:00:00:77"));
    assert_eq!(place.field("known", ".NetworkSettings.Networks.mine.IPAddress"), "10.87.65.77");
    let own = place.ctn(&[
        "run",
        "--rm",
        "-h",
        "own",
        "--add-host",
        "other:1.2.3.4",
        "--dns",
        "9.9.9.9",
        "--dns-search",
        "example.org",
        "box",
        "cat",
        "/etc/hosts",
        "/etc/resolv.conf",
    ]);
    for words in ["\town\n", "1.2.3.4\tother\n", "nameserver 9.9.9.9\n", "search example.org\n"] {
        assert!(own.contains(words), "{words}: {own}");
    }
    // One that is connected later finds names, too.
    place.ctn(&["run", "-d", "--name", "late", "box", "sleep", "1000"]);
    place.ctn(&["network", "connect", "mine", "late"]);
    let found = place.ctn(&["exec", "late", "busybox", "nslookup", "known"]);
    assert!(found.contains("10.87.65.77"), "{found}");
    for (flags, words) in [
        (&["--network", "nonsense"][..], "network nonsense not found"),
        (&["--network", "mine", "--ip", "10.1.2.3"], "10.1.2.3"),
        (&["--ip", "10.1.2.3"], "networks that users made"),
        (&["--network", "none", "--mac-address", "02:00:00:00:00:01"], "mac-address"),
        (&["--add-host", "a:nonsense"], "invalid IP address"),
        (&["--dns", "nonsense"], "invalid IP address"),
    ] {
        let refusal = place.refusal(125, &[&["run", "--rm"], flags, &["box", "true"]].concat());
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
    }
    place.ctn(&["rm", "-f", "known", "late"]);
    place.ctn(&["network", "rm", "mine"]);
    place.assert_nothing_left();
}
