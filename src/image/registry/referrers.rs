//! What refers to a manifest, signatures and the like: `/v2/NAME/referrers/DIGEST`, and the tag in its place where a registry has no
//! such list (distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema").

use anyhow::{Context, Result};
use serde_json::Value;
use ureq::http::Method;

use super::failure::Failure;
use super::link;
use super::repository::Repository;
use super::transport::until_whole;
use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, Document, Index, LARGEST_DOCUMENT};
use crate::image::media_type;

/// Pages that are read.
const PAGES: usize = 1000;

impl Repository<'_> {
    /// The manifests whose subject this one is.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let mut url = self.url(&format!("referrers/{subject}"))?;
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let page = until_whole(&self.client.transport.patience, || {
                let response = self.read(Method::GET, url.clone(), &[200, 404])?;
                if response.status == 404 {
                    response.finish();
                    return Ok(None);
                }
                let next = link::next(response.headers("link")).map(|target| response.url.join(target)).transpose()?;
                Ok(Some((next, response.bytes(LARGEST_DOCUMENT)?)))
            })?;
            let Some((next, bytes)) = page else { return Ok(self.fallback(subject)?.manifests) };
            let index: Index = serde_json::from_slice(&bytes).with_context(|| format!("{}: no index", url.shown()))?;
            found.extend(index.manifests);
            match next.filter(|next| next.is_same_server(&url)) {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(found)
    }

    /// The index that clients keep for a registry without the list; an empty one if there is none.
    fn fallback(&self, subject: &Digest) -> Result<Index> {
        let (descriptor, bytes) = match self.manifest(&tag_of(subject)) {
            Err(error) if Failure::of(&error).is_some_and(|failure| failure.status == 404) => {
                return Ok(Index::default());
            }
            found => found?,
        };
        match Document::parse(&bytes, &descriptor.media_type)? {
            Document::Index(index) => Ok(index),
            Document::Manifest(_) => Ok(Index::default()),
        }
    }

    /// Enters a manifest that was pushed, and that a registry without the list doesn't know to refer to its subject.
    pub(super) fn refer(&self, subject: &Digest, media_type: &str, bytes: &[u8]) -> Result<()> {
        let mut index = self.fallback(subject)?;
        let own = entry(media_type, bytes)?;
        if index.manifests.iter().any(|known| known.digest == own.digest) {
            return Ok(());
        }
        index.manifests.push(own);
        let index = Index { media_type: media_type::OCI_INDEX.to_owned(), ..index };
        self.put_manifest(&tag_of(subject), media_type::OCI_INDEX, &serde_json::to_vec(&index)?).map(drop)
    }
}

/// The descriptor that a list of referrers has for a manifest: with its kind and its annotations.
fn entry(media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
    let manifest: Value = serde_json::from_slice(bytes).context("the manifest can't be read")?;
    let mut entry = Descriptor::of(media_type, bytes);
    let kind = manifest["artifactType"].as_str().filter(|kind| !kind.is_empty());
    if let Some(kind) = kind.or_else(|| manifest["config"]["mediaType"].as_str()) {
        entry.rest.insert("artifactType".into(), kind.into());
    }
    if let Some(annotations) = manifest["annotations"].as_object() {
        let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        entry.annotations = annotations.iter().filter_map(text).collect();
    }
    Ok(entry)
}

/// `sha256-HEX`, cut to what a tag may be.
fn tag_of(subject: &Digest) -> String {
    let tag = format!("{}-{}", subject.algorithm().name(), subject.hex());
    tag.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_says_what_the_manifest_is() {
        let config = json!({"mediaType": media_type::OCI_CONFIG});
        let manifest = json!({"schemaVersion": 2, "config": config, "annotations": {"a": "b"}});
        let of = |manifest: &Value| entry(media_type::OCI_MANIFEST, manifest.to_string().as_bytes()).unwrap();
        assert_eq!(of(&manifest).rest["artifactType"], media_type::OCI_CONFIG);
        assert_eq!(of(&manifest).annotations["a"], "b");
        let signature = json!({"schemaVersion": 2, "artifactType": "application/x-signature", "config": config});
        assert_eq!(of(&signature).rest["artifactType"], "application/x-signature");
    }

    #[test]
    fn the_tag_is_the_digest() {
        let digest = Digest::of(b"");
        assert_eq!(tag_of(&digest), format!("sha256-{}", digest.hex()));
        let long: Digest = format!("sha512:{}", "a".repeat(128)).parse().unwrap();
        assert_eq!(tag_of(&long).len(), 128);
    }
}
