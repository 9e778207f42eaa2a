//! Names of containers, asked for from inside.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corten::network::names::Responder;
use corten::network::{Attachment, Create};
use rustix::event::{PollFd, Timespec, poll};

use crate::harness::*;

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const NO_SUCH_NAME: u8 = 3;
const SERVER_FAILURE: u8 = 2;
const REFUSED: u8 = 5;

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
        asked.iter().map(|one| read(one, &packet(&mut stream))).collect()
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
    let (datagrams, listener) =
        host.outside.run(|| (UdpSocket::bind("192.0.2.53:53").unwrap(), TcpListener::bind("192.0.2.53:53").unwrap()));
    std::thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, peer)) = datagrams.recv_from(&mut bytes) {
            // Somebody else's answer first: it is not taken.
            let mut wrong = respond(&bytes[..length], 0, Some(66));
            wrong[0] ^= 1;
            let _ = datagrams.send_to(&wrong, peer);
            let _ = datagrams.send_to(&respond(&bytes[..length], 0, Some(7)), peer);
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let answer = respond(&packet(&mut stream), 0, Some(8));
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

/// One that comes by a stream, with its length before it (RFC 1035, 4.2.2).
fn packet(stream: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// An answer to a question: its bytes, a code, and one address or none.
fn respond(asked: &[u8], code: u8, last: Option<u8>) -> Vec<u8> {
    let mut answer = asked.to_vec();
    (answer[2], answer[3], answer[7]) = (0x81, 0x80 | code, last.is_some().into());
    answer.extend(last.into_iter().flat_map(|last| [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, last]));
    answer
}

/// A server outside, at the addresses that end so, which answers every question in the same way.
fn server(host: &Host, address: u8, code: u8, last: Option<u8>) {
    host.outside.ip(&format!("address add 192.0.2.{address}/24 dev eth0"));
    let at = ([192, 0, 2, address], 53);
    let (datagrams, listener) = host
        .outside
        .run(|| (UdpSocket::bind(SocketAddr::from(at)).unwrap(), TcpListener::bind(SocketAddr::from(at)).unwrap()));
    std::thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, peer)) = datagrams.recv_from(&mut bytes) {
            let _ = datagrams.send_to(&respond(&bytes[..length], code, last), peer);
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let answer = respond(&packet(&mut stream), code, last);
            stream.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat()).unwrap();
        }
    });
}

/// As the C library does it, and docker: what one server fails at, or refuses, the next one may know; that there is no such name is an answer.
#[test]
fn of_a_server_that_fails_the_next_one_is_asked() {
    let host = Host::new();
    host.named("mine");
    let one = host.container("one", "mine", &[]);
    for (address, code, last) in
        [(53, SERVER_FAILURE, None), (54, REFUSED, None), (55, 0, Some(7)), (56, NO_SUCH_NAME, None)]
    {
        server(&host, address, code, last);
    }
    let servers = |all: &[u8]| all.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect::<Vec<_>>();
    let known = (0, vec![vec![203, 0, 113, 7]]);
    for (all, wanted) in
        [(&[53, 54, 55][..], known), (&[53, 54], (REFUSED, vec![])), (&[56, 55], (NO_SUCH_NAME, vec![]))]
    {
        let _served = Served::new(&host, &one, &servers(all));
        assert_eq!(by_datagram(&one, "example.org", A), wanted, "{all:?}");
        assert_eq!(by_stream(&one, &[("example.org", A)]), [wanted], "{all:?}");
    }
}

/// Before whoever asked gives up, as most do after 5 seconds.
#[test]
fn that_all_servers_are_silent_is_told_in_time() {
    let host = Host::new();
    host.named("mine");
    let one = host.container("one", "mine", &[]);
    let silent: Vec<_> = [53, 54]
        .iter()
        .map(|last| {
            host.outside.ip(&format!("address add 192.0.2.{last}/24 dev eth0"));
            let at = SocketAddr::from(([192, 0, 2, *last], 53));
            host.outside.run(|| (UdpSocket::bind(at).unwrap(), TcpListener::bind(at).unwrap()))
        })
        .collect();
    let _served = Served::new(&host, &one, &[[192, 0, 2, 53].into(), [192, 0, 2, 54].into()]);
    let timed = |ask: &dyn Fn() -> (u8, Vec<Vec<u8>>)| {
        let begun = Instant::now();
        assert_eq!(ask(), (SERVER_FAILURE, vec![]));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    };
    timed(&|| by_datagram(&one, "example.org", A));
    timed(&|| by_stream(&one, &[("example.org", A)]).remove(0));
    // Each of them was asked, and what is known here is answered meanwhile.
    for (datagrams, _) in &silent {
        datagrams.set_nonblocking(true).unwrap();
        assert!(datagrams.recv(&mut [0; 512]).is_ok());
    }
    assert_eq!(by_datagram(&one, "one", A), (0, vec![octets(&one, 0)]));
}

/// A program that looks up all that it knows at once.
#[test]
fn of_many_at_once() {
    const MANY: u16 = 250;
    let host = Host::new();
    host.named("mine");
    let one = host.container("one", "mine", &[]);
    host.outside.ip("address add 192.0.2.53/24 dev eth0");
    let server = host.outside.run(|| UdpSocket::bind("192.0.2.53:53").unwrap());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let _served = Served::new(&host, &one, &[[192, 0, 2, 53].into()]);
    let asked = |number: u16| {
        let mut asked = question("example.org", A);
        asked[..2].copy_from_slice(&number.to_be_bytes());
        asked
    };
    let asker = one.namespace.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect("127.0.0.11:53").unwrap();
        for number in 0..MANY {
            socket.send(&asked(number)).unwrap();
        }
        socket
    });
    // None is answered before all were asked.
    let mut bytes = [0; 512];
    let heard: Vec<_> = (0..MANY)
        .map(|count| {
            let (length, peer) = server.recv_from(&mut bytes).unwrap_or_else(|error| panic!("after {count}: {error}"));
            (respond(&bytes[..length], 0, Some(7)), peer)
        })
        .collect();
    for (answer, peer) in &heard {
        server.send_to(answer, peer).unwrap();
    }
    asker.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answered: Vec<u16> = (0..MANY)
        .map(|_| {
            let length = asker.recv(&mut bytes).unwrap();
            assert_eq!(bytes[..length], respond(&asked(u16::from_be_bytes([bytes[0], bytes[1]])), 0, Some(7)));
            u16::from_be_bytes([bytes[0], bytes[1]])
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, (0..MANY).collect::<Vec<_>>());
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
    // It has no address of IPv6, and nobody else is asked for one.
    assert_eq!(by_datagram(&one, "one", AAAA), (0, vec![]));
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
