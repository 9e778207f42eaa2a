//! `network ls`.

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value};

use super::filter::Filter;
use super::{Context, Operation, open};
use crate::companion::output::print;
use crate::companion::table::{Column, render};
use crate::network::Network;

/// List networks
#[derive(Debug, Args)]
pub(in crate::companion) struct List {
    /// driver=NAME, id=ID, name=TEXT, label=KEY[=VALUE], type=custom|builtin, dangling=BOOL, scope=local
    #[arg(short, long, value_name = "FILTER", value_parser = crate::companion::filter)]
    filter: Vec<String>,

    /// table, json, or a template: {{.ID}} {{.Name}} {{.Driver}} {{.Scope}} {{.IPv6}} {{.Internal}} {{.Labels}} {{.CreatedAt}}
    #[arg(long)]
    format: Option<String>,

    /// Don't shorten ids
    #[arg(long)]
    no_trunc: bool,

    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
}

const COLUMNS: &[Column] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

impl Operation for List {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let filters = self.filter.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>>>()?;
        let networks = open(context)?;
        let mut all = networks.list()?;
        all.retain(|network| Filter::all_let_through(&filters, &networks, network));
        let rows: Vec<Map<String, Value>> = all.iter().map(|network| self.row(network)).collect();
        if self.quiet && self.format.is_none() {
            let ids = rows.iter().filter_map(|row| row["ID"].as_str());
            print(&ids.map(|id| format!("{id}\n")).collect::<String>())?;
            return Ok(0);
        }
        print(&render(&rows, self.format.as_deref(), &["ID", "Name", "Driver", "Scope"], COLUMNS)?)?;
        Ok(0)
    }
}

impl List {
    fn row(&self, network: &Network) -> Map<String, Value> {
        let short = network.id.get(..12).filter(|_| !self.no_trunc);
        let id = short.unwrap_or(&network.id);
        let fields = [
            ("ID", id.to_owned()),
            ("Name", network.name.clone()),
            ("Driver", network.driver.to_string()),
            ("Scope", "local".into()),
            ("IPv4", "true".into()),
            ("IPv6", network.ipv6.to_string()),
            ("Internal", network.internal.to_string()),
            ("CreatedAt", network.created.clone()),
        ];
        let mut row: Map<String, Value> =
            fields.map(|(key, value)| (key.to_owned(), Value::from(value))).into_iter().collect();
        let labels = network.labels.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        row.insert("Labels".into(), Value::Object(labels.collect()));
        row
    }
}
