//! One repository in one registry.

use std::sync::Arc;

use anyhow::Result;
use ureq::http::Method;

use super::client::Client;
use super::scope::Scopes;
use super::server::Server;
use super::transport::{Request, Response};
use super::url::Url;

/// A repository.
#[derive(Debug, Clone)]
pub struct Repository<'c> {
    pub(super) client: &'c Client,
    pub(super) server: Arc<Server>,
    pub(super) path: String,
    pub(super) mirror: bool,
}

impl Repository<'_> {
    /// `HOST[:PORT]`.
    pub fn host(&self) -> &str {
        &self.server.host
    }

    /// Whether this is a mirror, and not where the name says.
    pub fn is_mirror(&self) -> bool {
        self.mirror
    }

    /// An address in this repository.
    pub(super) fn url(&self, path: &str) -> Result<Url> {
        self.server.url(&self.client.transport, &format!("{}/{path}", self.path))
    }

    /// A request that must be answered in one of some ways.
    pub(super) fn ask(&self, request: &Request<'_>, scopes: &Scopes, wanted: &[u16]) -> Result<Response> {
        self.server.ask(&self.client.transport, request, scopes, wanted)
    }

    /// A request of one who reads.
    pub(super) fn read(&self, method: Method, url: Url, wanted: &[u16]) -> Result<Response> {
        self.ask(&Request::new(method, url), &Scopes::pull(&self.path), wanted)
    }
}
