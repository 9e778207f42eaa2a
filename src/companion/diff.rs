//! `diff`: what a container, a bundle, or an image's top layer changed.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Map, Value};

use super::output::print;
use super::unpack::RECORD;
use super::{Context, Operation};
use crate::engine::changes_of;
use crate::error::Attempt;
use crate::image::layer::changes::{self, Change, Kind};
use crate::image::layer::copy::{IdMaps, IdRange};
use crate::image::layer::{Stack, path};
use crate::image::store::Store;
use crate::image::store::lease::{Lease, What};
use crate::image::store::table::Image;

/// Show what was added (A), changed (C) and deleted (D)
///
/// Of a container, or of a bundle that `ctn unpack` made: against its image. Of an image: by its top layer.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// table or json
    #[arg(long)]
    format: Option<String>,

    /// A container's or an image's name or id, or a bundle's directory
    #[arg(value_name = "CONTAINER|BUNDLE|IMAGE")]
    what: String,
}

impl Operation for Diff {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let lease = Lease::new(&store)?;
        let changes = match bundle_image(&store, Path::new(&self.what))? {
            None if let Some(engine) = context.engine_with(&self.what)? => changes_of(&engine.find(&self.what)?)?.0,
            Some(image) => of_bundle(context, &store, &lease, &image, Path::new(&self.what))?.0,
            None => {
                let image = store.resolve(&self.what, None)?;
                let chain = image.config.chain();
                for chain_id in &chain {
                    lease.pin(What::Layer, chain_id)?;
                }
                let below = chain.len().saturating_sub(1);
                changes::between(&store.stack(&chain[..below])?, &store.stack(&chain)?, |_| false)?
            }
        };
        let of = |kind: Kind| -> Vec<Value> {
            let paths = changes.iter().filter(|change| letter(change.kind) == letter(kind) && !change.path.is_empty());
            paths.map(|change| format!("/{}", String::from_utf8_lossy(&change.path)).into()).collect()
        };
        if self.format.as_deref() == Some("json") {
            let kinds = [("added", Kind::Added), ("changed", Kind::Changed), ("deleted", Kind::Deleted)];
            let map: Map<String, Value> = kinds
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), of(*kind).into()))
                .filter(|(_, list)| !is_empty(list))
                .collect();
            print(&(serde_json::to_string_pretty(&map)? + "\n"))?;
            return Ok(0);
        }
        let lines = changes.iter().filter(|change| !change.path.is_empty());
        let line = |change: &Change| format!("{} /{}\n", letter(change.kind), String::from_utf8_lossy(&change.path));
        print(&lines.map(line).collect::<String>())?;
        Ok(0)
    }
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

fn letter(kind: Kind) -> char {
    match kind {
        Kind::Added => 'A',
        Kind::Changed | Kind::Above => 'C',
        Kind::Deleted => 'D',
    }
}

/// The image that a bundle was made from; none if it is no bundle.
pub(super) fn bundle_image(store: &Store, bundle: &Path) -> Result<Option<Image>> {
    let path = bundle.join(RECORD);
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let record: Value = serde_json::from_str(&text).with_context(|| format!("{path:?} can't be read"))?;
    let id = record["image"].as_str().with_context(|| format!("{path:?} names no image"))?;
    store.resolve(id, None).map(Some).with_context(|| format!("the image of {bundle:?}"))
}

/// What is different in a bundle, and its files. Where the runtime mounted something, nothing is the image's.
pub(super) fn of_bundle(
    context: &Context,
    store: &Store,
    lease: &Lease<'_>,
    image: &Image,
    bundle: &Path,
) -> Result<(Vec<Change>, Stack)> {
    let chain = image.config.chain();
    for chain_id in &chain {
        lease.pin(What::Layer, chain_id)?;
    }
    let base = store.stack(&chain)?;
    let path = bundle.join("config.json");
    let text = std::fs::read(&path).attempt(|| format!("read {path:?}"))?;
    let config: Value = serde_json::from_slice(&text).with_context(|| format!("{path:?} can't be read"))?;
    // An ordinary user's ids are mapped by the namespace that this is in, as the bundle's are.
    let ids = match context.user {
        Some(_) => IdMaps::default(),
        None => IdMaps { users: ranges(&config, "uidMappings")?, groups: ranges(&config, "gidMappings")? },
    };
    let mounts = config["mounts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let points: Vec<Vec<u8>> = mounts
        .iter()
        .filter_map(|mount| mount["destination"].as_str())
        .map(|point| path::clean(point.as_bytes()))
        .collect();
    let mut points: Vec<Vec<u8>> = points.into_iter().filter(|point| !point.is_empty()).collect();
    points.sort();
    let rootfs = bundle.join("rootfs");
    let mut files = Stack::mapped(store.form(), ids);
    files.push(File::open(&rootfs).attempt(|| format!("open {rootfs:?}"))?.into());
    let changes = changes::between(&base, &files, |path| points.iter().any(|point| point == path))?;
    Ok((changes, files))
}

/// The ids that a bundle's files have, as its configuration says it.
fn ranges(config: &Value, name: &str) -> Result<Vec<IdRange>> {
    let all = config["linux"][name].as_array().map(Vec::as_slice).unwrap_or_default();
    let range = |range: &Value| {
        let number = |field: &str| range[field].as_u64().and_then(|number| u32::try_from(number).ok());
        Some(IdRange { container: number("containerID")?, host: number("hostID")?, length: number("size")? })
    };
    let ranges: Option<Vec<IdRange>> = all.iter().map(range).collect();
    ranges.with_context(|| format!("linux.{name} of the bundle can't be read"))
}
