//! Names of containers, asked for from inside.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use corten::network::names::Responder;
use corten::network::{Attachment, Create};
use rustix::event::{PollFd, Timespec, poll};

use crate::harness::*;

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const NO_SUCH_NAME: u8 = 3;
const SERVER_FAILURE: u8 = 2;

/// Serves names for a container, as its monitor does, until it is dropped.
struct Served {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn new(host: &Host, container: &Container, servers: &[IpAddr]) -> Served {
        let mut responder = Responder::open(&host.networks, &container.id, container.namespace.fd(), servers).unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let (ended, here) = (end.clone(), host.here());
        let serve = move || {
            enter(&here);
            while !ended.load(Ordering::Relaxed) {
                let descriptors = responder.descriptors();
                let mut polled: Vec<PollFd<'_>> =
                    descriptors.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
                // Short, so that the end is seen.
                let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                poll(&mut polled, Some(&wait)).unwrap();
                responder.serve_ready();
            }
        };
        Served { end, thread: Some(std::thread::spawn(serve)) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for part in name.split('.') {
        bytes.push(part.len() as u8);
        bytes.extend(part.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

/// The code of an answer, and the data of its records, which all begin with a reference to the question's name.
fn read(question: &[u8], answer: &[u8]) -> (u8, Vec<Vec<u8>>) {
    assert_eq!(answer[..2], question[..2]);
    let mut records = Vec::new();
    let mut at = question.len();
    while at < answer.len() {
        let length = usize::from(u16::from_be_bytes([answer[at + 10], answer[at + 11]]));
        records.push(answer[at + 12..at + 12 + length].to_vec());
        at += 12 + length;
    }
    (answer[3] & 15, records)
}

fn by_datagram(container: &Container, name: &str, kind: u16) -> (u8, Vec<Vec<u8>>) {
    let asked = question(name, kind);
    let answer = container.namespace.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Who asks looks whether the answer is from where it asked.
        socket.connect("127.0.0.11:53").unwrap();
        socket.send(&asked).unwrap();
        let mut bytes = [0; 2048];
        let length = socket.recv(&mut bytes).unwrap();
        bytes[..length].to_vec()
    });
    read(&asked, &answer)
}

/// Several questions at once on one connection, as the C library does it.
fn by_stream(container: &Container, all: &[(&str, u16)]) -> Vec<(u8, Vec<Vec<u8>>)> {
    let asked: Vec<Vec<u8>> = all.iter().map(|(name, kind)| question(name, *kind)).collect();
    container.namespace.run(|| {
        let mut stream = TcpStream::connect("127.0.0.11:53").unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let framed = asked.iter().flat_map(|one| [&(one.len() as u16).to_be_bytes()[..], one].concat());
        stream.write_all(&framed.collect::<Vec<u8>>()).unwrap();
        let answer = |one: &Vec<u8>| {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut bytes).unwrap();
            read(one, &bytes)
        };
        asked.iter().map(answer).collect()
    })
}

fn octets(container: &Container, at: usize) -> Vec<u8> {
    match container.endpoint.addresses[at].addr() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[test]
fn of_containers_in_the_same_network() {
    let host = Host::new();
    host.network(&Create { name: "mine".into(), ipv6: true, ..Create::default() });
    host.named("other");
    let (one, two) = (host.container("one", "mine", &[]), host.container("two", "mine", &[]));
    let _stranger = host.container("stranger", "other", &[]);
    let _served = Served::new(&host, &one, &[[192, 0, 2, 99].into()]);
    assert_eq!(by_datagram(&one, "two", A), (0, vec![octets(&two, 0)]));
    assert_eq!(by_datagram(&one, "TWO.mine", AAAA), (0, vec![octets(&two, 1)]));
    assert_eq!(by_datagram(&one, &two.id[..12], A), (0, vec![octets(&two, 0)]));
    assert_eq!(by_datagram(&one, "one", A), (0, vec![octets(&one, 0)]));
    let mut reversed: Vec<String> = octets(&two, 0).iter().rev().map(u8::to_string).collect();
    reversed.push("in-addr.arpa".into());
    assert_eq!(by_datagram(&one, &reversed.join("."), PTR), (0, vec![b"\x03two\x04mine\0".to_vec()]));
    assert_eq!(by_stream(&one, &[("two", A), ("two", AAAA)]), [(0, vec![octets(&two, 0)]), (0, vec![octets(&two, 1)])]);
    // One with another name, one that comes, and one that goes.
    host.networks.rename(&two.id, "zwei").unwrap();
    assert_eq!(by_datagram(&one, "zwei", A), (0, vec![octets(&two, 0)]));
    assert_eq!(by_datagram(&one, "two", A).0, SERVER_FAILURE);
    let three = host.container("three", "mine", &[]);
    assert_eq!(by_datagram(&one, "three", A), (0, vec![octets(&three, 0)]));
    host.networks.detach(&three.id, None).unwrap();
    // Whom else to ask is nobody who answers.
    assert_eq!(by_datagram(&one, "three", A).0, SERVER_FAILURE);
    assert_eq!(by_datagram(&one, "stranger", A).0, SERVER_FAILURE);
    // An alias, in a network that comes later.
    let aliases = ["database".to_owned()];
    let fourth = Namespace::new();
    host.named("later");
    let id = id("four");
    let (endpoint, _) =
        host.networks.attach(&Attachment { aliases: &aliases, ..request(&id, "four", &fourth, "later") }).unwrap();
    host.networks
        .attach(&Attachment { interface: "eth1", ..request(&one.id, "one", &one.namespace, "later") })
        .unwrap();
    let IpAddr::V4(address) = endpoint.addresses[0].addr() else { panic!() };
    assert_eq!(by_datagram(&one, "database", A), (0, vec![address.octets().to_vec()]));
}

#[test]
fn of_the_rest_of_the_world() {
    let host = Host::new();
    host.named("mine");
    let one = host.container("one", "mine", &[]);
    // A server outside that the host reaches. It says 203.0.113.7 by datagram, 203.0.113.8 by stream.
    host.outside.ip("address add 192.0.2.53/24 dev eth0");
    let respond = |asked: &[u8], last: u8| {
        let mut answer = asked.to_vec();
        (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, last]);
        answer
    };
    let (datagrams, listener) =
        host.outside.run(|| (UdpSocket::bind("192.0.2.53:53").unwrap(), TcpListener::bind("192.0.2.53:53").unwrap()));
    std::thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, peer)) = datagrams.recv_from(&mut bytes) {
            // Somebody else's answer first: it is not taken.
            let mut wrong = respond(&bytes[..length], 66);
            wrong[0] ^= 1;
            let _ = datagrams.send_to(&wrong, peer);
            let _ = datagrams.send_to(&respond(&bytes[..length], 7), peer);
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut bytes).unwrap();
            let answer = respond(&bytes, 8);
            stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
            // In pieces, as it may come.
            stream.write_all(&answer[..5]).unwrap();
            stream.flush().unwrap();
            stream.write_all(&answer[5..]).unwrap();
        }
    });
    // The first server of the two is not there.
    let servers = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 53])];
    let _served = Served::new(&host, &one, &servers);
    assert_eq!(by_datagram(&one, "example.org", A), (0, vec![vec![203, 0, 113, 7]]));
    let both = by_stream(&one, &[("example.org", A), ("one", A)]);
    assert_eq!(both, [(0, vec![vec![203, 0, 113, 8]]), (0, vec![octets(&one, 0)])]);
}

#[test]
fn of_an_internal_network_nobody_outside_is_asked() {
    let host = Host::new();
    host.network(&Create { name: "inside".into(), internal: true, ..Create::default() });
    let one = host.container("one", "inside", &[]);
    let _served = Served::new(&host, &one, &[[192, 0, 2, 2].into()]);
    assert_eq!(by_datagram(&one, "one", A), (0, vec![octets(&one, 0)]));
    assert_eq!(by_datagram(&one, "example.org", A), (NO_SUCH_NAME, vec![]));
}

#[test]
fn a_container_may_have_a_server_of_its_own() {
    let host = Host::new();
    host.named("mine");
    let one = host.container("one", "mine", &[]);
    let _served = Served::new(&host, &one, &[[192, 0, 2, 2].into()]);
    let _own = one.namespace.run(|| {
        let any = (Ipv4Addr::UNSPECIFIED, 53);
        (UdpSocket::bind(any).unwrap(), TcpListener::bind(any).unwrap())
    });
    assert_eq!(by_datagram(&one, "one", A), (0, vec![octets(&one, 0)]));
    assert_eq!(by_stream(&one, &[("one", A)]), [(0, vec![octets(&one, 0)])]);
}

#[test]
fn rubbish_does_no_harm() {
    let host = Host::new();
    host.named("mine");
    let one = host.container("one", "mine", &[]);
    let _served = Served::new(&host, &one, &[[192, 0, 2, 2].into()]);
    // Held open, with nothing or half a question: more than are served at a time.
    let held = one.namespace.run(|| {
        let connect = |number: u8| {
            let mut stream = TcpStream::connect("127.0.0.11:53").unwrap();
            stream.write_all(&vec![0xff; usize::from(number % 4)]).unwrap();
            stream
        };
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for length in [0, 1, 11, 12, 13, 64] {
            socket.send_to(&vec![0; length], "127.0.0.11:53").unwrap();
        }
        (0..40).map(connect).collect::<Vec<_>>()
    });
    assert_eq!(by_datagram(&one, "one", A), (0, vec![octets(&one, 0)]));
    drop(held);
    assert_eq!(by_stream(&one, &[("one", A)]), [(0, vec![octets(&one, 0)])]);
}
