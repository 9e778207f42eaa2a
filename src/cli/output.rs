//! Writing to the caller. Whatever stdout and stderr are (a closed pipe, a descriptor opened for reading, nothing at
//! all), writing to them never panics, as `println!` would.

use std::io::Write;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::error::Attempt;

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns, for people.
    Table,
    /// One array, for programs.
    Json,
}

/// Writes what was asked for to stdout.
pub(super) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).attempt(|| "write to the standard output")
}

/// Writes a value to stdout as one line of JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&(serde_json::to_string(value)? + "\n"))
}

/// Writes to stderr, if that can be written to.
pub(super) fn complain(text: &str) {
    // In one write(2), so that messages of several processes on one stderr don't mix. Where this fails, there is nobody
    // left to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
