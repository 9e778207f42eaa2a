//! The network that pasta makes: traffic both ways, between namespaces of the test's own.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use super::user::{self, assert_nothing_left, processes};
use crate::harness::*;

/// A host with one link, and what is outside at that link's other end.
struct Wire {
    host: String,
    outside: String,
}

/// The host's address, and the one outside, to which its default route leads.
const HOST: &str = "10.99.0.2";
const OUTSIDE: &str = "10.99.0.1";

impl Wire {
    fn new() -> Wire {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let [host, outside] = ["host", "outside"].map(|name| format!("pasta-{name}-{}-{number}", std::process::id()));
        for line in [
            format!("netns add {host}"),
            format!("netns add {outside}"),
            format!("-n {host} link add uplink type veth peer name peer netns {outside}"),
            format!("-n {host} address add {HOST}/24 dev uplink"),
            format!("-n {outside} address add {OUTSIDE}/24 dev peer"),
            format!("-n {host} link set uplink up"),
            format!("-n {host} link set lo up"),
            format!("-n {outside} link set peer up"),
            format!("-n {outside} link set lo up"),
            format!("-n {host} route add default via {OUTSIDE}"),
        ] {
            succeeded(&Command::new("ip").args(line.split(' ')).output().unwrap(), &line);
        }
        Wire { host, outside }
    }

    /// A place of the user's on this host; `more` is done before each command.
    fn place(&self, more: &str) -> Place {
        // In the network's own sysfs nothing is needed, so entering is all.
        let enter = format!("set -e\n{more}\nset -- nsenter --net=/run/netns/{} \"$@\"", self.host);
        user::place_in(&enter)
    }

    fn run(namespace: &str, script: &str) -> Output {
        let net = format!("--net=/run/netns/{namespace}");
        Command::new("nsenter").args([&net, "busybox", "sh", "-c", script]).output().unwrap()
    }

    fn outside(&self, script: &str) -> Output {
        Wire::run(&self.outside, script)
    }

    /// What a web server on the host answers who asks from outside, once it is there.
    fn fetched(&self, port: u16) -> String {
        let mut answer = String::new();
        until("the server answers", || {
            let output = self.outside(&format!("wget -qO- http://{HOST}:{port}/of-image"));
            answer = String::from_utf8_lossy(&output.stdout).into_owned();
            output.status.success()
        });
        answer
    }

    /// Does something in a thread that is in a network.
    fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
        let namespace = fs::File::open(namespace).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                rustix::thread::move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&namespace),
                    Some(rustix::thread::LinkNameSpaceType::Network),
                )
                .unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for name in [&self.host, &self.outside] {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn pastas(place: &Place) -> Vec<i32> {
    let lines = processes(place).into_iter().filter(|line| line.contains(" pasta "));
    lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

/// A web server with the image's file.
const SERVER: &str = "busybox httpd -f -p 80 -h /data";

#[test]
fn a_published_port_leads_inside() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&[
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-p",
        "127.0.0.1::81",
        "box",
        "busybox",
        "httpd",
        "-fvv",
        "-p",
        "80",
        "-h",
        "/data",
    ]);
    assert_eq!(place.ctn(&["port", "web", "80"]), "0.0.0.0:8080\n");
    let local = place.ctn(&["port", "web", "81"]);
    assert!(local.starts_with("127.0.0.1:"), "{local}");
    assert!(place.ctn(&["ps"]).contains("0.0.0.0:8080->80/tcp"));
    let fetch = format!("wget -qO- http://{HOST}:8080/of-image");
    assert_eq!(wire.fetched(8080), "from the image\n");
    let own = Wire::run(&wire.host, "wget -qO- http://127.0.0.1:8080/of-image");
    assert_eq!(succeeded(&own, "from the host itself"), "from the image\n");
    // Who asked is seen inside.
    until("the server has said so", || {
        place.ctn(&["logs", "web"]).contains(OUTSIDE) || {
            let output = place.call(&["logs", "web"]);
            String::from_utf8_lossy(&output.stderr).contains(OUTSIDE)
        }
    });
    place.ctn(&["rm", "-f", "web"]);
    assert!(!wire.outside(&fetch).status.success());
    assert_nothing_left(&place);
}

#[test]
fn datagrams_come_in_and_answers_go_out() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["run", "-d", "--name", "echo", "-p", "5353:7/udp", "box", "sleep", "1000"]);
    let inside = format!("/proc/{}/ns/net", place.field("echo", ".State.Pid"));
    let server = Wire::within(&inside, || UdpSocket::bind("0.0.0.0:7").unwrap());
    let client = Wire::within(&format!("/run/netns/{}", wire.outside), || UdpSocket::bind((OUTSIDE, 0)).unwrap());
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(LIMIT)).unwrap();
    }
    let mut buffer = [0; 64];
    client.send_to(b"question", (HOST, 5353)).unwrap();
    let (count, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..count], from), (&b"question"[..], client.local_addr().unwrap()));
    server.send_to(b"answer", from).unwrap();
    let (count, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..count], from.to_string()), (&b"answer"[..], format!("{HOST}:5353")));
    place.ctn(&["rm", "-f", "echo"]);
    assert_nothing_left(&place);
}

#[test]
fn a_container_reaches_what_is_outside_and_not_the_hosts_loopback() {
    let wire = Wire::new();
    let place = wire.place("");
    let _outside = Server::start(&wire.outside, &format!("{OUTSIDE}:8000"));
    let _loopback = Server::start(&wire.host, "127.0.0.1:8001");
    let said = place.ctn(&["run", "--rm", "box", "busybox", "wget", "-qO-", &format!("http://{OUTSIDE}:8000/hello")]);
    assert_eq!(said, "hello\n");
    let at_gateway = format!("http://{OUTSIDE}:8001/hello");
    let fetch = ["box", "busybox", "timeout", "3", "busybox", "wget", "-qO-", &at_gateway];
    assert_ne!(place.outcome(&[&["run", "--rm"], &fetch[..]].concat()).0, Some(0));
    // The same, where it was asked for.
    let allowed = [&["run", "--rm", "--network", "pasta:--map-gw"], &fetch[..]].concat();
    assert_eq!(place.ctn(&allowed), "hello\n");
    let hosts = place.ctn(&["run", "--rm", "-h", "me", "box", "cat", "/etc/hosts"]);
    assert!(hosts.contains(&format!("{HOST}\tme")), "{hosts}");
    assert_nothing_left(&place);
}

/// A web server with one file, which ends with the test.
struct Server {
    process: Child,
    directory: PathBuf,
}

impl Server {
    fn start(namespace: &str, address: &str) -> Server {
        let directory = std::env::temp_dir().join(format!("www-{namespace}"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("hello"), "hello\n").unwrap();
        let net = format!("--net=/run/netns/{namespace}");
        let mut command = Command::new("nsenter");
        command.args([&net, "busybox", "httpd", "-f", "-p", address, "-h"]).arg(&directory);
        let server = Server { process: command.spawn().unwrap(), directory };
        let (host, port) = address.split_once(':').unwrap();
        until("the server answers", || {
            Wire::run(namespace, &format!("wget -qO- http://{host}:{port}/hello")).status.success()
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn names_are_asked_for_where_the_host_asks() {
    let wire = Wire::new();
    let server = Wire::within(&format!("/run/netns/{}", wire.host), || UdpSocket::bind("127.0.0.1:53").unwrap());
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let list = std::env::temp_dir().join(format!("{}.resolv.conf", wire.host));
    fs::write(&list, "nameserver 127.0.0.1\n").unwrap();
    let place = wire.place(&format!("mount --bind {} /etc/resolv.conf", list.display()));
    let answering = std::thread::spawn(move || {
        let mut buffer = [0; 512];
        let (count, from) = server.recv_from(&mut buffer).unwrap();
        // RFC 1035, 4.1: the question comes back with one answer, 10.1.2.3 for the name at offset 12.
        let mut answer = buffer[..count].to_vec();
        answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3]);
        server.send_to(&answer, from).unwrap();
    });
    let said =
        place.ctn(&["run", "--rm", "box", "sh", "-c", "cat /etc/resolv.conf; busybox nslookup -type=a name.test"]);
    answering.join().unwrap();
    assert!(said.contains("nameserver 169.254.1.1") && said.contains("10.1.2.3"), "{said}");
    let _ = fs::remove_file(list);
    assert_nothing_left(&place);
}

#[test]
fn a_killed_pasta_is_started_again() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&[
        "run", "-d", "--name", "web", "-p", "8080:80", "box", "busybox", "httpd", "-f", "-p", "80", "-h", "/data",
    ]);
    let fetch = format!("wget -qO- http://{HOST}:8080/of-image");
    wire.fetched(8080);
    let [pasta] = pastas(&place)[..] else { panic!("one pasta: {:?}", processes(&place)) };
    kill(pasta);
    until("it is reached again", || wire.outside(&fetch).status.success());
    let [again] = pastas(&place)[..] else { panic!("one pasta: {:?}", processes(&place)) };
    assert_ne!(again, pasta);
    // Nothing that would end it is blocked, as everything is in its monitor.
    let status = fs::read_to_string(format!("/proc/{again}/status")).unwrap();
    assert!(status.contains("SigBlk:\t0000000000000000\n"), "{status}");
    place.ctn(&["rm", "-f", "web"]);
    assert_nothing_left(&place);
}

#[test]
fn a_killed_monitors_pasta_goes() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["run", "-d", "--name", "web", "-p", "8080:80", "box", "sh", "-c", SERVER]);
    kill(place.monitor_of("web"));
    assert!(place.ctn(&["ps", "-a"]).contains("Exited (137)"));
    // At once: whoever sees to the rest has waited for the port to be free.
    assert_eq!(pastas(&place), [0; 0]);
    assert_eq!(fs::read_dir(place.join("run/netns")).unwrap().count(), 0);
    place.ctn(&["start", "web"]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    place.ctn(&["rm", "-f", "web"]);
    assert_nothing_left(&place);
}

#[test]
fn a_network_is_shared() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["run", "-d", "--name", "web", "-p", "8080:80", "box", "sleep", "1000"]);
    place.ctn(&["run", "-d", "--name", "server", "--network", "container:web", "box", "sh", "-c", SERVER]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    place.ctn(&["rm", "-f", "server", "web"]);
    assert_nothing_left(&place);
}

#[test]
fn root_may_ask_for_it() {
    let wire = Wire::new();
    let mut place = Place::new();
    place.network = Some(wire.host.clone());
    place.ctn(&["run", "-d", "--name", "web", "--network", "pasta", "-p", "80:80", "box", "sh", "-c", SERVER]);
    assert_eq!(wire.fetched(80), "from the image\n");
    place.ctn(&["rm", "-f", "web"]);
    place.assert_nothing_left();
}

#[test]
fn what_can_not_be() {
    let wire = Wire::new();
    let place = wire.place("");
    let _taken = Server::start(&wire.host, "0.0.0.0:8000");
    for (flags, words) in [
        (["-p", "8000:80"], "Bind for 0.0.0.0:8000 failed: port is already allocated"),
        (["-p", "80:80"], "permission denied (ordinary users have those from net.ipv4.ip_unprivileged_port_start"),
        (["-p", "8081:80/sctp"], "pasta carries TCP and UDP"),
        (["--ip", "10.0.0.9"], "pasta is none"),
        (["--network", "bridge"], "the network bridge is not for an ordinary user"),
        (["--network", "pasta:--nonsense"], "pasta: unrecognized option '--nonsense'"),
        (["--network", "pasta:--foreground"], "the option --foreground of pasta is not for containers"),
    ] {
        let refusal = place.refusal(125, &[&["run", "--rm"], &flags[..], &["box", "true"]].concat());
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
    }
    assert_nothing_left(&place);
}

#[test]
fn networks_are_not_made_by_a_user() {
    let place = user::place();
    let refusal = place.refusal(1, &["network", "create", "mine"]);
    assert!(refusal.contains("an ordinary user may not make links of the machine"), "{refusal}");
    place.detached("web", &[], "sleep 1000");
    let refusal = place.refusal(1, &["network", "connect", "bridge", "web"]);
    assert!(refusal.contains("the network bridge is not for an ordinary user"), "{refusal}");
    place.ctn(&["rm", "-f", "web"]);
    assert_nothing_left(&place);
}

#[test]
fn a_machine_without_pasta() {
    let place = user::place_in(
        "set -e; mkdir -p bin; for name in newuidmap newgidmap setpriv; do cp -a /usr/bin/$name bin; done; mount --bind bin /usr/bin",
    );
    let refusal = place.refusal(125, &["run", "--rm", "box", "true"]);
    assert!(refusal.contains("package passt") && refusal.contains("--network none"), "{refusal}");
    assert_eq!(place.inside(&[], "echo without"), "without\n");
    assert_nothing_left(&place);
}
