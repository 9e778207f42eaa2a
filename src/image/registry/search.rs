//! What a registry finds by a word: `/v1/search`, the one part of the first protocol that is still in use.

use anyhow::{Context, Result};
use serde::Deserialize;
use ureq::http::Method;

use super::client::Client;
use super::scope::Scopes;
use super::transport::{Request, until_whole};

/// Bytes that an answer may have.
const LARGEST_ANSWER: u64 = 4 << 20;

/// A repository that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Its name there.
    pub name: String,
    /// What it says of itself.
    #[serde(deserialize_with = "crate::spec::nullable")]
    pub description: String,
    /// How many people like it.
    pub star_count: u64,
    /// Whether it is the registry's own.
    pub is_official: bool,
    /// Whether it was built there.
    pub is_automated: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    results: Vec<Found>,
}

/// Asks a registry, by its host.
pub fn search(client: &Client, host: &str, term: &str, limit: usize) -> Result<Vec<Found>> {
    let server = client.registry(host, client.keyring.find(host)?);
    let url = server.url(&client.transport, "")?.join("/v1/search")?;
    let request = Request::new(Method::GET, url.with("q", term).with("n", &limit.to_string()));
    let bytes = until_whole(&client.transport.patience, || {
        server.ask(&client.transport, &request, &Scopes::default(), &[200])?.bytes(LARGEST_ANSWER)
    })?;
    let answer: Answer = serde_json::from_slice(&bytes)
        .with_context(|| format!("{}: no list of what was found", request.url.shown()))?;
    Ok(answer.results)
}
