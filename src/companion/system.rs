//! `system df` and `system prune`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::output::{confirmed, print};
use super::prune::Prune;
use super::table::{Column, render};
use super::{Context, Operation, size_of, units};
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::collect::usage;

#[derive(Debug, Subcommand)]
pub(super) enum System {
    Df(Df),
    Prune(SystemPrune),
}

/// Show how much of the disk is used
#[derive(Debug, Args)]
pub(super) struct Df {
    /// table, json, or a template: {{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}
    #[arg(long)]
    format: Option<String>,

    /// Show each image, with what it shares with others
    #[arg(short, long, conflicts_with = "format")]
    verbose: bool,
}

/// Remove what nobody needs
#[derive(Debug, Args)]
pub(super) struct SystemPrune {
    /// All images that are not mounted, not only those without a name
    #[arg(short, long)]
    all: bool,

    /// label=KEY[=VALUE], until=TIME
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,

    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

const COLUMNS: &[Column] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

const IMAGE_COLUMNS: &[Column] = &[
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

impl Operation for System {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        match self {
            System::Df(df) if df.verbose => {
                let names: Vec<&str> = IMAGE_COLUMNS.iter().map(|(name, _)| *name).collect();
                print(&format!("Images space usage:\n\n{}", render(&images(&store)?, None, &names, IMAGE_COLUMNS)?))?;
            }
            System::Df(df) => {
                let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
                print(&render(&[row(&store)?], df.format.as_deref(), &names, COLUMNS)?)?;
            }
            System::Prune(prune) => {
                let question =
                    "WARNING! This will remove all images that nothing uses.\nAre you sure you want to continue?";
                if prune.force || confirmed(question)? {
                    print(&Prune::forced(prune.all, prune.filter).prune(&store)?)?;
                }
            }
        }
        Ok(0)
    }
}

/// Each name of each image, with the sizes of its layers that others have, too, and of those that only it has.
fn images(store: &Store) -> Result<Vec<Map<String, Value>>> {
    let images = store.images(|_| {})?;
    let mut users: BTreeMap<Digest, usize> = BTreeMap::new();
    for image in &images {
        for chain_id in image.config.chain() {
            *users.entry(chain_id).or_default() += 1;
        }
    }
    let now = SystemTime::now();
    let mut rows = Vec::new();
    for image in &images {
        let chain = image.config.chain();
        let shared = chain.iter().filter(|chain_id| users.get(*chain_id).is_some_and(|count| *count > 1));
        let shared: u64 = shared.map(|chain_id| store.layer(chain_id).map_or(0, |record| record.size)).sum();
        let size = size_of(store, image);
        let names = image.names.iter().map(Some).chain(image.names.is_empty().then_some(None));
        for name in names {
            let or_none = |text: Option<String>| text.unwrap_or_else(|| "<none>".to_owned());
            let row = [
                ("Repository", or_none(name.map(Reference::familiar_name))),
                ("Tag", or_none(name.and_then(Reference::tag).map(str::to_owned))),
                ("ID", image.id.short().to_owned()),
                ("CreatedSince", units::ago(image.config.created.as_deref(), now)),
                ("Size", units::size(size)),
                ("SharedSize", units::size(shared)),
                ("UniqueSize", units::size(size.saturating_sub(shared))),
            ];
            rows.push(row.map(|(key, value)| (key.to_owned(), Value::from(value))).into_iter().collect());
        }
    }
    Ok(rows)
}

/// Blobs and unpacked layers, and what of them `image prune --all` would remove.
fn row(store: &Store) -> Result<Map<String, Value>> {
    let images = store.images(|_| {})?;
    let mounted = store.mounts()?;
    let is_active = |id: &Digest| mounted.iter().any(|(mounted, _)| mounted == id.hex());
    let size = usage(&store.path("blobs")) + usage(&store.path("layers"));
    let active: Vec<_> = images.iter().filter(|image| is_active(&image.id)).collect();
    let mut needed = std::collections::BTreeSet::new();
    for image in &active {
        needed.extend(image.config.chain().iter().map(|chain_id| store.layer_path(chain_id)));
        let blobs = image.manifest.layers.iter().chain([&image.manifest.config, &image.descriptor, &image.entry]);
        needed.extend(blobs.map(|blob| store.blob_path(&blob.digest)));
    }
    let kept: u64 = needed.iter().map(|path| usage(path)).sum();
    let reclaimable = size.saturating_sub(kept);
    let percent = (reclaimable * 100).checked_div(size).unwrap_or(0);
    let row = [
        ("Type", "Images".to_owned()),
        ("TotalCount", images.len().to_string()),
        ("Active", active.len().to_string()),
        ("Size", units::size(size)),
        ("Reclaimable", format!("{} ({percent}%)", units::size(reclaimable))),
    ];
    Ok(row.map(|(key, value)| (key.to_owned(), Value::from(value))).into_iter().collect())
}
