//! Hosts and containers made of network namespaces, and real traffic between them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use corten::network::{Attachment, Create, Driver, Endpoint, Network, Networks, Published, port};
use corten::sys::clone::{CloneFlags, join, unshare};

/// Long enough for an answer on this machine, however loaded; those that must not come are waited for a shorter time.
pub const PATIENCE: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(700);

/// A network namespace. A thread stands in it, so that it has a number that ip(8) takes.
pub struct Namespace {
    file: File,
    thread: i32,
    _end: Sender<()>,
}

impl Namespace {
    pub fn new() -> Namespace {
        let (ready, made) = channel();
        let (end, wait) = channel::<()>();
        std::thread::spawn(move || {
            unshare(CloneFlags::NEWNET).unwrap();
            let file = File::open("/proc/thread-self/ns/net").unwrap();
            ready.send((file, rustix::thread::gettid().as_raw_nonzero().get())).unwrap();
            let _ = wait.recv();
        });
        let (file, thread) = made.recv().unwrap();
        Namespace { file, thread, _end: end }
    }

    /// Does something in it, in a thread of its own.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let there = || {
                join(self.file.as_fd(), CloneFlags::NEWNET).unwrap();
                work()
            };
            scope.spawn(there).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    #[track_caller]
    pub fn ip(&self, arguments: &str) -> String {
        self.run(|| ip(arguments))
    }

    /// Where others open it.
    pub fn path(&self) -> String {
        format!("/proc/{}/task/{}/ns/net", std::process::id(), self.thread)
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Answers on a port of TCP, from now on, with the address of who asked.
    pub fn serve(&self, at: impl Into<SocketAddr> + Send) {
        let listener = self.run(|| TcpListener::bind(at.into()).unwrap());
        std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = listener.accept() {
                let _ = stream.write_all(peer.ip().to_canonical().to_string().as_bytes());
            }
        });
    }

    /// The same of UDP.
    pub fn serve_datagrams(&self, at: impl Into<SocketAddr> + Send) {
        let socket = self.run(|| UdpSocket::bind(at.into()).unwrap());
        std::thread::spawn(move || {
            let mut bytes = [0; 64];
            while let Ok((_, peer)) = socket.recv_from(&mut bytes) {
                let _ = socket.send_to(peer.ip().to_canonical().to_string().as_bytes(), peer);
            }
        });
    }

    /// Who the server at an address says that this one is.
    #[track_caller]
    pub fn reaches(&self, at: &str) -> String {
        self.run(|| fetch(at, PATIENCE)).unwrap_or_else(|error| panic!("{at}: {error}"))
    }

    /// Nobody answers.
    #[track_caller]
    pub fn does_not_reach(&self, at: &str) {
        if let Ok(answer) = self.run(|| fetch(at, SILENCE)) {
            panic!("{at} answered {answer}");
        }
    }
}

/// This thread goes where another one is.
pub fn enter(namespace: &File) {
    join(namespace.as_fd(), CloneFlags::NEWNET).unwrap();
}

pub fn fetch(at: &str, patience: Duration) -> io::Result<String> {
    let address: SocketAddr = at.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

pub fn ask(at: &str) -> io::Result<String> {
    let address: SocketAddr = at.parse().unwrap();
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"?", address)?;
    let mut bytes = [0; 64];
    let (length, _) = socket.recv_from(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

#[track_caller]
pub fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

#[track_caller]
pub fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A machine of the test's own: the thread of the test is in its namespace from now on. A neighbour is on its wire:
/// 192.0.2.1 and 2001:db8::1 here, 192.0.2.2 and 2001:db8::2 there.
pub struct Host {
    pub networks: Networks,
    pub outside: Namespace,
    pub directory: PathBuf,
}

impl Host {
    pub fn new() -> Host {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(rustix::process::geteuid().is_root(), "these tests make network namespaces: run them as root");
        let name = format!("ctn-network-tests-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        unshare(CloneFlags::NEWNET).unwrap();
        // A new namespace begins as the machine is (Documentation/networking/ip-sysctl.rst, devconf_inherit_init_net).
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        ip("link set lo up");
        let outside = Namespace::new();
        ip(&format!("link add eth0 type veth peer name eth0 netns {}", outside.thread));
        for (number, arguments) in [(1, None), (2, Some(&outside))] {
            for line in [
                format!("address add 192.0.2.{number}/24 dev eth0"),
                format!("address add 2001:db8::{number}/64 dev eth0 nodad"),
                "link set eth0 up".into(),
            ] {
                arguments.map_or_else(|| ip(&line), |there| there.ip(&line));
            }
        }
        outside.ip("link set lo up");
        ip("route add default via 192.0.2.2");
        let networks = Networks::open(&directory.join("root"), &directory.join("run")).unwrap();
        Host { networks, outside, directory }
    }

    /// Who the server at an address says that the host is.
    #[track_caller]
    pub fn reaches(&self, at: &str) -> String {
        fetch(at, PATIENCE).unwrap_or_else(|error| panic!("{at}: {error}"))
    }

    /// The test's thread, as a namespace like the others'.
    pub fn here(&self) -> File {
        File::open("/proc/thread-self/ns/net").unwrap()
    }

    pub fn network(&self, wanted: &Create) -> Network {
        self.networks.create(wanted).unwrap()
    }

    /// A user's network of this name.
    pub fn named(&self, name: &str) -> Network {
        self.network(&Create { name: name.into(), ..Create::default() })
    }

    /// The host's address in a network.
    pub fn gateway(&self, network: &str) -> String {
        self.networks.get(network).unwrap().pools[0].gateway.to_string()
    }

    #[track_caller]
    pub fn container(&self, name: &str, network: &str, ports: &[&str]) -> Container {
        self.try_container(name, network, ports).unwrap_or_else(|error| panic!("{error:#}"))
    }

    pub fn try_container(&self, name: &str, network: &str, ports: &[&str]) -> anyhow::Result<Container> {
        let namespace = Namespace::new();
        let ports: Vec<Published> = ports.iter().flat_map(|text| port::parse(text).unwrap()).collect();
        let reserved = self.networks.reserve_in(&self.networks.get(network)?, &ports)?;
        let id = id(name);
        let request = Attachment { ports: &reserved.ports, ..request(&id, name, &namespace, network) };
        let (endpoint, _) = self.networks.attach(&request)?;
        Ok(Container { id, endpoint, namespace, sockets: reserved.sockets })
    }

    /// The rules, as nft(8) reads them.
    pub fn rules(&self) -> String {
        run("nft", "list ruleset")
    }

    /// Whatever is left of containers: links, claims, records, elements.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left: Vec<String> =
            ip("-br link").lines().filter(|line| line.starts_with("veth")).map(str::to_owned).collect();
        files(&self.directory.join("run/network"), &mut left);
        left.retain(|name| !name.ends_with("/lock") && !name.contains("/.last"));
        let rules = self.rules();
        left.extend(rules.lines().filter(|line| line.contains("comment") && line.contains(" . ")).map(str::to_owned));
        left
    }
}

pub fn files(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path(), found),
            false => found.push(entry.path().display().to_string()),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What a test that has no other wishes asks for.
pub fn request<'a>(id: &'a str, name: &'a str, namespace: &'a Namespace, network: &'a str) -> Attachment<'a> {
    Attachment::new(id, name, namespace.fd(), network)
}

/// A network whose containers are on the host's wire outside, each with a link that has no end on the host.
pub fn on_the_wire(name: &str, driver: Driver) -> Create {
    Create {
        name: name.into(),
        driver: Some(driver),
        subnets: vec!["192.0.2.0/24".parse().unwrap()],
        gateways: vec!["192.0.2.2".parse().unwrap()],
        ranges: vec!["192.0.2.64/26".parse().unwrap()],
        options: [("parent".into(), "eth0".into())].into(),
        ..Create::default()
    }
}

/// An id of 64 digits.
pub fn id(name: &str) -> String {
    corten::image::digest::Digest::of(name.as_bytes()).hex().to_owned()
}

/// A container that is nothing but its network namespace.
pub struct Container {
    pub id: String,
    pub endpoint: Endpoint,
    pub namespace: Namespace,
    #[allow(dead_code, reason = "held, as a monitor holds them")]
    pub sockets: Vec<std::os::fd::OwnedFd>,
}

impl Container {
    pub fn address(&self) -> IpAddr {
        self.endpoint.addresses[0].addr()
    }

    pub fn at(&self, port: u16) -> String {
        SocketAddr::new(self.address(), port).to_string()
    }
}
