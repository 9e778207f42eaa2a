//! What every benchmark begins and ends with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

/// The program: says what failed. What `cargo bench` passes on is for harnesses that filter.
pub(crate) fn program(measure: fn() -> Result<()>) -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A number that the environment may set.
pub(crate) fn number(name: &str, default: usize) -> Result<usize> {
    std::env::var(name).map_or(Ok(default), |text| text.parse()).with_context(|| format!("{name} is no number"))
}

/// A directory that nobody else has.
pub(crate) fn directory(parent: &Path) -> Result<PathBuf> {
    let directory = parent.join(format!("corten-bench-{}", std::process::id()));
    fs::create_dir(&directory).with_context(|| format!("create {directory:?}"))?;
    Ok(directory)
}
