//! `list`: all containers below the root.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;

use anyhow::Result;
use clap::Parser;

use super::output::{self, Format};
use super::{Context, Operation};
use crate::container::{self, Listing, State};
use crate::error::{Attempt, sentence};

/// List the containers below the root
#[derive(Debug, Parser)]
pub(super) struct List {
    /// How the list is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    format: Format,

    /// Print only the ids
    #[arg(short, long)]
    quiet: bool,
}

impl Operation for List {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let mut states = readable(context)?;
        if self.quiet {
            let lines: String = states.iter().map(|state| format!("{}\n", state.id)).collect();
            output::print(&lines)?;
            return Ok(0);
        }
        let users = std::fs::read("/etc/passwd").map(|text| names(&String::from_utf8_lossy(&text))).unwrap_or_default();
        for state in &mut states {
            state.owner = owner(context, &state.id, &users);
        }
        match self.format {
            Format::Table => output::print(&table(&rows(&states)))?,
            Format::Json => output::print_json(&states)?,
        }
        Ok(0)
    }
}

/// The ids of all containers, even of those whose state can't be read, and if wanted of those that are not made yet.
pub(super) fn ids(context: &Context, with_half_made: bool) -> Result<Vec<String>> {
    if !exists(context)? {
        return Ok(Vec::new());
    }
    let Listing { states, broken, half_made } = container::list(&context.host)?;
    let made = states.into_iter().map(|state| state.id).chain(broken.into_iter().map(|(id, _)| id));
    Ok(made.chain(half_made.into_iter().filter(|_| with_half_made)).collect())
}

/// The containers whose state can be read; a warning for each of the others.
fn readable(context: &Context) -> Result<Vec<State>> {
    if !exists(context)? {
        return Ok(Vec::new());
    }
    let Listing { states, broken, .. } = container::list(&context.host)?;
    for (id, error) in &broken {
        context.log.warning(&format!("load container {id}: {}", sentence(error)));
    }
    Ok(states)
}

/// Whether the root is there. The default one is made with the first container; one that was named must be.
fn exists(context: &Context) -> Result<bool> {
    let root = &context.host.root;
    match std::fs::metadata(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !context.globals.has_root() => Ok(false),
        found => found.attempt(|| format!("open {root:?}")).map(|_| true),
    }
}

/// The name of the user who owns a container's directory, or `#` and the number.
fn owner(context: &Context, id: &str, users: &HashMap<u32, String>) -> String {
    match std::fs::metadata(context.host.root.join(id)) {
        Ok(directory) => users.get(&directory.uid()).cloned().unwrap_or_else(|| format!("#{}", directory.uid())),
        // It was deleted in the meantime.
        Err(_) => String::new(),
    }
}

/// passwd(5): names by user id, the first of an id.
fn names(passwd: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok())) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

fn rows(states: &[State]) -> Vec<[String; 6]> {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let row = |state: &State| {
        [
            state.id.clone(),
            state.pid.to_string(),
            state.status.to_string(),
            state.bundle.display().to_string(),
            state.created.clone(),
            state.owner.clone(),
        ]
    };
    std::iter::once(header).chain(states.iter().map(row)).collect()
}

/// Columns as runc has them of Go's tabwriter: 12 wide at least, 3 apart, the last one as it is.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| {
        let longest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        (longest + 3).max(12)
    };
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let mut table = String::new();
    for row in rows {
        let (last, cells) = row.split_last().expect("a table has columns");
        for (cell, width) in cells.iter().zip(&widths) {
            table.push_str(cell);
            // Not by a width in a format, which is refused with a panic above 65535.
            table.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
        table.push_str(last);
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_runc_s() {
        assert_eq!(table(&rows(&[])), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_longest_cell_and_three() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        assert_eq!(
            table(&[row(["ID", "B", "C"]), row(["ünïcödé-10", "", "x"]), row(["a", "b", ""])]),
            "ID           B           C\nünïcödé-10               x\na            b           \n"
        );
    }

    #[test]
    fn a_cell_may_be_of_any_length() {
        let long = "x".repeat(70_000);
        assert_eq!(table(&[[long.clone(), "y".into()]]), format!("{long}   y\n"));
    }

    #[test]
    fn the_first_name_of_an_id_counts() {
        let names = names("root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\n\nbroken\nme:x:1000:1:::\nodd:x:no:1");
        assert_eq!(names.len(), 2);
        assert_eq!((names[&0].as_str(), names[&1000].as_str()), ("root", "me"));
    }
}
