//! `plan`: what `create` would do to this machine.

use anyhow::Result;

use super::options::{Host, PlanOptions};
use super::{group, host};
use crate::error::Attempt;
use crate::plan::{self, show};
use crate::spec::load;

/// The id in a plan: the container has none yet.
const ID: &str = "ID";

/// Says what `create` would do, as text or JSON. Changes nothing and needs no privilege.
pub fn plan(host: &Host, options: &PlanOptions) -> Result<String> {
    let config = options.config.clone().unwrap_or_else(|| options.bundle.join("config.json"));
    let spec = load::config(&config)?.spec;
    let rootfs = host::rootfs(&spec, &options.bundle)?;
    let place = group::place(host, &spec, ID)?;
    let has_user = spec.linux.namespaces.iter().any(|namespace| namespace.kind == "user");
    let mut facts = host::facts(
        ID,
        &options.bundle,
        rootfs,
        place.as_ref().map(|place| place.hierarchy()),
        place.as_ref().map(|place| place.group().path()),
        has_user,
    );
    facts.shared_namespaces = host::shared_namespaces(&spec);
    facts.waits_for_start = true;
    let mut plan = plan::container(&spec, &facts)?;
    let cgroup = place.as_ref().map(|place| place.lines()).unwrap_or_default();
    if place.is_some_and(|place| place.birthplace().is_none()) {
        plan.await_cgroup();
    }
    if !options.json {
        return Ok(show::text(&plan, &cgroup));
    }
    serde_json::to_string_pretty(&show::json(&plan, &cgroup)).map_err(std::io::Error::from).attempt(|| "write JSON")
}
