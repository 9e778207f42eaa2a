//! Writing to the caller, without a panic whatever the descriptors are.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};

use crate::error::Attempt;

/// Writes what was asked for to stdout.
pub(super) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).attempt(|| "write to the standard output")
}

/// Writes a file that is there as a whole or not at all. What is no regular file, such as a pipe, is written to as it is.
pub(super) fn whole_file(path: &Path, write: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    if fs::metadata(path).is_ok_and(|data| !data.is_file()) {
        return write(&File::options().write(true).open(path).attempt(|| format!("open {path:?}"))?);
    }
    let Some(name) = path.file_name() else { bail!("{path:?} is no name of a file") };
    let temporary = path.with_file_name(format!(".{}.{}", name.display(), std::process::id()));
    let written = File::create(&temporary).attempt(|| format!("create {path:?}")).and_then(|file| {
        write(&file)?;
        fs::rename(&temporary, path).attempt(|| format!("move what was written to {path:?}"))
    });
    if written.is_err() {
        // The reason is what the caller wants to know.
        let _ = fs::remove_file(&temporary);
    }
    written
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
