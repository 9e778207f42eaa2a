//! `top`: the processes of a container, by ps(1) of the host.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::super::output::print;
use super::super::table::aligned;
use super::super::{Context, Operation};
use crate::error::Attempt;

/// Show the processes of a container
#[derive(Debug, Args)]
pub(in crate::companion) struct Top {
    /// A name or id, and options of ps(1), which must show PID
    #[arg(required = true, trailing_var_arg = true, value_name = "CONTAINER [PS OPTION]...")]
    what: Vec<String>,
}

impl Operation for Top {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let Some((name, options)) = self.what.split_first() else { bail!("a container is required") };
        let container = engine.find(name)?;
        if !container.state()?.status.is_up() {
            bail!("Container {} is not running", container.id());
        }
        let pids: BTreeSet<String> = container.pids()?.into_iter().map(|pid| pid.to_string()).collect();
        let options = if options.is_empty() { &["-ef".to_owned()] } else { options };
        let output = Command::new("ps").args(options).output().attempt(|| "run ps")?;
        if !output.status.success() {
            // How it is called follows.
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("ps: {}", said.lines().next().unwrap_or_default());
        }
        print(&chosen(&String::from_utf8_lossy(&output.stdout), &pids)?)?;
        Ok(0)
    }
}

/// docker's width of a column of processes.
const NARROWEST: usize = 20;

/// The lines of some processes, in columns.
fn chosen(text: &str, pids: &BTreeSet<String>) -> Result<String> {
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let at = heading.iter().position(|column| *column == "PID").context("Couldn't find PID field in ps output")?;
    let mut rows = vec![heading.join("\t")];
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.get(at).is_some_and(|pid| pids.contains(*pid)) {
            // The last column is a command line, with blanks.
            let (columns, command) = words.split_at(words.len().min(heading.len() - 1));
            rows.push([columns, &[command.join(" ").as_str()]].concat().join("\t"));
        }
    }
    Ok(aligned(&rows, NARROWEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_processes_are_shown() {
        let text = "UID   PID  CMD\nroot  1    init\nroot  22   sleep  10\n";
        let shown = chosen(text, &["22".to_owned()].into()).unwrap();
        assert_eq!(
            shown,
            "UID                 PID                 CMD\nroot                22                  sleep 10\n"
        );
        assert!(chosen("A B\n", &BTreeSet::new()).is_err());
    }
}
