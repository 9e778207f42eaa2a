//! The tags of a repository: `/v2/NAME/tags/list`, page after page.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use ureq::http::Method;

use super::link;
use super::repository::Repository;
use super::transport::until_whole;
use crate::image::reference::is_tag;

/// Bytes that a page may have.
const LARGEST_PAGE: u64 = 16 << 20;
/// Pages that are read; no registry has a million tags.
const PAGES: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    #[serde(default, deserialize_with = "crate::spec::nullable")]
    tags: Vec<String>,
}

impl Repository<'_> {
    /// All tags, in the registry's order.
    pub fn tags(&self) -> Result<Vec<String>> {
        let mut url = self.url("tags/list")?;
        let (mut tags, mut seen) = (Vec::new(), BTreeSet::new());
        for _ in 0..PAGES {
            let (next, bytes) = until_whole(&self.client.transport.patience, || {
                let response = self.read(Method::GET, url.clone(), &[200])?;
                // A short page is not the last; that is what the link says.
                let next = link::next(response.headers("link")).map(|target| response.url.join(target)).transpose()?;
                Ok((next, response.bytes(LARGEST_PAGE)?))
            })?;
            let page: Page =
                serde_json::from_slice(&bytes).with_context(|| format!("{}: no list of tags", url.shown()))?;
            let before = seen.len();
            for tag in page.tags {
                ensure!(is_tag(&tag), "{}: {tag:?} is no tag", self.host());
                if seen.insert(tag.clone()) {
                    tags.push(tag);
                }
            }
            match next {
                None => return Ok(tags),
                // The list is read by whoever may read the repository, and nobody else is told who that is.
                Some(next) if next.is_same_server(&url) && seen.len() > before => url = next,
                Some(next) if next.is_same_server(&url) => bail!("{}: a page of tags leads to no new one", self.host()),
                Some(next) => bail!("{}: the next page of tags is elsewhere, at {}", self.host(), next.shown()),
            }
        }
        bail!("{}: more than {PAGES} pages of tags", self.host())
    }
}
