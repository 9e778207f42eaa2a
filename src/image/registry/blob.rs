//! Blobs from a registry, as one stream each, however often the connection breaks.

use std::io::{self, Read};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ureq::http::{Method, header};

use super::failure::Failure;
use super::repository::Repository;
use super::retry;
use super::scope::Scopes;
use super::transport::{Request, Response, is_passing, worded};
use crate::error::{Errno, errno};
use crate::image::manifest::Descriptor;

/// Bytes after which the attempts are counted anew: an attempt that brought as much was none in vain.
const PROGRESS: u64 = 1 << 20;
/// Bytes that are read in one go where they are to be left out.
const CHUNK: usize = 64 << 10;

impl<'c> Repository<'c> {
    /// Whether a blob is there; asked by one who is going to write, or to read alone.
    pub fn has_blob(&self, descriptor: &Descriptor, writing: bool) -> Result<bool> {
        let scopes = if writing { Scopes::push(&self.path) } else { Scopes::pull(&self.path) };
        let request = Request::new(Method::HEAD, self.url(&format!("blobs/{}", descriptor.digest))?);
        let response = self.ask(&request, &scopes, &[200, 404])?;
        let size = response.length().filter(|_| response.status == 200);
        ensure!(
            size.is_none_or(|size| size == descriptor.size),
            "{} has {} bytes of the blob {}, which has {}",
            self.host(),
            size.unwrap_or_default(),
            descriptor.digest,
            descriptor.size
        );
        Ok(response.status == 200)
    }

    /// Starts to read a blob.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Download<'c>> {
        let repository = self.clone();
        let mut download =
            Download { repository, descriptor: descriptor.clone(), body: None, skip: 0, at: 0, failed: 0, mark: 0 };
        download.connect()?;
        Ok(download)
    }
}

/// A blob on its way: a stream that goes on where a lost connection left it.
pub struct Download<'c> {
    repository: Repository<'c>,
    descriptor: Descriptor,
    body: Option<Box<dyn Read + Send>>,
    /// Bytes of the body that were handed on before: a registry may answer with the whole.
    skip: u64,
    /// Bytes that were handed on.
    at: u64,
    /// Attempts that failed one after the other.
    failed: u32,
    /// Where they began.
    mark: u64,
}

impl Download<'_> {
    /// Asks for what is missing.
    fn connect(&mut self) -> Result<()> {
        let (repository, size) = (&self.repository, self.descriptor.size);
        let mut request = Request::new(Method::GET, repository.url(&format!("blobs/{}", self.descriptor.digest))?);
        if self.at > 0 {
            request.headers.push((header::RANGE, format!("bytes={}-", self.at)));
        }
        let response = repository.ask(&request, &Scopes::pull(&repository.path), &[200, 206])?;
        let host = response.url.authority();
        let start = if response.status == 206 { start(&response, size).with_context(|| host.clone())? } else { 0 };
        ensure!(start <= self.at, "{host} goes on at byte {start}, where {} was asked for", self.at);
        // What is said to be too long or too short need not come first.
        if let Some(length) = response.length() {
            let all = start + length;
            ensure!(all == size, "{host} has {all} bytes of it, where {size} are declared");
        }
        self.skip = self.at - start;
        self.body = Some(Box::new(response.stream()));
        Ok(())
    }

    /// Reads what comes; none if the connection is lost and another attempt may do.
    fn next(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        let size = self.descriptor.size;
        if self.body.is_none()
            && let Err(error) = self.connect()
        {
            // An answer stays what it is; whoever can't be reached may be on his way back.
            let gone = is_passing(&error) || errno(&error) == Some(Errno::CONNREFUSED);
            return if gone && Failure::of(&error).is_none() { self.lost(error) } else { Err(error) };
        }
        let body = self.body.as_mut().context("it is open")?;
        let lost = match left_out(body, &mut self.skip).and_then(|()| body.read(buffer)) {
            Ok(0) if self.at == size => return Ok(Some(0)),
            Ok(0) => anyhow!("the connection was closed after {} of {size} bytes", self.at),
            Ok(count) => {
                self.at += count as u64;
                ensure!(
                    self.at <= size,
                    "{} sends more than the {size} bytes that are declared",
                    self.repository.host()
                );
                return Ok(Some(count));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
            // All that counts was there.
            Err(_) if self.at == size => return Ok(Some(0)),
            Err(error) => worded(error, self.repository.host()),
        };
        self.lost(lost)
    }

    /// Waits before the next attempt, if there is one.
    fn lost(&mut self, lost: anyhow::Error) -> Result<Option<usize>> {
        self.body = None;
        if self.at - self.mark >= PROGRESS {
            self.failed = 0;
        }
        self.mark = self.at;
        self.failed += 1;
        let Some(pause) = retry::pause(self.failed, None) else {
            let attempts = self.failed;
            bail!(lost.context(format!("{}: given up after {attempts} attempts", self.repository.host())));
        };
        let pause = if self.failed > 1 { pause } else { Duration::ZERO };
        if !self.repository.client.transport.patience.wait(pause) {
            bail!(lost.context(format!("{}: given up, for another part has failed", self.repository.host())));
        }
        Ok(None)
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.next(buffer) {
                Ok(Some(count)) => return Ok(count),
                Ok(None) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

/// Where the part begins that came (`Content-Range: bytes 5-9/10`).
fn start(response: &Response, size: u64) -> Result<u64> {
    let field = response.header("content-range").context("a part without Content-Range")?;
    let (start, all) = range(field).with_context(|| format!("the Content-Range {field:?} can't be read"))?;
    ensure!(
        all.is_none_or(|all| all == size),
        "the blob has {} bytes, where {size} are declared",
        all.unwrap_or_default()
    );
    Ok(start)
}

/// The beginning of a range and the whole's length.
fn range(field: &str) -> Option<(u64, Option<u64>)> {
    let (part, all) = field.trim().strip_prefix("bytes")?.trim_start_matches([' ', '=']).split_once('/')?;
    let start = part.split_once('-')?.0.trim().parse().ok()?;
    let all = all.trim();
    Some((start, if all == "*" { None } else { Some(all.parse().ok()?) }))
}

/// Reads what was read before.
fn left_out(body: &mut impl Read, count: &mut u64) -> io::Result<()> {
    if *count == 0 {
        return Ok(());
    }
    let mut buffer = vec![0; CHUNK];
    while *count > 0 {
        let most = buffer.len().min(usize::try_from(*count).unwrap_or(usize::MAX));
        match body.read(&mut buffer[..most])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => *count -= read as u64,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (field, wanted) in [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 0-0/*", Some((0, None))),
            ("bytes=7-8/9", Some((7, Some(9)))),
            ("bytes */10", None),
            ("5-9/10", None),
            ("bytes 5-9", None),
            ("bytes 5-9/x", None),
            ("bytes -9/10", None),
        ] {
            assert_eq!(range(field), wanted, "{field}");
        }
    }

    #[test]
    fn what_was_read_is_left_out() {
        let mut body = &b"0123456789"[..];
        left_out(&mut body, &mut 4).unwrap();
        assert_eq!(body, b"456789");
        let mut more = 7;
        assert_eq!(left_out(&mut body, &mut more).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(more, 1);
    }
}
