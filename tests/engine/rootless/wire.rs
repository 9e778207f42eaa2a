//! A host with a link to what is outside, and servers there.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use super::user;
use crate::harness::*;

/// A host with one link, and what is outside at that link's other end.
pub struct Wire {
    pub host: String,
    pub outside: String,
}

/// The host's address, and the one outside, to which its default route leads.
pub const HOST: &str = "10.99.0.2";
pub const OUTSIDE: &str = "10.99.0.1";
/// The same of IPv6.
pub const HOST6: &str = "fd99::2";
pub const OUTSIDE6: &str = "fd99::1";

impl Wire {
    pub fn new() -> Wire {
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
            format!("-n {host} address add {HOST6}/64 dev uplink nodad"),
            format!("-n {outside} address add {OUTSIDE6}/64 dev peer nodad"),
            format!("-n {host} -6 route add default via {OUTSIDE6}"),
        ] {
            succeeded(&Command::new("ip").args(line.split(' ')).output().unwrap(), &line);
        }
        Wire { host, outside }
    }

    /// A place of the user's on this host; `more` is done before each command.
    pub fn place(&self, more: &str) -> Place {
        self.place_of_with(user::USER, more)
    }

    /// A place of another user's.
    pub fn place_of(&self, user: u32) -> Place {
        self.place_of_with(user, "")
    }

    fn place_of_with(&self, user: u32, more: &str) -> Place {
        // In the network's own sysfs nothing is needed, so entering is all.
        let enter = format!("set -e\n{more}\nset -- nsenter --net=/run/netns/{} \"$@\"", self.host);
        user::place_of(user, &enter)
    }

    pub fn run(namespace: &str, script: &str) -> Output {
        let net = format!("--net=/run/netns/{namespace}");
        Command::new("nsenter").args([&net, "busybox", "sh", "-c", script]).output().unwrap()
    }

    pub fn outside(&self, script: &str) -> Output {
        Wire::run(&self.outside, script)
    }

    /// What a web server on the host answers who asks from outside, once it is there.
    pub fn fetched(&self, port: u16) -> String {
        let mut answer = String::new();
        until("the server answers", || {
            let output = self.outside(&format!("timeout 5 wget -qO- http://{HOST}:{port}/of-image"));
            answer = String::from_utf8_lossy(&output.stdout).into_owned();
            output.status.success()
        });
        answer
    }

    /// Does something in a thread that is in a network.
    pub fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
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

/// A web server with one file, which ends with the test.
pub struct Server {
    process: Child,
    directory: PathBuf,
}

impl Server {
    pub fn start(namespace: &str, address: &str) -> Server {
        let directory = std::env::temp_dir().join(format!("www-{namespace}"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("hello"), "hello\n").unwrap();
        let net = format!("--net=/run/netns/{namespace}");
        let mut command = Command::new("nsenter");
        command.args([&net, "busybox", "httpd", "-f", "-p", address, "-h"]).arg(&directory);
        let server = Server { process: command.spawn().unwrap(), directory };
        let (host, port) = address.rsplit_once(':').unwrap();
        until("the server answers", || {
            Wire::run(namespace, &format!("timeout 5 wget -qO- http://{host}:{port}/hello")).status.success()
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

/// A host that asks itself for names, and a server there that says 10.1.2.3 for all of them.
pub struct Names {
    list: PathBuf,
    answering: Option<std::thread::JoinHandle<()>>,
}

impl Names {
    /// The server is asked so often.
    pub fn on(wire: &Wire, times: usize) -> Names {
        let server = Wire::within(&format!("/run/netns/{}", wire.host), || UdpSocket::bind("127.0.0.1:53").unwrap());
        server.set_read_timeout(Some(LIMIT)).unwrap();
        let list = std::env::temp_dir().join(format!("{}.resolv.conf", wire.host));
        fs::write(&list, "nameserver 127.0.0.1\n").unwrap();
        let answering = std::thread::spawn(move || {
            for _ in 0..times {
                let mut buffer = [0; 512];
                let (count, from) = server.recv_from(&mut buffer).unwrap();
                // RFC 1035, 4.1: the question comes back with one answer, 10.1.2.3 for the name at offset 12.
                let mut answer = buffer[..count].to_vec();
                answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3]);
                server.send_to(&answer, from).unwrap();
            }
        });
        Names { list, answering: Some(answering) }
    }

    /// A place of the user's there.
    pub fn place(&self, wire: &Wire) -> Place {
        wire.place(&format!("mount --bind {} /etc/resolv.conf", self.list.display()))
    }

    /// Waits until it was asked so often.
    pub fn answered(&mut self) {
        self.answering.take().unwrap().join().unwrap();
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.list);
    }
}
