//! `ps`: the list.

use std::time::SystemTime;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Map, Value};

use super::super::output::print;
use super::super::table::{Column, render};
use super::super::{Context, Operation, filter, truth, units};
use crate::engine::options::ports;
use crate::engine::state::{State, Status};
use crate::engine::{Container, Engine};

/// List containers
#[derive(Debug, Default, Args)]
pub(in crate::companion) struct Ps {
    /// Show all, not only those that run
    #[arg(short, long)]
    all: bool,

    /// id=, name=, label=KEY[=VALUE], status=, exited=, ancestor=, health=, volume=, network=, publish=PORT[-PORT][/PROTOCOL], expose=, before=, since=
    #[arg(short, long, value_name = "FILTER", value_parser = filter)]
    filter: Vec<String>,

    /// table, json, or a template: {{.ID}} {{.Image}} {{.Command}} {{.CreatedAt}} {{.RunningFor}} {{.Status}} {{.State}} {{.Ports}} {{.Names}} {{.Labels}} {{.Label "KEY"}} {{.Mounts}} {{.LocalVolumes}} {{.Networks}} {{.Size}}
    #[arg(long)]
    format: Option<String>,

    /// The last ones that were made, whether they run or not
    #[arg(short = 'n', long, value_name = "COUNT")]
    last: Option<i64>,

    /// The last one that was made, whether it runs or not
    #[arg(short, long)]
    latest: bool,

    /// Don't shorten anything
    #[arg(long)]
    no_trunc: bool,

    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,

    /// Show how much they wrote
    #[arg(short, long)]
    size: bool,
}

const COLUMNS: &[Column] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("State", "STATE"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Size", "SIZE"),
];

impl Operation for Ps {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let filters = self.filter.iter().map(|text| Filter::parse(&engine, text)).collect::<Result<Vec<_>>>()?;
        // Of a number that is none all are wanted, as docker's default -1 says.
        let last = if self.latest { Some(1) } else { self.last };
        let last = last.and_then(|last| usize::try_from(last).ok()).filter(|last| *last > 0);
        let any_status = self.all || last.is_some() || filters.iter().any(Filter::is_of_status);
        let mut rows = Vec::new();
        for container in engine.all()?.into_iter().take(last.unwrap_or(usize::MAX)) {
            // One that goes meanwhile.
            let Ok(state) = container.state() else { continue };
            let is_up = state.status.is_active();
            if (any_status || is_up) && Filter::all_let_through(&filters, &container, &state) {
                rows.push(self.row(&engine, &container, &state)?);
            }
        }
        if self.quiet && self.format.is_none() {
            let ids = rows.iter().filter_map(|row| row["ID"].as_str());
            print(&ids.map(|id| format!("{id}\n")).collect::<String>())?;
            return Ok(0);
        }
        let mut columns = vec!["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
        if self.size {
            columns.push("Size");
        }
        print(&render(&rows, self.format.as_deref(), &columns, COLUMNS)?)?;
        Ok(0)
    }
}

impl Ps {
    pub(in crate::companion) fn row(
        &self,
        engine: &Engine,
        container: &Container<'_>,
        state: &State,
    ) -> Result<Map<String, Value>> {
        let record = &container.record;
        let now = SystemTime::now();
        let shortened = |text: String, length: usize| {
            if self.no_trunc || text.chars().count() <= length {
                return text;
            }
            text.chars().take(length - 1).chain(['…']).collect()
        };
        let command = shortened(command_line(&record.command()), 20);
        let mounts =
            record.mounts.iter().map(|mounted| if mounted.name.is_empty() { &mounted.source } else { &mounted.name });
        let mounts: Vec<String> = mounts.map(|mount| shortened(mount.clone(), 15)).collect();
        let volumes = record.mounts.iter().filter(|mounted| mounted.kind == "volume").count();
        let ports = if state.status.is_up() {
            super::ports::shown(&engine.only_exposed(container)?, &engine.published(container)?)
        } else {
            String::new()
        };
        // Only where it is asked for: it is a walk through a file tree.
        let asks = |format: &String| format == "json" || format.contains("json .") || format.contains(".Size");
        let wants_size = self.size || self.format.as_ref().is_some_and(asks);
        let size = if wants_size { written(container) } else { String::new() };
        let row = [
            ("ID", if self.no_trunc { record.id.clone() } else { record.short().to_owned() }),
            ("Image", record.config.image.clone()),
            ("Command", format!("{command:?}")),
            ("CreatedAt", units::date(Some(&record.created))),
            ("RunningFor", units::ago(Some(&record.created), now)),
            ("Status", state.sentence(now, units::age)),
            ("State", state.status.word().to_owned()),
            ("Ports", ports),
            ("Names", record.name.clone()),
            ("Mounts", mounts.join(",")),
            ("LocalVolumes", volumes.to_string()),
            ("Networks", record.network_names().join(",")),
            ("Size", size),
        ];
        let mut row: Map<String, Value> = row.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect();
        row.insert("Labels".into(), serde_json::to_value(&record.config.labels)?);
        Ok(row)
    }
}

/// The program and its arguments, those with blanks between quotes.
fn command_line(command: &[String]) -> String {
    let quoted = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
    let words = command.iter().enumerate().map(|(at, word)| if at == 0 { word.clone() } else { quoted(word) });
    words.collect::<Vec<_>>().join(" ")
}

/// `1.2kB (virtual 5MB)`: what it wrote, and that with its image.
fn written(container: &Container<'_>) -> String {
    let own = crate::image::store::collect::usage(&container.directory().join("upper"));
    format!("{} (virtual {})", units::size(own), units::size(own + size_of_image(container)))
}

/// Bytes of the files below what it wrote.
pub(in crate::companion) fn size_of_image(container: &Container<'_>) -> u64 {
    let store = &container.engine.store;
    container.record.layers.iter().map(|layer| store.layer(layer).map_or(0, |layer| layer.size)).sum()
}

/// What `--filter` lets through. Of several of one kind, one suffices; of several kinds, each must.
enum Filter {
    Id(String),
    Name(regex_lite::Regex),
    Label(String, Option<String>),
    Status(String),
    Exited(u8),
    Ancestor(String),
    Health(String),
    Volume(String),
    Network(String),
    /// Ports of the container (`80/tcp`) of which it wants one.
    Expose(Vec<String>),
    /// Ports of the host, of which it wants one.
    Publish(Vec<String>),
    /// Whether it is a part of a swarm's service, as none is.
    IsTask(bool),
    Before(String),
    Since(String),
}

impl Filter {
    fn parse(engine: &Engine, text: &str) -> Result<Filter> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let created = || -> Result<String> { Ok(engine.find(value)?.record.created) };
        let value = value.to_owned();
        Ok(match key {
            "id" => Filter::Id(value),
            "name" => Filter::Name(regex_lite::Regex::new(&value)?),
            "label" => match value.split_once('=') {
                Some((key, value)) => Filter::Label(key.into(), Some(value.into())),
                None => Filter::Label(value, None),
            },
            "status" => match value.as_str() {
                "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead" => {
                    Filter::Status(value)
                }
                _ => bail!("invalid filter 'status={value}'"),
            },
            "exited" => match value.parse() {
                Ok(status) => Filter::Exited(status),
                Err(_) => bail!("invalid filter 'exited={value}'"),
            },
            "ancestor" => Filter::Ancestor(match engine.store.resolve(&value, None) {
                Ok(image) => image.id.to_string(),
                Err(_) => value,
            }),
            "health" => match value.as_str() {
                "starting" | "healthy" | "unhealthy" | "none" => Filter::Health(value),
                _ => bail!("unrecognised filter value for health: {value}"),
            },
            "volume" => Filter::Volume(value),
            "network" => Filter::Network(value),
            "expose" => Filter::Expose(ports::exposed(&value)?),
            "publish" => Filter::Publish(ports::exposed(&value)?),
            "is-task" => match truth(&value) {
                Some(is) => Filter::IsTask(is),
                None => bail!("invalid filter 'is-task={value}'"),
            },
            "before" => Filter::Before(created()?),
            "since" => Filter::Since(created()?),
            _ => bail!("invalid filter '{key}'"),
        })
    }

    fn is_of_status(&self) -> bool {
        matches!(self, Filter::Status(_) | Filter::Exited(_))
    }

    fn all_let_through(filters: &[Filter], container: &Container<'_>, state: &State) -> bool {
        let kind = std::mem::discriminant::<Filter>;
        filters.iter().all(|filter| {
            // Every label must fit.
            if matches!(filter, Filter::Label(..)) {
                return filter.lets_through(container, state);
            }
            filters.iter().filter(|other| kind(other) == kind(filter)).any(|other| other.lets_through(container, state))
        })
    }

    fn lets_through(&self, container: &Container<'_>, state: &State) -> bool {
        let record = &container.record;
        match self {
            Filter::Id(id) => record.id.starts_with(id.as_str()),
            Filter::Name(name) => name.is_match(&record.name) || name.is_match(&format!("/{}", record.name)),
            Filter::Label(key, value) => {
                let found = record.config.labels.get(key);
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            }
            Filter::Status(status) => state.status.word() == status,
            Filter::Exited(status) => state.status == Status::Exited && state.exit_code == *status,
            Filter::Ancestor(image) => {
                record.config.image == *image || record.image.as_ref().is_some_and(|id| id.to_string() == *image)
            }
            Filter::Health(status) => state.health.as_ref().map_or("none", |health| health.status.as_str()) == status,
            Filter::Volume(volume) => record
                .mounts
                .iter()
                .any(|mounted| mounted.name == *volume || mounted.destination == *volume || mounted.source == *volume),
            Filter::Network(network) => record.network_names().contains(&network.as_str()),
            Filter::Expose(ports) => ports.iter().any(|port| record.config.exposed_ports.contains_key(port)),
            Filter::Publish(ports) => {
                // `0.0.0.0:8080` of `80/tcp` is the host's `8080/tcp`.
                let of_host = |(port, host): (String, String)| {
                    let number = host.rsplit(':').next().unwrap_or_default();
                    format!("{number}/{}", port.rsplit('/').next().unwrap_or_default())
                };
                let published = container.engine.published(container).unwrap_or_default();
                state.status.is_up() && published.into_iter().map(of_host).any(|port| ports.contains(&port))
            }
            Filter::IsTask(is) => !is,
            Filter::Before(created) => record.created < *created,
            Filter::Since(created) => record.created > *created,
        }
    }
}
