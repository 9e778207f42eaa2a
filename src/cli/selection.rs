//! `--regex`: many containers at once.

use anyhow::{Context as _, Result, anyhow};
use regex_lite::Regex;

use super::{Context, list};
use crate::error::sentence;

/// Does something to each container whose id a regular expression matches. A failure doesn't spare the others; the
/// error in the end has all of them.
pub(super) fn each(
    context: &Context,
    pattern: &str,
    with_half_made: bool,
    mut act: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let pattern = Regex::new(pattern).with_context(|| format!("read the regular expression {pattern:?}"))?;
    let failures: Vec<String> = list::ids(context, with_half_made)?
        .iter()
        .filter(|id| pattern.is_match(id))
        .filter_map(|id| act(id).err().map(|error| format!("{id}: {}", sentence(&error))))
        .collect();
    if failures.is_empty() { Ok(()) } else { Err(anyhow!("{}", failures.join("; "))) }
}
