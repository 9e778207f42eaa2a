//! `state` and `list`.

use anyhow::Result;

use super::directory::Directory;
use super::options::{Host, Listing, State, Status};
use super::status::{Found, find};
use crate::error::Attempt;

/// Says how a container is.
pub fn state(host: &Host, id: &str) -> Result<State> {
    of(&find(&host.root, id)?)
}

fn of(found: &Found) -> Result<State> {
    let status = found.status()?;
    let record = &found.record;
    let pid = match status {
        Status::Stopped => 0,
        _ => record.init.pid,
    };
    Ok(State {
        oci_version: record.oci_version.clone(),
        id: record.id.clone(),
        pid,
        status,
        bundle: record.bundle.clone(),
        rootfs: record.rootfs.clone(),
        created: record.created.clone(),
        annotations: record.annotations.clone(),
        owner: String::new(),
    })
}

/// Says how all containers are. What can't be read is named beside the rest.
pub fn list(host: &Host) -> Result<Listing> {
    let entries = std::fs::read_dir(&host.root).attempt(|| format!("read {:?}", host.root))?;
    let mut ids: Vec<String> = Vec::new();
    for entry in entries {
        let entry = entry.attempt(|| format!("read {:?}", host.root))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(name) = entry.file_name().into_string()
        {
            ids.push(name);
        }
    }
    ids.sort();
    let mut listing = Listing::default();
    for id in ids {
        let directory = Directory::of(&host.root, &id);
        let record = directory
            .and_then(|directory| directory.record().map(|record| record.map(|record| Found { directory, record })));
        match record.and_then(|found| found.as_ref().map(of).transpose()) {
            Ok(Some(state)) => listing.states.push(state),
            Ok(None) => listing.half_made.push(id),
            Err(error) => listing.broken.push((id, error)),
        }
    }
    Ok(listing)
}
