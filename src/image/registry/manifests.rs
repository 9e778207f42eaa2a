//! Manifests and indexes: `/v2/NAME/manifests/REFERENCE`.

use anyhow::{Context, Result, ensure};
use ureq::http::{Method, header};

use super::repository::Repository;
use super::scope::Scopes;
use super::transport::{Payload, Request, Response, until_whole};
use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::manifest::{Descriptor, Document, LARGEST_DOCUMENT};
use crate::image::media_type;

/// All that is understood; a registry that isn't told makes something of schema 1.
const ACCEPT: [&str; 4] =
    [media_type::OCI_INDEX, media_type::OCI_MANIFEST, media_type::DOCKER_LIST, media_type::DOCKER_MANIFEST];

impl Repository<'_> {
    /// Fetches what a tag or digest names. Its descriptor is of the bytes that came.
    pub fn manifest(&self, reference: &str) -> Result<(Descriptor, Vec<u8>)> {
        let url = self.url(&format!("manifests/{reference}"))?;
        let headers = vec![(header::ACCEPT, ACCEPT.join(", "))];
        let request = Request { headers, ..Request::new(Method::GET, url) };
        let (declared, hint, bytes) = until_whole(&self.client.transport.patience, || {
            let response = self.ask(&request, &Scopes::pull(&self.path), &[200])?;
            let declared = declared(&response);
            let hint = response.header("docker-content-digest").and_then(|digest| digest.parse::<Digest>().ok());
            Ok((declared, hint, response.bytes(LARGEST_DOCUMENT)?))
        })?;
        // A tag's digest is what the registry says only if the bytes are, too.
        let wanted = reference.parse().ok().or(hint);
        let mut hasher = Hasher::new(wanted.as_ref().map_or(Algorithm::Sha256, Digest::algorithm));
        hasher.update(&bytes);
        let digest = hasher.finish();
        if let Some(wanted) = wanted {
            ensure!(digest == wanted, "{}: the manifest is {digest}, where {wanted} is declared", self.host());
        }
        let kind = if declared.is_empty() { "text" } else { &declared };
        ensure!(
            bytes.trim_ascii_start().starts_with(b"{"),
            "{} is no registry: asked for a manifest, it answers with {kind:?}",
            self.host()
        );
        Document::parse(&bytes, &declared).with_context(|| format!("{}: manifest {reference}", self.host()))?;
        Ok((Descriptor::new(&declared_or_own(declared, &bytes), digest, bytes.len() as u64), bytes))
    }

    /// Puts a manifest under a tag or its digest. Says whether the registry keeps the list of who refers to its subject.
    pub fn put_manifest(&self, reference: &str, media_type: &str, bytes: &[u8]) -> Result<bool> {
        let url = self.url(&format!("manifests/{reference}"))?;
        let headers = vec![(header::CONTENT_TYPE, media_type.to_owned())];
        let request = Request { method: Method::PUT, url, headers, payload: Payload::Bytes(bytes) };
        let response = self.ask(&request, &Scopes::push(&self.path), &[200, 201, 202])?;
        let keeps = response.header("oci-subject").is_some();
        let taken = response.header("docker-content-digest").and_then(|digest| digest.parse::<Digest>().ok());
        if let Some(taken) = taken.filter(|taken| taken.algorithm() == Algorithm::Sha256) {
            let own = Digest::of(bytes);
            ensure!(taken == own, "{} took the manifest for {taken}, and it is {own}", self.host());
        }
        response.finish();
        Ok(keeps)
    }
}

/// The media type of an answer, without what may stand behind it; none where a server doesn't know better.
fn declared(response: &Response) -> String {
    let declared = response.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let says_nothing = matches!(declared, "application/json" | "application/octet-stream" | "text/plain");
    if says_nothing { String::new() } else { declared.to_owned() }
}

/// Documents of OCI need not say what they are, and those of docker must.
fn declared_or_own(declared: String, bytes: &[u8]) -> String {
    if !declared.is_empty() {
        return declared;
    }
    let own = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let own = own.and_then(|document| {
        let own = document["mediaType"].as_str().map(str::to_owned);
        let index = document.get("manifests").map(|_| media_type::OCI_INDEX.to_owned());
        own.or(index)
    });
    own.unwrap_or_else(|| media_type::OCI_MANIFEST.to_owned())
}
