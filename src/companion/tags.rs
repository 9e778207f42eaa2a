//! `image tags`: what a registry has of a repository.

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Map, Value};

use super::output::print;
use super::registry::Connection;
use super::table::{Column, render};
use super::{Context, Operation};
use crate::image::reference::Reference;

/// List the tags of a repository in its registry
#[derive(Debug, Args)]
pub(super) struct Tags {
    /// table, json, or a template: {{.Name}} {{.Tag}}
    #[arg(long)]
    format: Option<String>,

    /// At most so many
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,

    #[command(flatten)]
    connection: Connection,

    /// The repository
    name: Reference,
}

const COLUMNS: &[Column] = &[("Name", "NAME"), ("Tag", "TAG")];

impl Operation for Tags {
    fn carry_out(self, context: &Context) -> Result<u8> {
        ensure!(self.name.tag().is_none() && self.name.digest().is_none(), "a name without tag and digest is wanted");
        let client = self.connection.client(context)?;
        let tags = client.repository(&self.name)?.tags();
        let tags = tags.with_context(|| format!("the tags of {}", self.name.familiar_name()))?;
        let row = |tag: String| -> Map<String, Value> {
            let cells = [("Name", self.name.familiar_name()), ("Tag", tag)];
            cells.map(|(name, cell)| (name.to_owned(), cell.into())).into_iter().collect()
        };
        let rows: Vec<_> = tags.into_iter().take(self.limit.unwrap_or(usize::MAX)).map(row).collect();
        print(&render(&rows, self.format.as_deref(), &["Name", "Tag"], COLUMNS)?)?;
        Ok(0)
    }
}
