//! `update`: other limits for a container that runs.

use anyhow::{Result, bail};

use super::options::{Host, UpdateOptions};
use super::resctrl;
use super::status::find;

/// Changes limits, and keeps them on record. Devices are left alone: others may have attached programs of their own since.
pub fn update(host: &Host, id: &str, options: &UpdateOptions) -> Result<()> {
    let directory = find(&host.root, id)?.directory;
    let _lock = directory.lock()?;
    let mut found = find(&host.root, id)?;
    if found.init()?.is_none() {
        bail!("container not running");
    }
    let schemas = [options.l3_cache_schema.as_deref(), options.mem_bw_schema.as_deref()];
    if schemas.iter().any(Option::is_some) {
        let Some(path) = &found.record.resctrl else {
            bail!("--l3-cache-schema and --mem-bw-schema need linux.intelRdt in the container's configuration");
        };
        resctrl::write_schemata(path, schemas.into_iter().flatten())?;
    }
    let Some(group) = found.kept_group() else {
        bail!("container {id} has no cgroup of its own");
    };
    let stored = found.record.resources.clone().unwrap_or_default();
    found.record.resources = Some(group.update(&stored, &options.resources)?);
    found.directory.write_record(&found.record)
}
