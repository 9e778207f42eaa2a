//! `system df`: how much of the disk images, containers and volumes use.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use super::super::container::Ps;
use super::super::output::print;
use super::super::table::{Column, render};
use super::super::template::Template;
use super::super::{Context, Operation, size_of, units};
use crate::engine::Engine;
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::collect::usage;

/// Show how much of the disk is used
#[derive(Debug, Args)]
pub(in crate::companion) struct Df {
    /// table, json, or a template: {{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}; with --verbose of {{.Images}} {{.Containers}} {{.Volumes}}
    #[arg(long)]
    format: Option<String>,

    /// Show each image with what it shares with others, each container, each volume
    #[arg(short, long)]
    verbose: bool,
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
    ("Containers", "CONTAINERS"),
];

const CONTAINER_COLUMNS: &[Column] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Size", "SIZE"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("Names", "NAMES"),
];

const VOLUME_COLUMNS: &[Column] = &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")];

type Row = Map<String, Value>;

impl Operation for Df {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let engine = if context.has_containers() { Some(context.engine()?) } else { None };
        let text = if self.verbose {
            let lists = [
                ("Images", "Images", IMAGE_COLUMNS, images(&store, &context.images_of_containers()?)?),
                ("Containers", "Containers", CONTAINER_COLUMNS, engine.as_ref().map_or(Ok(Vec::new()), containers)?),
                ("Volumes", "Local Volumes", VOLUME_COLUMNS, engine.as_ref().map(volumes).unwrap_or_default()),
            ];
            match self.format.as_deref() {
                None | Some("" | "table") => tables(&lists)?,
                Some(format) => {
                    let all = json!(lists.into_iter().map(|(key, _, _, rows)| (key, rows)).collect::<BTreeMap<_, _>>());
                    let text =
                        if format == "json" { all.to_string() } else { Template::parse(format)?.render(&all)? };
                    text + "\n"
                }
            }
        } else {
            let mut rows = vec![of_images(&store, &context.used_images(&store)?)?];
            rows.push(engine.as_ref().map_or_else(|| Ok(row("Containers", &[])), of_containers)?);
            rows.push(engine.as_ref().map_or_else(|| row("Local Volumes", &[]), of_volumes));
            render(&rows, self.format.as_deref(), &names(COLUMNS), COLUMNS)?
        };
        print(&text)?;
        Ok(0)
    }
}

fn names<'a>(columns: &[Column]) -> Vec<&'a str> {
    columns.iter().map(|(name, _)| *name).collect()
}

fn tables(lists: &[(&str, &str, &[Column], Vec<Row>)]) -> Result<String> {
    let mut tables = Vec::new();
    for (_, title, columns, rows) in lists {
        tables.push(format!("{title} space usage:\n\n{}", render(rows, None, &names(columns), columns)?));
    }
    Ok(tables.join("\n"))
}

/// Each name of each image, with the sizes of its layers that others have, too, and of those that only it has.
fn images(store: &Store, of_containers: &[Digest]) -> Result<Vec<Row>> {
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
        let containers = of_containers.iter().filter(|id| **id == image.id).count();
        let names = image.names.iter().map(Some).chain(image.names.is_empty().then_some(None));
        for name in names {
            let or_none = |text: Option<String>| text.unwrap_or_else(|| "<none>".to_owned());
            rows.push(filled([
                ("Repository", or_none(name.map(Reference::familiar_name))),
                ("Tag", or_none(name.and_then(Reference::tag).map(str::to_owned))),
                ("ID", image.id.short().to_owned()),
                ("CreatedSince", units::ago(image.config.created.as_deref(), now)),
                ("Size", units::size(size)),
                ("SharedSize", units::size(shared)),
                ("UniqueSize", units::size(size.saturating_sub(shared))),
                ("Containers", containers.to_string()),
            ]));
        }
    }
    Ok(rows)
}

fn containers(engine: &Engine) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for container in engine.all()? {
        // One that goes meanwhile.
        let Ok(state) = container.state() else { continue };
        let mut row = Ps::default().row(engine, &container, &state)?;
        row.insert("Size".into(), units::size(usage(&container.directory().join("upper"))).into());
        row.retain(|name, _| CONTAINER_COLUMNS.iter().any(|(column, _)| column == name));
        rows.push(row);
    }
    Ok(rows)
}

fn volumes(engine: &Engine) -> Vec<Row> {
    let row = |name: String| {
        let links = engine.users_of(&name).len().to_string();
        let size = units::size(usage(&engine.volume_data(&name)));
        filled([("Name", name), ("Links", links), ("Size", size)])
    };
    engine.all_volumes().into_iter().map(|volume| row(volume.name)).collect()
}

fn filled<const COUNT: usize>(cells: [(&str, String); COUNT]) -> Row {
    cells.map(|(key, value)| (key.to_owned(), Value::from(value))).into_iter().collect()
}

/// Blobs and unpacked layers, and what of them `image prune --all` would remove.
fn of_images(store: &Store, used: &BTreeSet<String>) -> Result<Row> {
    let images = store.images(|_| {})?;
    let size = usage(&store.path("blobs")) + usage(&store.path("layers"));
    let active: Vec<_> = images.iter().filter(|image| used.contains(image.id.hex())).collect();
    let mut needed = BTreeSet::new();
    for image in &active {
        needed.extend(image.config.chain().iter().map(|chain_id| store.layer_path(chain_id)));
        let blobs = image.manifest.layers.iter().chain([&image.manifest.config, &image.descriptor, &image.entry]);
        needed.extend(blobs.map(|blob| store.blob_path(&blob.digest)));
    }
    let kept: u64 = needed.iter().map(|path| usage(path)).sum();
    Ok(total("Images", images.len(), active.len(), size, size.saturating_sub(kept)))
}

fn of_containers(engine: &Engine) -> Result<Row> {
    let mut all = Vec::new();
    for container in engine.all()? {
        let Ok(state) = container.state() else { continue };
        let is_active = state.status.is_active();
        all.push((is_active, usage(&container.directory().join("upper"))));
    }
    Ok(row("Containers", &all))
}

fn of_volumes(engine: &Engine) -> Row {
    let of = |name: &str| (!engine.users_of(name).is_empty(), usage(&engine.volume_data(name)));
    row("Local Volumes", &engine.all_volumes().iter().map(|volume| of(&volume.name)).collect::<Vec<_>>())
}

/// The line of things that are each in use or not, and of some size.
fn row(kind: &str, all: &[(bool, u64)]) -> Row {
    let reclaimable = all.iter().filter(|(is_active, _)| !is_active).map(|(_, size)| size).sum();
    let size = all.iter().map(|(_, size)| size).sum();
    total(kind, all.len(), all.iter().filter(|(is_active, _)| *is_active).count(), size, reclaimable)
}

fn total(kind: &str, count: usize, active: usize, size: u64, reclaimable: u64) -> Row {
    let percent = (reclaimable * 100).checked_div(size).map(|percent| format!(" ({percent}%)")).unwrap_or_default();
    filled([
        ("Type", kind.to_owned()),
        ("TotalCount", count.to_string()),
        ("Active", active.to_string()),
        ("Size", units::size(size)),
        ("Reclaimable", units::size(reclaimable) + &percent),
    ])
}
