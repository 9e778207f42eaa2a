//! `events`: what a container uses, and what happens to it.

use std::io::Write;
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;

use super::options::{EventsOptions, Host};
use super::status::find;
use crate::cgroup::Happening;
use crate::error::Attempt;

#[derive(Serialize)]
struct Event<'a, D> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
}

/// Writes statistics and notices, one JSON object a line, until the container has ended; with `stats` statistics once.
pub fn events(host: &Host, id: &str, options: &EventsOptions, to: &mut dyn Write) -> Result<()> {
    let found = find(&host.root, id)?;
    if found.init()?.is_none() {
        bail!("container with id {id} is not running");
    }
    let Some(group) = found.group() else { bail!("container {id} has no cgroup of its own") };
    let mut line = |kind: &str, data: Option<crate::cgroup::statistics::Statistics>| -> Result<()> {
        let mut json = serde_json::to_vec(&Event { kind, id, data })?;
        json.push(b'\n');
        to.write_all(&json).and_then(|()| to.flush()).attempt(|| "write an event")
    };
    if options.stats {
        return line("stats", Some(group.statistics()?));
    }
    let mut watch = group.watch()?;
    // None where the interval is longer than the clock runs.
    let next = || Instant::now().checked_add(options.interval);
    let mut due = next();
    loop {
        match watch.next(due.map(|due| due.saturating_duration_since(Instant::now())))? {
            Happening::OutOfMemory => line("oom", None)?,
            Happening::Ended => return Ok(()),
            Happening::TimedOut => match group.statistics() {
                // As systemd does with a unit whose last process has ended.
                Err(_) if !group.exists()? => return Ok(()),
                statistics => {
                    line("stats", Some(statistics?))?;
                    due = next();
                }
            },
        }
    }
}
