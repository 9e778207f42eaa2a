//! `volume create`, `ls`, `rm`, `inspect`, `prune`.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::inspect::show_each;
use super::output::{complain, confirmed, print};
use super::pruned::{Condition, Pruned, report};
use super::table::{Column, render};
use super::{Context, Operation};
use crate::engine::volume::{Volume, Wanted};
use crate::engine::{Engine, options};
use crate::error::sentence;
use crate::image::store::collect::usage;

/// Commands for volumes.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Create(Create),
    #[command(visible_alias = "list")]
    Ls(Ls),
    #[command(visible_alias = "remove")]
    Rm(Rm),
    Inspect(Inspect),
    Prune(Prune),
}

/// Create a volume
#[derive(Debug, Args)]
pub(super) struct Create {
    /// What keeps it: local
    #[arg(short, long, value_name = "DRIVER", default_value = "local")]
    driver: String,

    /// Attach a text (KEY=VALUE)
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,

    /// What is mounted there while containers have it: type=TYPE and device=SOURCE as of mount(2), o=OPTION[,OPTION]...; or size=BYTES, by a quota
    #[arg(short, long, value_name = "KEY=VALUE")]
    opt: Vec<String>,

    /// The volume's name; without one it gets some
    name: Option<String>,
}

/// List volumes
#[derive(Debug, Args)]
pub(super) struct Ls {
    /// name=, label=KEY[=VALUE], dangling=BOOL, driver=
    #[arg(short, long, value_name = "FILTER", value_parser = crate::companion::filter)]
    filter: Vec<String>,

    /// table, json, or a template: {{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{.Labels}} {{.Label "KEY"}}
    #[arg(long)]
    format: Option<String>,

    /// Print names alone
    #[arg(short, long)]
    quiet: bool,
}

/// Remove volumes
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Don't mind what is not there
    #[arg(short, long)]
    force: bool,

    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

/// Show all that is known of volumes
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// json, or a template
    #[arg(short, long)]
    format: Option<String>,

    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

/// Remove volumes that no container has
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Those with a name, too
    #[arg(short, long)]
    all: bool,

    /// label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER", value_parser = crate::companion::filter)]
    filter: Vec<String>,

    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

const COLUMNS: &[Column] = &[
    ("Driver", "DRIVER"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
];

impl Operation for Command {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        match self {
            Command::Create(create) => {
                options::volume_driver(&create.driver)?;
                let pairs = |all: &[String]| all.iter().map(|text| options::pair(text)).collect();
                let (labels, options) = (pairs(&create.label), pairs(&create.opt));
                let volume = engine.create_volume(Wanted { name: create.name, labels, options })?;
                print(&format!("{}\n", volume.name))?;
                Ok(0)
            }
            Command::Ls(list) => list.list(&engine),
            Command::Rm(remove) => remove.remove(&engine),
            Command::Inspect(inspect) => inspect.inspect(&engine),
            Command::Prune(prune) => prune.prune(&engine),
        }
    }
}

pub(super) fn described(engine: &Engine, volume: &Volume) -> Value {
    json!({
        "CreatedAt": volume.created_at,
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": engine.volume_data(&volume.name),
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    })
}

impl Ls {
    fn list(self, engine: &Engine) -> Result<u8> {
        let mut rows: Vec<Map<String, Value>> = Vec::new();
        for volume in engine.all_volumes() {
            let mut wanted = true;
            for filter in &self.filter {
                wanted &= Ls::lets_through(engine, filter, &volume)?;
            }
            if wanted {
                let mut row = described(engine, &volume);
                // What `system df -v` counts.
                row["Links"] = "N/A".into();
                row["Size"] = "N/A".into();
                rows.extend(row.as_object().cloned());
            }
        }
        if self.quiet && self.format.is_none() {
            let names = rows.iter().filter_map(|row| row["Name"].as_str());
            print(&names.map(|name| format!("{name}\n")).collect::<String>())?;
            return Ok(0);
        }
        print(&render(&rows, self.format.as_deref(), &["Driver", "Name"], COLUMNS)?)?;
        Ok(0)
    }

    fn lets_through(engine: &Engine, filter: &str, volume: &Volume) -> Result<bool> {
        let Some((key, value)) = filter.split_once('=') else {
            bail!("invalid argument {filter:?}: bad format of filter")
        };
        Ok(match key {
            "name" => volume.name.contains(value),
            "driver" => value == "local",
            "dangling" => engine.users_of(&volume.name).is_empty() == matches!(value, "true" | "1"),
            "label" => {
                let (name, wanted) = value.split_once('=').map_or((value, None), |(name, value)| (name, Some(value)));
                volume.labels.get(name).is_some_and(|found| wanted.is_none_or(|wanted| wanted == found))
            }
            _ => bail!("invalid filter '{key}'"),
        })
    }
}

impl Rm {
    fn remove(self, engine: &Engine) -> Result<u8> {
        let mut status = 0;
        for name in &self.volumes {
            match engine.remove_volume(name) {
                Ok(()) => print(&format!("{name}\n"))?,
                Err(error) if self.force && sentence(&error).contains("no such volume") => print(&format!("{name}\n"))?,
                Err(error) => {
                    complain(&format!("Error: {}\n", sentence(&error)));
                    status = 1;
                }
            }
        }
        Ok(status)
    }
}

impl Inspect {
    fn inspect(self, engine: &Engine) -> Result<u8> {
        show_each(&self.volumes, self.format.as_deref(), |name| Ok(described(engine, &engine.volume(name)?)))
    }
}

impl Prune {
    fn prune(self, engine: &Engine) -> Result<u8> {
        let conditions = Condition::parse_all(&self.filter)?;
        let which = if self.all { "all" } else { "anonymous" };
        let question = format!(
            "WARNING! This will remove {which} local volumes not used by at least one container.\nAre you sure you want to continue?"
        );
        if !self.force && !confirmed(&question)? {
            return Ok(0);
        }
        print(&report(&[volumes(engine, self.all, &conditions)]))?;
        Ok(0)
    }
}

/// Removes volumes that no container has: those that nobody named, or all.
pub(super) fn volumes(engine: &Engine, all: bool, conditions: &[Condition]) -> Pruned {
    let mut pruned = Pruned { kind: "Volumes", lines: Vec::new(), bytes: 0 };
    for volume in engine.all_volumes().iter().filter(|volume| all || volume.anonymous) {
        let size = usage(&engine.volume_data(&volume.name));
        let wanted = Condition::all_let_through(conditions, &volume.labels, Some(&volume.created_at));
        if wanted && engine.remove_volume(&volume.name).is_ok() {
            pruned.bytes += size;
            pruned.lines.push(volume.name.clone());
        }
    }
    pruned
}
