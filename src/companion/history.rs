//! `history`: how an image came about.

use std::time::SystemTime;

use anyhow::Result;
use clap::{ArgAction, Args};
use serde_json::{Map, Value};

use super::output::print;
use super::table::{Column, render};
use super::{Context, Operation, units};
use crate::image::config::History as Step;
use crate::image::platform::Platform;
use crate::image::store::Store;
use crate::image::store::table::Image;

/// Show how an image came about
#[derive(Debug, Args)]
pub(super) struct History {
    /// table, json, or a template: {{.ID}} {{.CreatedSince}} {{.CreatedAt}} {{.CreatedBy}} {{.Size}} {{.Comment}}
    #[arg(long)]
    format: Option<String>,

    /// Print sizes and dates for people
    #[arg(short = 'H', long, default_value = "true", action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    human: bool,

    /// Don't shorten anything
    #[arg(long)]
    no_trunc: bool,

    /// The platform of an image that has several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,

    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,

    /// A name or id
    image: String,
}

const COLUMNS: &[Column] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

impl Operation for History {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let image = store.resolve(&self.image, self.platform.as_ref())?;
        let rows = self.rows(&store, &image);
        if self.quiet {
            let ids = rows.iter().filter_map(|row| row["ID"].as_str()).map(|id| format!("{id}\n"));
            print(&ids.collect::<String>())?;
            return Ok(0);
        }
        let created = if self.human { "CreatedSince" } else { "CreatedAt" };
        print(&render(&rows, self.format.as_deref(), &["ID", created, "CreatedBy", "Size", "Comment"], COLUMNS)?)?;
        Ok(0)
    }
}

impl History {
    /// The newest step first; layers without a step are steps of their own.
    fn rows(&self, store: &Store, image: &Image) -> Vec<Map<String, Value>> {
        let mut chain = image.config.chain().into_iter();
        let mut steps: Vec<(Step, u64)> = Vec::new();
        for step in &image.config.history {
            let layer = if step.empty_layer { None } else { chain.next() };
            let size = layer.and_then(|chain_id| store.layer(&chain_id).ok()).map_or(0, |record| record.size);
            steps.push((step.clone(), size));
        }
        for chain_id in chain {
            steps.push((Step::default(), store.layer(&chain_id).map_or(0, |record| record.size)));
        }
        steps.reverse();
        let rows = steps.iter().enumerate();
        rows.map(|(index, (step, size))| self.row(step, *size, (index == 0).then_some(image))).collect()
    }

    fn row(&self, step: &Step, size: u64, image: Option<&Image>) -> Map<String, Value> {
        let shortened = |text: String, length: usize| {
            if self.no_trunc || text.chars().count() <= length {
                return text;
            }
            text.chars().take(length - 1).chain(['…']).collect()
        };
        let id = image.map_or("<missing>".into(), |image| {
            if self.no_trunc { image.id.to_string() } else { image.id.short().to_owned() }
        });
        // Tabs would be columns.
        let created_by = step.created_by.replace('\t', " ");
        let size = if self.human { units::size(size) } else { size.to_string() };
        let at = step.created.as_deref();
        [
            ("ID", id),
            ("CreatedSince", units::ago(at, SystemTime::now())),
            (
                "CreatedAt",
                at.and_then(units::time).map_or("N/A".into(), |at| humantime::format_rfc3339_seconds(at).to_string()),
            ),
            ("CreatedBy", shortened(created_by, 45)),
            ("Size", size),
            ("Comment", step.comment.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .into_iter()
        .collect()
    }
}
