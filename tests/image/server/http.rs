//! HTTP/1.1 as far as registries and their faults need it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Longer than anything here takes on the most loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Behind the question mark, decoded.
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Arc<Vec<u8>>,
    /// Whether the body came to its end.
    pub whole: bool,
    /// How often the same was asked for before.
    pub before: usize,
    /// When it was read.
    pub at: Instant,
}

impl Request {
    /// Reads a request; none at the end of the connection.
    pub fn read(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
        let Some(line) = line(stream)? else { return Ok(None) };
        let mut words = line.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
        let mut headers = BTreeMap::new();
        while let Some(line) = line_of_header(stream)? {
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (method, path, query) = (method.to_owned(), path.to_owned(), pairs(query));
        Ok(Some(Request {
            method,
            path,
            query,
            headers,
            body: Arc::default(),
            whole: true,
            before: 0,
            at: Instant::now(),
        }))
    }

    /// Reads at most so many bytes of the body.
    pub fn read_body(&mut self, stream: &mut impl BufRead, most: usize) -> io::Result<()> {
        let length = self.headers.get("content-length").and_then(|length| length.parse::<usize>().ok());
        if self.headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
            while let Some(size) = line(stream)?.and_then(|line| usize::from_str_radix(&line, 16).ok()) {
                self.take(stream, size, most)?;
                if !self.whole {
                    return Ok(());
                }
                line(stream)?;
                if size == 0 {
                    break;
                }
            }
            return Ok(());
        }
        self.take(stream, length.unwrap_or(0), most)
    }

    fn take(&mut self, stream: &mut impl BufRead, length: usize, most: usize) -> io::Result<()> {
        let body = Arc::make_mut(&mut self.body);
        let wanted = length.min(most - body.len());
        let got = stream.take(wanted as u64).read_to_end(body)?;
        self.whole = got == length;
        Ok(())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn asks(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first byte that is wanted, if not all are.
    pub fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
    }
}

/// The method and the path.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

fn line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    stream.take(64 << 10).read_until(b'\n', &mut line)?;
    Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).trim_end().to_owned()))
}

fn line_of_header(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    Ok(line(stream)?.filter(|line| !line.is_empty()))
}

/// A query or a form.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let halves = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    halves.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

/// `%3A` and `+`.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How the bytes of an answer come.
#[derive(Debug)]
pub enum Body {
    /// All at once.
    Whole(Vec<u8>),
    /// What was announced, but the connection ends after so many bytes.
    Cut(Vec<u8>, usize),
    /// Without a length, in pieces that have theirs (RFC 9112, 7.1).
    Chunked(Vec<u8>),
    /// A byte at a time.
    Drops(Vec<u8>),
    /// So many bytes, and the rest when the test says so.
    Held(Vec<u8>, usize, Gate),
    /// The same bytes again and again, until nobody takes them.
    Endless(Vec<u8>),
}

/// What the registry says.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, headers: Vec::new(), body: Body::Whole(body.into()) }
    }

    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Answer {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// An error as registries say it.
    pub fn error(status: u16, code: &str, message: &str) -> Answer {
        let body = serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string();
        Answer::new(status, body).with("Content-Type", "application/json")
    }

    /// The same bytes in another way.
    pub fn body(mut self, change: impl FnOnce(Vec<u8>) -> Body) -> Answer {
        if let Body::Whole(bytes) = self.body {
            self.body = change(bytes);
        }
        self
    }

    /// The connection that it was written to can be used again.
    pub fn write(self, stream: &mut TcpStream, head_only: bool) -> io::Result<bool> {
        let mut head = format!("HTTP/1.1 {} X\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let length = match &self.body {
            Body::Whole(bytes) | Body::Cut(bytes, _) | Body::Drops(bytes) | Body::Held(bytes, ..) => Some(bytes.len()),
            Body::Chunked(_) | Body::Endless(_) => None,
        };
        let said = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        match length {
            Some(length) if !said => head += &format!("Content-Length: {length}\r\n"),
            Some(_) => {}
            None if matches!(self.body, Body::Chunked(_)) => head += "Transfer-Encoding: chunked\r\n",
            None => head += "Connection: close\r\n",
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        if head_only {
            return Ok(true);
        }
        match self.body {
            Body::Whole(bytes) => stream.write_all(&bytes).map(|()| true),
            Body::Cut(bytes, count) => stream.write_all(&bytes[..count]).map(|()| false),
            Body::Chunked(bytes) => {
                for chunk in bytes.chunks(1000) {
                    write!(stream, "{:x}\r\n", chunk.len())?;
                    stream.write_all(chunk)?;
                    stream.write_all(b"\r\n")?;
                }
                stream.write_all(b"0\r\n\r\n").map(|()| true)
            }
            Body::Drops(bytes) => {
                stream.set_nodelay(true)?;
                bytes.iter().try_for_each(|byte| stream.write_all(&[*byte])).map(|()| true)
            }
            Body::Held(bytes, count, gate) => {
                stream.write_all(&bytes[..count])?;
                gate.pass();
                stream.write_all(&bytes[count..]).map(|()| true)
            }
            Body::Endless(bytes) => loop {
                stream.write_all(&bytes)?;
            },
        }
    }
}

/// Where the registry waits for the test, and the test for the registry.
#[derive(Debug)]
pub struct Gate {
    reached: Sender<()>,
    opened: Receiver<()>,
}

/// The test's side of a gate. When it is dropped the gate is open.
#[derive(Debug)]
pub struct Keeper {
    reached: Receiver<()>,
    _open: Sender<()>,
}

impl Gate {
    pub fn new() -> (Gate, Keeper) {
        let ((reached, seen), (open, opened)) = (channel(), channel());
        (Gate { reached, opened }, Keeper { reached: seen, _open: open })
    }

    fn pass(self) {
        let _ = self.reached.send(());
        let _ = self.opened.recv_timeout(PATIENCE);
    }
}

impl Keeper {
    /// Waits until somebody stands before the gate.
    pub fn wait(&self) {
        self.reached.recv_timeout(PATIENCE).expect("nobody came to the gate");
    }
}
