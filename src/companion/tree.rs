//! `images --tree`: images with the platforms that they are for.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::{Map, Value};

use super::table::{Column, render};
use super::{Context, size_of, units};
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::table::Image;

const COLUMNS: &[Column] =
    &[("Image", "IMAGE"), ("ID", "ID"), ("Usage", "DISK USAGE"), ("Content", "CONTENT SIZE"), ("Extra", "EXTRA")];

/// A row for each name, and below an image of several platforms one for each that is here. U marks what a container is made of.
pub(super) fn tree(context: &Context, store: &Store, images: &[Image]) -> Result<String> {
    let used = used(context)?;
    let mut rows = Vec::new();
    for image in images {
        let parts = match image.entry.digest == image.descriptor.digest {
            true => Vec::new(),
            false => parts(store, image),
        };
        let all = if parts.is_empty() { std::slice::from_ref(image) } else { &parts[..] };
        let (mut names, none) =
            (image.names.iter().map(Reference::familiar).collect::<Vec<_>>(), "<untagged>".to_owned());
        if names.is_empty() {
            names.push(none);
        }
        rows.extend(names.into_iter().map(|name| row(store, name, &image.entry.digest, all, &used)));
        for (number, part) in parts.iter().enumerate() {
            let branch = if number + 1 == parts.len() { "└─" } else { "├─" };
            let name = format!("{branch} {}", part.config.platform());
            rows.push(row(store, name, &part.descriptor.digest, std::slice::from_ref(part), &used));
        }
    }
    render(&rows, None, &["Image", "ID", "Usage", "Content", "Extra"], COLUMNS)
}

/// Images that containers are made of.
fn used(context: &Context) -> Result<BTreeSet<Digest>> {
    if !context.has_containers() {
        return Ok(BTreeSet::new());
    }
    Ok(context.engine()?.all()?.into_iter().filter_map(|container| container.record.image).collect())
}

/// What is here of an index; what isn't an image is not shown.
fn parts(store: &Store, image: &Image) -> Vec<Image> {
    let manifests = store.manifests(&image.entry).unwrap_or_default().into_iter();
    let parts = manifests.filter(|(_, manifest)| manifest.is_image());
    let mut parts: Vec<Image> = parts.filter_map(|(descriptor, _)| store.image(&descriptor, None).ok()).collect();
    parts.sort_by_key(|part| part.config.platform().to_string());
    parts
}

fn row(store: &Store, name: String, digest: &Digest, of: &[Image], used: &BTreeSet<Digest>) -> Map<String, Value> {
    let blobs = |image: &Image| {
        let layers = image.manifest.layers.iter().filter(|layer| store.has_blob(&layer.digest));
        let layers: u64 = layers.map(|layer| layer.size).sum();
        image.descriptor.size + image.manifest.config.size + layers
    };
    let content: u64 = of.iter().map(blobs).sum();
    let unpacked: u64 = of.iter().map(|image| size_of(store, image)).sum();
    let is_used = of.iter().any(|image| used.contains(&image.id));
    [
        ("Image", name),
        ("ID", digest.short().to_owned()),
        ("Usage", units::size(content + unpacked)),
        ("Content", units::size(content)),
        ("Extra", if is_used { "U" } else { "" }.to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), Value::from(value)))
    .into_iter()
    .collect()
}
