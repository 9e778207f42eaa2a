//! `ps`: the processes of a container.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::Parser;

use super::output::{self, Format};
use super::{Context, Operation};
use crate::container;
use crate::error::Attempt;

/// Show the processes of a container
///
/// The table is what ps(1) prints of the host's processes, without those of others.
#[derive(Debug, Parser)]
pub(super) struct Ps {
    /// How the processes are printed: a table by ps(1), or an array of pids
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    format: Format,

    /// The container
    #[arg(value_name = "ID")]
    id: String,

    /// Options for ps(1), whose output must have a column PID [default: -ef]
    #[arg(value_name = "OPTION", trailing_var_arg = true)]
    options: Vec<OsString>,
}

impl Operation for Ps {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let pids = container::pids(&context.host, &self.id)?;
        match self.format {
            Format::Json => output::print_json(&pids)?,
            Format::Table => output::print(&of(&everybody(&self.options)?, &pids)?)?,
        }
        Ok(0)
    }
}

/// What ps(1) says.
fn everybody(options: &[OsString]) -> Result<String> {
    let mut ps = Command::new("ps");
    if options.is_empty() {
        ps.arg("-ef");
    }
    let output = ps.args(options).stdin(Stdio::null()).output().attempt(|| "run ps")?;
    if !output.status.success() {
        bail!("ps: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The header of ps(1), and the lines of these processes.
fn of(everybody: &str, pids: &[i32]) -> Result<String> {
    let mut lines = everybody.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_whitespace().position(|title| title == "PID");
    let column = column.context("couldn't find PID field in ps output")?;
    let mut kept = format!("{header}\n");
    for line in lines.filter(|line| !line.is_empty()) {
        let field = line.split_whitespace().nth(column).unwrap_or_default();
        let pid: i32 = field.parse().with_context(|| format!("unable to parse pid {field:?} in ps output"))?;
        if pids.contains(&pid) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::sentence;

    #[test]
    fn only_the_lines_of_the_container_stay() {
        let everybody =
            "UID   PID  PPID CMD\nroot    1     0 init 42\nroot   42     1 sh -c  x\n\nme    421    42 top\n";
        assert_eq!(
            of(everybody, &[42, 421]).unwrap(),
            "UID   PID  PPID CMD\nroot   42     1 sh -c  x\nme    421    42 top\n"
        );
        assert_eq!(of(everybody, &[]).unwrap(), "UID   PID  PPID CMD\n");
        assert_eq!(of("  PID\n   42\n", &[42]).unwrap(), "  PID\n   42\n");
    }

    #[test]
    fn a_table_without_pids_is_an_error() {
        let text = |everybody| sentence(&of(everybody, &[1]).unwrap_err());
        assert_eq!(text("CMD\ninit\n"), "couldn't find PID field in ps output");
        assert_eq!(text(""), "couldn't find PID field in ps output");
        assert!(text("A PID\nx y\n").starts_with("unable to parse pid \"y\" in ps output: "));
        assert!(text("A PID\nx\n").starts_with("unable to parse pid \"\" in ps output: "));
    }

    #[test]
    fn ps_itself_is_asked() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(of(&everybody(&[]).unwrap(), &[own]).unwrap().lines().count(), 2);
        let error = sentence(&everybody(&["--no-such-option".into()]).unwrap_err());
        assert!(error.starts_with("ps: exit status: 1: error: unknown"), "{error}");
    }
}
