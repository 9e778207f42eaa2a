//! Blobs to a registry: not at all, if it has them; from another repository there; in one piece, or in several.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result, bail, ensure};
use ureq::http::{Method, header};

use super::failure::Failure;
use super::repository::Repository;
use super::retry;
use super::scope::Scopes;
use super::transport::{Payload, Request, Response, is_passing};
use super::url::Url;
use crate::error::Attempt;
use crate::image::manifest::Descriptor;

/// Bytes that are sent in one piece. What is larger goes in pieces, of which only the last is sent again when a connection is lost.
const PIECE: u64 = 64 << 20;
/// Repositories that are tried as the source of a mount.
const SOURCES: usize = 3;

/// How a blob came to be where it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// It was there.
    Existed,
    /// The registry had it in another repository.
    Mounted(String),
    /// It was sent.
    Sent,
}

/// A blob to upload.
pub struct Blob<'b> {
    /// What it is.
    pub descriptor: &'b Descriptor,
    /// Opens it.
    pub open: &'b dyn Fn() -> Result<File>,
    /// Other repositories of the registry that have it.
    pub elsewhere: &'b [String],
    /// Is told the number of the bytes that are sent, and where a new attempt begins.
    pub sent: &'b dyn Fn(Sent),
}

/// How far an upload is.
#[derive(Debug, Clone, Copy)]
pub enum Sent {
    /// So many bytes more.
    More(u64),
    /// From here on.
    From(u64),
}

/// Where the registry takes what comes.
struct Session {
    location: Url,
    /// Bytes that a piece must have that isn't the last.
    least: u64,
}

impl Repository<'_> {
    /// Sees to it that a blob is in the repository.
    pub fn upload(&self, blob: &Blob<'_>) -> Result<Uploaded> {
        let scopes = Scopes::push(&self.path);
        if self.has_blob(blob.descriptor, true)? {
            return Ok(Uploaded::Existed);
        }
        let mut session = None;
        for from in blob.elsewhere.iter().take(SOURCES) {
            let offered = match self.mount(blob.descriptor, from) {
                Ok(Some(offered)) => offered,
                Ok(None) => return Ok(Uploaded::Mounted(from.clone())),
                // Whoever may not read it there can still send it.
                Err(error) if Failure::of(&error).is_some() => continue,
                Err(error) => return Err(error),
            };
            if let Some(unused) = session.replace(offered) {
                self.cancel(unused.location);
            }
        }
        let upload = Upload { repository: self, scopes: &scopes, blob };
        let (mut failed, mut in_pieces) = (0, true);
        loop {
            let begun = session.take().map_or_else(|| self.begin(&scopes), Ok)?;
            let Err(stopped) = upload.send(begun, in_pieces) else { return Ok(Uploaded::Sent) };
            self.cancel(stopped.location);
            failed += 1;
            in_pieces &= !stopped.refuses_pieces;
            let again = stopped.refuses_pieces || is_lost(&stopped.error);
            let patience = &self.client.transport.patience;
            if !retry::pause(failed, None).is_some_and(|pause| again && patience.wait(pause)) {
                return Err(stopped.error);
            }
            // What was lost may be the answer alone.
            if self.has_blob(blob.descriptor, true)? {
                return Ok(Uploaded::Sent);
            }
        }
    }

    /// Lets the registry take a blob from another repository; if it doesn't, says where it is to be sent.
    fn mount(&self, descriptor: &Descriptor, from: &str) -> Result<Option<Session>> {
        let url = self.url("blobs/uploads/")?.with("mount", &descriptor.digest.to_string()).with("from", from);
        let scopes = Scopes::push(&self.path).and(&Scopes::pull(from).to_string());
        let response = self.ask(&empty(Method::POST, url), &scopes, &[201, 202])?;
        if response.status == 201 {
            response.finish();
            return Ok(None);
        }
        session(response).map(Some)
    }

    fn begin(&self, scopes: &Scopes) -> Result<Session> {
        session(self.ask(&empty(Method::POST, self.url("blobs/uploads/")?), scopes, &[202])?)
    }

    /// Tells the registry that nothing will come; whether it listens is its own business.
    fn cancel(&self, location: Url) {
        let _ = self.ask(&Request::new(Method::DELETE, location), &Scopes::push(&self.path), &[204]);
    }
}

/// A session that the registry has lost, or a connection, is no reason to give up; a refusal is.
fn is_lost(error: &anyhow::Error) -> bool {
    let session = Failure::of(error).is_some_and(|failure| {
        // A digest that isn't right can be one of a piece that was taken in twice.
        matches!(failure.status, 404 | 416) && !failure.has("NAME_UNKNOWN") || failure.has("DIGEST_INVALID")
    });
    session || is_passing(error)
}

/// Sends a blob.
struct Upload<'u> {
    repository: &'u Repository<'u>,
    scopes: &'u Scopes,
    blob: &'u Blob<'u>,
}

/// A session that came to nothing.
struct Stopped {
    location: Url,
    error: anyhow::Error,
    /// Whether the registry takes a blob in one piece alone.
    refuses_pieces: bool,
}

impl Upload<'_> {
    fn send(&self, session: Session, in_pieces: bool) -> Result<(), Stopped> {
        let size = self.blob.descriptor.size;
        let piece = PIECE.max(session.least);
        let (mut location, mut at, mut failed) = (session.location, 0, 0);
        while in_pieces && size > piece && at < size {
            let length = piece.min(size - at);
            match self.patch(&location, at, length) {
                Ok(next) => (location, at, failed) = (next, at + length, 0),
                Err(error) => {
                    failed += 1;
                    // Of the first piece, a registry may say so if it wants no pieces at all.
                    let refusal = Failure::of(&error).map(|failure| failure.status);
                    let refuses_pieces = at == 0 && matches!(refusal, Some(400 | 405 | 411 | 413 | 415 | 501));
                    let reached = if refuses_pieces { None } else { self.position(&location) };
                    let Some((next, reached)) = reached.filter(|_| failed < retry::ATTEMPTS) else {
                        return Err(Stopped { location, error, refuses_pieces });
                    };
                    (location, at) = (next, reached.min(size));
                }
            }
        }
        self.put(&location, at, size - at).map_err(|error| Stopped { location, error, refuses_pieces: false })
    }

    /// Sends what is left, and says what all of it is.
    fn put(&self, location: &Url, at: u64, length: u64) -> Result<()> {
        let url = location.clone().with("digest", &self.blob.descriptor.digest.to_string());
        let open = || self.part(at, length);
        let headers = vec![(header::CONTENT_TYPE, "application/octet-stream".to_owned())];
        let request = Request { method: Method::PUT, url, headers, payload: Payload::Stream(length, &open) };
        self.repository.ask(&request, self.scopes, &[201, 204]).map(Response::finish)
    }

    /// Sends one piece; says where the next goes.
    fn patch(&self, location: &Url, at: u64, length: u64) -> Result<Url> {
        let open = || self.part(at, length);
        let headers = vec![
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            // Without the unit, as this specification wants it.
            (header::CONTENT_RANGE, format!("{at}-{}", at + length - 1)),
        ];
        let url = location.clone();
        let request = Request { method: Method::PATCH, url, headers, payload: Payload::Stream(length, &open) };
        self::location(self.repository.ask(&request, self.scopes, &[202])?)
    }

    /// How far the registry is, and where it wants the next piece; none if it doesn't know the session any more.
    fn position(&self, location: &Url) -> Option<(Url, u64)> {
        let request = Request::new(Method::GET, location.clone());
        let response = self.repository.ask(&request, self.scopes, &[204]).ok()?;
        let reached = reached(response.header("range")?)?;
        Some((self::location(response).unwrap_or_else(|_| location.clone()), reached))
    }

    /// A part of the blob.
    fn part(&self, at: u64, length: u64) -> Result<Box<dyn Read + '_>> {
        let mut file = (self.blob.open)()?;
        file.seek(SeekFrom::Start(at)).attempt(|| format!("seek in the blob {}", self.blob.descriptor.digest))?;
        (self.blob.sent)(Sent::From(at));
        Ok(Box::new(Told { stream: file.take(length), sent: self.blob.sent }))
    }
}

fn session(response: Response) -> Result<Session> {
    let least = response.header("oci-chunk-min-length").and_then(|least| least.parse().ok()).unwrap_or(0);
    Ok(Session { least, location: location(response)? })
}

/// A request that has nothing to say but itself: a length of 0 is what some servers insist on.
fn empty(method: Method, url: Url) -> Request<'static> {
    Request { payload: Payload::Bytes(b""), ..Request::new(method, url) }
}

fn location(response: Response) -> Result<Url> {
    let url = match response.header("location") {
        Some(location) => response.url.join(location).context("the upload's location")?,
        None => bail!("{} doesn't say where the upload goes", response.url.authority()),
    };
    let downgraded = response.url.scheme == super::url::Scheme::Https && url.scheme == super::url::Scheme::Http;
    ensure!(!downgraded || url.is_loopback(), "{} wants the upload in the clear", response.url.authority());
    response.finish();
    Ok(url)
}

/// Bytes that are there, by `Range: 0-N`; with `0-0` nothing need be.
fn reached(range: &str) -> Option<u64> {
    let (_, last) = range.trim().trim_start_matches("bytes=").split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}

/// A stream to a registry whose bytes are counted.
struct Told<'t, R> {
    stream: R,
    sent: &'t dyn Fn(Sent),
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        (self.sent)(Sent::More(count as u64));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reached_byte_is_the_last_and_not_the_next() {
        for (range, wanted) in
            [("0-99", Some(100)), ("bytes=0-99", Some(100)), ("0-0", Some(0)), ("", None), ("0-", None), ("x", None)]
        {
            assert_eq!(reached(range), wanted, "{range}");
        }
    }
}
