//! Running containers, as far as networks need to know them.

use std::fs::File;

use anyhow::{Result, ensure};

use super::Context;
use crate::error::Attempt;

/// A container that runs.
pub(super) struct Container {
    monitor: crate::engine::protocol::Channel,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) namespace: File,
}

/// Finds it by its name or id, and what network namespace it is in.
pub(super) fn find(context: &Context, text: &str) -> Result<Container> {
    let engine = context.engine()?;
    let found = engine.find(text)?;
    let state = found.state()?;
    ensure!(state.status.is_up(), "container {text} is not running");
    let path = format!("/proc/{}/ns/net", state.pid);
    let namespace = File::open(&path).attempt(|| format!("open {path:?}"))?;
    Ok(Container { monitor: found.monitor()?, id: found.record.id.clone(), name: found.record.name.clone(), namespace })
}

impl Container {
    /// Has its monitor look at its networks again: whether names are to be answered now.
    pub(super) fn tell(&self) -> Result<()> {
        self.monitor.reload(|text| crate::companion::output::complain(&format!("Warning: {text}\n")))
    }
}
