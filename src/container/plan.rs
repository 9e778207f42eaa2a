//! `plan`: what `create` would do to this machine.

use std::path::Path;

use anyhow::Result;

use super::host;
use super::options::{Host, PlanOptions};
use crate::cgroup::{self, Hierarchy, Manager};
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
    let hierarchy = if host.cgroup_manager == Manager::Disabled { None } else { Hierarchy::find().ok() };
    let asked = (!spec.linux.cgroups_path.is_empty()).then_some(spec.linux.cgroups_path.as_str());
    let directory = hierarchy
        .as_ref()
        .map(|hierarchy| cgroup::path_of(asked, ID, &hierarchy.own).map(|path| hierarchy.directory(&path)))
        .transpose()?;
    let has_user = spec.linux.namespaces.iter().any(|namespace| namespace.kind == "user");
    let mut facts =
        host::facts(ID, &options.bundle, rootfs, hierarchy.as_ref(), directory.as_deref().map(Path::new), has_user);
    facts.shared_namespaces = host::shared_namespaces(&spec);
    facts.waits_for_start = true;
    let plan = plan::container(&spec, &facts)?;
    let writes = spec.linux.resources.as_ref().map(cgroup::plan::writes).transpose()?.unwrap_or_default();
    let cgroup = show::Cgroup { directory: directory.as_deref(), writes: &writes };
    if !options.json {
        return Ok(show::text(&plan, &cgroup));
    }
    serde_json::to_string_pretty(&show::json(&plan, &cgroup)).map_err(std::io::Error::from).attempt(|| "write JSON")
}
