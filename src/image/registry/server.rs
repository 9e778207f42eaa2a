//! One registry: how it is reached, and requests to it by whoever the user is there.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use ureq::http::Method;

use super::authentication::Authenticator;
use super::challenge;
use super::credentials::Login;
use super::failure::{Failure, advised};
use super::places::{Place, may_be_plain};
use super::scope::Scopes;
use super::transport::{Request, Response, Transport};
use super::url::{Scheme, Url, split_port};

/// Times that a request is sent again because of who is asking: for a first token, and for one in place of it.
const REFUSALS: usize = 2;

/// A registry.
#[derive(Debug)]
pub struct Server {
    /// `HOST[:PORT]`.
    pub host: String,
    /// Whether plain HTTP and any certificate are taken.
    insecure: bool,
    may_be_plain: bool,
    base: Mutex<Option<Url>>,
    authenticator: Authenticator,
}

impl Server {
    /// The registry of a place.
    pub fn new(place: &Place, login: Option<Login>) -> Server {
        let (base, authenticator) = (Mutex::default(), Authenticator::new(login));
        let may_be_plain = may_be_plain(place);
        Server { host: place.host.clone(), insecure: place.insecure, may_be_plain, base, authenticator }
    }

    /// An address in it; the path is below `/v2/`.
    pub fn url(&self, transport: &Transport, path: &str) -> Result<Url> {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        let base = match &*base {
            Some(base) => base.clone(),
            None => base.insert(self.found(transport)?).clone(),
        };
        base.join(&format!("/v2/{path}"))
    }

    /// Finds out whether it speaks TLS, where it need not.
    fn found(&self, transport: &Transport) -> Result<Url> {
        let secret = Url::new(Scheme::Https, &self.host, "/v2/")?;
        if !self.may_be_plain {
            return Ok(secret);
        }
        // Without a port, the two are at ports of their own; TLS is the better.
        let (_, port) = split_port(&self.host)?;
        if port.is_none() && transport.call(&Request::new(Method::GET, secret.clone()), None, self.insecure).is_ok() {
            return Ok(secret);
        }
        // A question without anything in it that is secret. What speaks TLS there answers nothing or 400.
        let plain = Url::new(Scheme::Http, &self.host, "/v2/")?;
        match transport.once(&Request::new(Method::GET, plain.clone())) {
            Ok(response) if response.status != 400 => {
                response.finish();
                Ok(plain)
            }
            Err(error)
                if crate::error::errno(&error).is_some_and(|errno| errno == crate::error::Errno::CONNREFUSED) =>
            {
                Err(error).with_context(|| format!("nobody answers at {}", self.host))
            }
            _ => Ok(secret),
        }
    }

    /// Sends a request with what the registry wants to know for it, and again if that is something else than what was sent.
    pub fn send(&self, transport: &Transport, request: &Request<'_>, scopes: &Scopes) -> Result<Response> {
        let own = self.url(transport, "")?;
        // A registry may have its uploads elsewhere; who is asking is no business of others.
        let is_own = request.url.is_same_server(&own);
        let trusting = self.insecure && is_own;
        let mut used = None;
        if is_own {
            used = self.authenticator.authorization(transport, &own, scopes, trusting)?;
        }
        for _ in 0..REFUSALS {
            let response = transport.call(request, used.as_deref(), trusting)?;
            if response.status != 401 || !is_own || !response.url.is_same_server(&own) {
                return Ok(response);
            }
            let challenges = challenge::parse(response.headers("www-authenticate"));
            // The connection can be used again.
            let failure = response.failure();
            used = match self.authenticator.answer(transport, &own, &challenges, scopes, used.as_deref(), trusting)? {
                Some(next) => Some(next),
                None => bail!(self.refused(failure)),
            };
        }
        transport.call(request, used.as_deref(), trusting)
    }

    /// A request that must be answered in one of some ways.
    pub fn ask(
        &self,
        transport: &Transport,
        request: &Request<'_>,
        scopes: &Scopes,
        wanted: &[u16],
    ) -> Result<Response> {
        let response = self.send(transport, request, scopes)?;
        if wanted.contains(&response.status) {
            return Ok(response);
        }
        let (url, failure) = (response.url.clone(), response.failure());
        Err(self.refused(failure)).with_context(|| format!("{} {}", request.method, url.shown()))
    }

    /// Whether it is a registry, and lets in who is asking.
    pub fn check(&self, transport: &Transport) -> Result<()> {
        let request = Request::new(Method::GET, self.url(transport, "")?);
        self.ask(transport, &request, &Scopes::default(), &[200]).map(Response::finish)
    }

    fn refused(&self, failure: Failure) -> anyhow::Error {
        advised(failure, &self.host, self.authenticator.has_login())
    }
}
