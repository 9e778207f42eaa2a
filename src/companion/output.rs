//! Writing to the caller, without a panic whatever the descriptors are.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::Result;

use crate::error::Attempt;

/// Writes what was asked for to stdout.
pub(super) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).attempt(|| "write to the standard output")
}

/// Writes to stderr, if that can be written to.
pub(super) fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Says what could not be kept.
pub(super) fn warn(warnings: &BTreeSet<String>) {
    for warning in warnings {
        complain(&format!("Warning: {warning}\n"));
    }
}

/// Says what should be known though the work was done.
pub(super) fn remark(text: &str) {
    complain(&format!("Warning: {text}\n"));
}

/// Asks a person; without one, nothing is confirmed.
pub(super) fn confirmed(question: &str) -> Result<bool> {
    print(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).attempt(|| "read the answer")?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
