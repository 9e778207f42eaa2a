//! HTTP, one exchange after the other: redirects, attempts, time limits.
//!
//! ureq does the talking. What it could do by itself but must not here: a redirect goes to another host without what was meant for
//! the first, and with that host's own certificates; a status is an answer and no error.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail, ensure};
use ureq::http::{self, Method, header};
use ureq::{Agent, Body, SendBody};

use super::certificates::Certificates;
use super::failure::Failure;
use super::patience::Patience;
use super::retry;
use super::url::{Scheme, Url};
use crate::error::{Errno, Refusal};

/// Redirects that are followed one after another.
const REDIRECTS: usize = 10;
/// Time for a connection with its TLS, and for each look-up of a name.
const CONNECT: Duration = Duration::from_secs(30);
/// Time without any progress before an attempt is given up, unless CTN_STALL_TIMEOUT says otherwise.
const STALL: Duration = Duration::from_secs(60);
/// How much longer the answer to a blob may take.
const PATIENCE: u32 = 5;
/// Bytes that are at least to come within that time.
const LOWEST: u64 = 16 << 10;
/// Time for the head of an answer, and again for a whole document.
const DOCUMENT: Duration = Duration::from_secs(300);
/// Bytes of an answer's body that are read in order to say what is wrong.
const LARGEST_COMPLAINT: u64 = 64 << 10;

/// Reads a body, which must be as long as was said.
pub type Open<'a> = &'a dyn Fn() -> Result<Box<dyn Read + 'a>>;

/// What goes with a request. It can be opened again, for another attempt.
#[derive(Clone, Copy)]
pub enum Payload<'a> {
    /// No body.
    None,
    /// A body in memory.
    Bytes(&'a [u8]),
    /// The same, for nobody but the request's own server.
    Secret(&'a [u8]),
    /// A body of some length.
    Stream(u64, Open<'a>),
}

/// A request.
#[derive(Clone)]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub url: Url,
    /// Fields that every host may see.
    pub headers: Vec<(header::HeaderName, String)>,
    /// The body.
    pub payload: Payload<'a>,
}

impl Request<'_> {
    /// A request without a body.
    pub fn new(method: Method, url: Url) -> Request<'static> {
        Request { method, url, headers: Vec::new(), payload: Payload::None }
    }

    /// Whether it does no harm to send it again after this status, or 0 for a lost connection: a part of a blob that was half taken in
    /// must not be taken in again.
    fn may_be_repeated(&self, status: u16) -> bool {
        match self.payload {
            Payload::Stream(..) => matches!(status, 429 | 503),
            _ => status == 0 || retry::is_passing(status),
        }
    }

    fn shown(&self) -> String {
        format!("{} {}", self.method, self.url.shown())
    }
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Response {
    /// Where it is from, after all redirects.
    pub url: Url,
    /// The status.
    pub status: u16,
    headers: http::HeaderMap,
    body: Body,
    stall: Duration,
}

impl Response {
    /// A field of the head.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All fields of one name.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// The length that the body is said to have.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    fn retry_after(&self) -> Option<Duration> {
        retry::after(self.header("retry-after")?, SystemTime::now())
    }

    /// The body as a stream without an end in time, but with a pace.
    pub fn stream(self) -> Paced<impl Read + Send + 'static> {
        Paced::new(self.body.into_with_config().limit(u64::MAX).reader(), self.stall, None)
    }

    /// The whole body, of at most so many bytes.
    pub fn bytes(self, limit: u64) -> Result<Vec<u8>> {
        let (from, authority) = (self.url.shown(), self.url.authority());
        let what = || format!("read {from}");
        ensure!(self.length().is_none_or(|length| length <= limit), "{}: more than {limit} bytes", what());
        let deadline = Instant::now() + DOCUMENT;
        let reader = Paced::new(self.body.into_with_config().limit(u64::MAX).reader(), self.stall, Some(deadline));
        let mut bytes = Vec::new();
        let read = reader.take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|error| worded(error, &authority).context(Cut(what())))?;
        ensure!(bytes.len() as u64 <= limit, "{}: more than {limit} bytes", what());
        Ok(bytes)
    }

    /// Leaves the body, so that the connection can be used again.
    pub fn finish(self) {
        self.failure();
    }

    /// What the registry says about its refusal.
    pub fn failure(self) -> Failure {
        let (status, after) = (self.status, self.retry_after());
        let mut bytes = Vec::new();
        let deadline = Some(Instant::now() + CONNECT);
        let reader = Paced::new(self.body.into_with_config().limit(u64::MAX).reader(), self.stall, deadline);
        // What can be read of it is enough.
        let _ = reader.take(LARGEST_COMPLAINT).read_to_end(&mut bytes);
        Failure { after, ..Failure::read(status, &bytes) }
    }
}

/// All connections.
#[derive(Debug)]
pub struct Transport {
    certificates: Certificates,
    agents: Mutex<BTreeMap<(Scheme, String, bool), Agent>>,
    stall: Duration,
    /// For the time between attempts.
    pub patience: Patience,
}

impl Transport {
    /// No connection yet.
    pub fn new(certificates: Certificates) -> Result<Transport> {
        let stall = match std::env::var("CTN_STALL_TIMEOUT") {
            Ok(text) => humantime::parse_duration(&text)
                .with_context(|| format!("CTN_STALL_TIMEOUT is {text:?}, which is no duration"))?,
            Err(_) => STALL,
        };
        ensure!(!stall.is_zero(), "CTN_STALL_TIMEOUT is no time at all");
        Ok(Transport { certificates, agents: Mutex::default(), stall, patience: Patience::default() })
    }

    /// Sends a request and follows it. `authorization` is for the request's own server alone. `trusting` leaves out to look at
    /// certificates, for the same server alone.
    pub fn call(&self, request: &Request<'_>, authorization: Option<&str>, trusting: bool) -> Result<Response> {
        let mut failed = 0;
        loop {
            let outcome = self.follow(request, authorization, trusting);
            let pause = match &outcome {
                Ok(response) if request.may_be_repeated(response.status) => {
                    failed += 1;
                    retry::pause(failed, response.retry_after())
                }
                Err(error) if request.may_be_repeated(0) => weight(error).and_then(|weight| {
                    failed += weight;
                    retry::pause(failed, None)
                }),
                _ => None,
            };
            // The other side wants time.
            if !pause.is_some_and(|pause| self.patience.wait(pause)) {
                return outcome.with_context(|| request.shown());
            }
        }
    }

    /// One attempt by nobody, without any certificate looked at: for questions that give nothing away.
    pub fn once(&self, request: &Request<'_>) -> Result<Response> {
        self.follow(request, None, true)
    }

    /// One attempt.
    fn follow(&self, request: &Request<'_>, authorization: Option<&str>, trusting: bool) -> Result<Response> {
        let mut current = request.clone();
        for _ in 0..=REDIRECTS {
            let own = current.url.is_same_server(&request.url);
            let response = self.exchange(&current, authorization.filter(|_| own), trusting && own)?;
            let moved = matches!(response.status, 301 | 302 | 303 | 307 | 308);
            let Some(location) = response.header("location").filter(|_| moved) else { return Ok(response) };
            let keeps_method =
                matches!(response.status, 307 | 308) || matches!(current.method, Method::GET | Method::HEAD);
            // 303 to a GET is what no registry means by an upload's answer.
            if !keeps_method {
                return Ok(response);
            }
            let next = current.url.join(location).context("a redirect")?;
            response.finish();
            let was_secret = request.url.scheme == Scheme::Https;
            ensure!(
                next.scheme == Scheme::Https || !was_secret || next.is_loopback(),
                "a redirect from HTTPS to {}, which is in the clear",
                next.shown()
            );
            let is_secret = matches!(request.payload, Payload::Secret(_));
            ensure!(!is_secret || next.is_same_server(&request.url), "a redirect with a secret to {}", next.shown());
            current.url = next;
        }
        bail!("more than {REDIRECTS} redirects")
    }

    fn exchange(&self, request: &Request<'_>, authorization: Option<&str>, trusting: bool) -> Result<Response> {
        let agent = self.agent(&request.url, trusting)?;
        let mut head = http::Request::builder().method(request.method.clone()).uri(request.url.to_string());
        for (name, value) in &request.headers {
            head = head.header(name, value);
        }
        if let Some(authorization) = authorization {
            head = head.header(header::AUTHORIZATION, authorization);
        }
        let answer = match request.payload {
            Payload::None => agent.run(head.body(())?),
            Payload::Bytes(bytes) | Payload::Secret(bytes) => agent.run(head.body(bytes)?),
            Payload::Stream(length, open) => {
                let mut reader = open()?;
                let head = head.header(header::CONTENT_LENGTH, length).body(SendBody::from_reader(&mut reader))?;
                // A registry may take its time to look at all that it got.
                let patient = Some(self.stall * PATIENCE);
                agent.run(agent.configure_request(head).timeout_per_read(patient).build())
            }
        };
        let (head, body) = answer.map_err(|error| cause(error, &request.url, self.stall))?.into_parts();
        let url = request.url.clone();
        Ok(Response { url, status: head.status.as_u16(), headers: head.headers, body, stall: self.stall })
    }

    /// The connections to a server.
    fn agent(&self, url: &Url, trusting: bool) -> Result<Agent> {
        let key = (url.scheme, url.authority(), trusting);
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("ctn/", env!("CARGO_PKG_VERSION")))
            // Blobs are hashed as they are stored, so nobody may compress them on the way.
            .accept_encoding("identity")
            .accept("")
            .proxy(proxy(url)?)
            .input_buffer_size(128 << 10)
            .output_buffer_size(128 << 10)
            .max_idle_connections_per_host(8)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(DOCUMENT))
            .timeout_per_read(Some(self.stall))
            .timeout_per_write(Some(self.stall));
        if url.scheme == Scheme::Https {
            config = config.tls_config(self.certificates.of(&url.authority(), trusting)?);
        }
        let agent = Agent::new_with_config(config.build());
        agents.insert(key, agent.clone());
        Ok(agent)
    }
}

/// What the environment says, as other programs read it: never for this machine itself.
fn proxy(url: &Url) -> Result<Option<ureq::Proxy>> {
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let names: &[&str] = match url.scheme {
        Scheme::Https => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        // For a CGI program, HTTP_PROXY is a header of somebody's request (CVE-2016-5385).
        Scheme::Http if set(&"REQUEST_METHOD").is_some() => &["http_proxy", "all_proxy", "ALL_PROXY"],
        Scheme::Http => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
    };
    let Some(value) = names.iter().find_map(set).filter(|_| !url.is_loopback()) else { return Ok(None) };
    let proxy = ureq::Proxy::new(&value).ok().with_context(|| format!("the environment's proxy {value:?} is none"))?;
    ensure!(
        matches!(proxy.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https),
        "the environment's proxy {value:?} is none for HTTP, which is all that is understood"
    );
    // NO_PROXY's rules, which this reads.
    let except = ureq::Proxy::try_from_env();
    let uri = url.to_string().parse();
    Ok(Some(proxy).filter(|_| !uri.is_ok_and(|uri| except.is_some_and(|except| except.is_no_proxy(&uri)))))
}

/// A document that did not come as a whole: what was attempted.
#[derive(Debug)]
pub struct Cut(String);

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Asks for a document until it comes as a whole. All else that can be tried again was.
pub fn until_whole<T>(patience: &Patience, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let mut failed = 0;
    loop {
        let outcome = ask();
        let cut = outcome.as_ref().is_err_and(|error| error.downcast_ref::<Cut>().is_some());
        failed += u32::from(cut);
        if !retry::pause(failed, None).is_some_and(|pause| cut && patience.wait(pause)) {
            return outcome;
        }
    }
}

/// An attempt that ended on the way.
#[derive(Debug)]
struct Interrupted(&'static str);

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Interrupted {}

/// Whether another attempt may do, after an error on the way.
pub fn is_passing(error: &anyhow::Error) -> bool {
    Failure::of(error).map_or_else(|| weight(error).is_some(), |failure| retry::is_passing(failure.status))
}

/// How much an error counts as a failed attempt; none if another attempt is no use.
fn weight(error: &anyhow::Error) -> Option<u32> {
    if error.chain().any(|cause| cause.is::<Stalled>()) {
        return Some(2);
    }
    if error.chain().any(|cause| cause.is::<Interrupted>()) {
        return Some(1);
    }
    let lost = [Errno::CONNRESET, Errno::CONNABORTED, Errno::PIPE];
    crate::error::errno(error).filter(|errno| lost.contains(errno)).map(|_| 1)
}

/// Nothing came, or next to nothing.
#[derive(Debug)]
pub struct Stalled(Duration);

impl std::fmt::Display for Stalled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no progress for {}", humantime::format_duration(self.0))
    }
}

impl std::error::Error for Stalled {}

/// What ureq's error means.
fn cause(error: ureq::Error, url: &Url, stall: Duration) -> anyhow::Error {
    let authority = url.authority();
    match error {
        ureq::Error::Io(error) => worded(error, &authority),
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => anyhow!(Stalled(CONNECT)),
        ureq::Error::Timeout(ureq::Timeout::RecvResponse) => anyhow!(Stalled(DOCUMENT)),
        ureq::Error::Timeout(_) => anyhow!(Stalled(stall)),
        ureq::Error::HostNotFound => anyhow!("there is no host {:?}", url.host),
        ureq::Error::ConnectionFailed => anyhow!(Interrupted("no connection")),
        ureq::Error::Rustls(error) => super::certificates::advised(&error, &authority),
        other => anyhow!(other.to_string()).context(format!("{authority} doesn't talk as a registry does")),
    }
}

/// An error of a stream to some server, with the errno where the kernel gave one.
pub fn worded(error: io::Error, authority: &str) -> anyhow::Error {
    if let Some(errno) = Errno::from_io_error(&error) {
        return anyhow!(Refusal(errno));
    }
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return super::certificates::advised(error, authority);
    }
    if inner.is_some_and(|inner| inner.is::<Stalled>()) {
        return anyhow!(error);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => anyhow!(Interrupted("the connection was closed before the end")),
        io::ErrorKind::TimedOut => anyhow!(Interrupted("no progress")),
        _ => anyhow!(error),
    }
}

/// A body that must come at some pace.
#[derive(Debug)]
pub struct Paced<R> {
    body: R,
    stall: Duration,
    deadline: Option<Instant>,
    waited: Duration,
    received: u64,
}

impl<R: Read> Paced<R> {
    fn new(body: R, stall: Duration, deadline: Option<Instant>) -> Paced<R> {
        Paced { body, stall, deadline, waited: Duration::ZERO, received: 0 }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let before = Instant::now();
        let stalled = || io::Error::new(io::ErrorKind::TimedOut, Stalled(self.stall));
        let count =
            self.body.read(buffer).map_err(|error| match error.get_ref().map(|inner| inner.downcast_ref()) {
                Some(Some(ureq::Error::Timeout(_))) => stalled(),
                _ => error,
            })?;
        let now = Instant::now();
        // The time of the other side alone, not what this one needs for what it got.
        self.waited += now - before;
        self.received += count as u64;
        let too_slow = self.waited >= self.stall && self.received < LOWEST && count > 0;
        if too_slow || self.deadline.is_some_and(|deadline| now > deadline) {
            return Err(stalled());
        }
        if self.received >= LOWEST {
            (self.waited, self.received) = (Duration::ZERO, 0);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_must_come_at_some_pace() {
        let read = |bytes: usize, stall: Duration, deadline: Option<Instant>| {
            let mut all = Vec::new();
            Paced::new(io::repeat(1).take(bytes as u64), stall, deadline).read_to_end(&mut all).map(|_| all.len())
        };
        let hour = Duration::from_secs(3600);
        assert_eq!(read(10, hour, None).unwrap(), 10);
        // With no time at all, what is little is too slow.
        assert_eq!(read(10, Duration::ZERO, None).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(read(10, hour, Some(Instant::now())).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn what_was_cut_is_asked_for_again_and_nothing_else() {
        let mut asked = 0;
        let outcome = until_whole(&Patience::default(), || {
            asked += 1;
            if asked == 1 { Err(anyhow!("lost").context(Cut("read x".into())).context("more")) } else { Ok(asked) }
        });
        assert_eq!(outcome.unwrap(), 2);
        let mut asked = 0;
        let refused: Result<()> = until_whole(&Patience::default(), || {
            asked += 1;
            Err(anyhow!("refused"))
        });
        assert!(refused.is_err());
        assert_eq!(asked, 1);
    }

    #[test]
    fn what_can_pass_is_told_from_what_stays() {
        let lost = |kind: io::ErrorKind| worded(kind.into(), "a.example");
        assert!(is_passing(&lost(io::ErrorKind::UnexpectedEof)));
        assert!(is_passing(&worded(io::Error::from_raw_os_error(libc::ECONNRESET), "a.example")));
        assert!(!is_passing(&worded(io::Error::from_raw_os_error(libc::ECONNREFUSED), "a.example")));
        assert!(!is_passing(&lost(io::ErrorKind::InvalidData)));
        assert!(is_passing(&anyhow!(Failure::read(503, b""))) && !is_passing(&anyhow!(Failure::read(404, b""))));
        let blob: Open<'_> = &|| Ok(Box::new(io::empty()));
        let request = Request::new(Method::GET, Url::parse("https://a.example/").unwrap());
        let upload = Request { payload: Payload::Stream(0, blob), ..request.clone() };
        assert!(request.may_be_repeated(0) && request.may_be_repeated(500) && !request.may_be_repeated(404));
        assert!(!upload.may_be_repeated(0) && !upload.may_be_repeated(500) && upload.may_be_repeated(429));
    }
}
