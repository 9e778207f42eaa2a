//! A list of manifests that was put together here: its parts from a registry, and the whole to it.

use std::fs::File;

use anyhow::{Context, Result, bail, ensure};

use super::client::Client;
use super::repository::Repository;
use super::upload::Blob;
use crate::error::Attempt;
use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, Document};
use crate::image::reference::Reference;
use crate::image::store::lease::Lease;
use crate::image::store::lists::{List, Member};
use crate::image::store::{Store, document};

/// What a list says of an image in a registry: its manifest, and whom its configuration says that it is for.
pub fn member(client: &Client, source: &Reference) -> Result<Member> {
    let repository = client.repository(source)?;
    let (descriptor, bytes) = repository.manifest(&source.in_registry())?;
    let Document::Manifest(manifest) = Document::parse(&bytes, &descriptor.media_type)? else {
        bail!("{} is a manifest list", source.familiar());
    };
    let config = Config::parse(&document(repository.blob(&manifest.config)?, &manifest.config)?)?;
    let descriptor = Descriptor { platform: Some(config.platform()), ..descriptor };
    Ok(Member { source: source.to_string(), descriptor })
}

/// Pushes a list: what other repositories of its registry have of it first.
pub fn push(client: &Client, store: &Store, name: &Reference, list: &List) -> Result<Digest> {
    ensure!(!list.members.is_empty(), "no manifests in {}", name.familiar());
    let target = client.repository(name)?;
    let lease = Lease::new(store)?;
    for Member { source, descriptor } in &list.members {
        let source: Reference = source.parse()?;
        ensure!(
            source.domain() == name.domain(),
            "cannot use source images from a different registry than the target image: {} != {}",
            source.domain(),
            name.domain()
        );
        if source.path() != name.path() {
            let from = client.repository(&source)?;
            bring(&from, source.path(), &target, descriptor, &lease).with_context(|| source.familiar())?;
        }
    }
    let (media_type, index) = list.index()?;
    target.put_manifest(&name.in_registry(), media_type, &index)?;
    Ok(Digest::of(&index))
}

/// An image from one repository into another one. A registry that doesn't mount its blobs has them sent.
fn bring(
    from: &Repository<'_>,
    path: &str,
    target: &Repository<'_>,
    wanted: &Descriptor,
    lease: &Lease<'_>,
) -> Result<()> {
    let (descriptor, bytes) = from.manifest(&wanted.digest.to_string())?;
    let Document::Manifest(manifest) = Document::parse(&bytes, &descriptor.media_type)? else {
        bail!("{} is no manifest of one image", wanted.digest);
    };
    let elsewhere = [path.to_owned()];
    for blob in manifest.layers.iter().filter(|layer| super::push::is_sent(layer)).chain([&manifest.config]) {
        let open = || {
            let path = lease.fresh("blob");
            let mut file = File::create_new(&path).attempt(|| format!("create {path:?}"))?;
            std::io::copy(&mut from.blob(blob)?, &mut file).with_context(|| format!("the blob {}", blob.digest))?;
            File::open(&path).attempt(|| format!("open {path:?}"))
        };
        target.upload(&Blob { descriptor: blob, open: &open, elsewhere: &elsewhere, sent: &|_| {} })?;
    }
    target.put_manifest(&descriptor.digest.to_string(), &descriptor.media_type, &bytes).map(drop)
}
