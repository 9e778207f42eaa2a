//! What containers say: drivers `json-file`, `local` and `none`.
//!
//! `json-file` is docker's format, an object a line, so that whatever collects docker's logs collects these. `local` is the same, and
//! rotates without being told to (docker's has a format that is documented as nobody's business).

mod follow;
mod line;
mod read;
mod write;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

pub use read::{Line, Reading};
pub use write::Writer;

use super::options;
use super::record::LogConfig;

/// How large logs get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file; none without limit.
    pub size: Option<u64>,
    /// How many files there are at most, the current one among them.
    pub files: u32,
}

impl Limits {
    /// What a configuration says; none for `none`.
    pub fn of(log: &LogConfig) -> Result<Option<Limits>> {
        let mut limits = match log.kind.as_str() {
            "" | "json-file" => Limits { size: None, files: 1 },
            "local" => Limits { size: Some(20 << 20), files: 5 },
            "none" => {
                ensure!(log.config.is_empty(), "the log driver none takes no options");
                return Ok(None);
            }
            other => bail!("the log driver {other:?} is not supported: use json-file, local or none"),
        };
        for (key, value) in &log.config {
            let wrong = || format!("invalid value for log option {key}: {value:?}");
            match key.as_str() {
                "max-size" if value == "-1" => limits.size = None,
                "max-size" => {
                    let size = options::bytes(value).with_context(wrong)?;
                    ensure!(size > 0, "{}", wrong());
                    limits.size = Some(size);
                }
                "max-file" => {
                    limits.files = value.parse().ok().filter(|files| *files > 0).with_context(wrong)?;
                }
                _ => {
                    bail!("unknown log option {key:?} for the log driver {}: there are max-size and max-file", log.kind)
                }
            }
        }
        ensure!(limits.files == 1 || limits.size.is_some(), "max-file needs max-size: a log without limit is one file");
        Ok(Some(limits))
    }
}

/// Where a container's log is.
pub fn path(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}-json.log"))
}

/// An older file.
fn rotated(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.into();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}
