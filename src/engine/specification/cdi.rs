//! What devices bring with them that were asked for by name, but for their nodes and mounts.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::engine::cdi::Edits;
use crate::spec::Hook;

/// Puts it into a configuration.
pub(super) fn apply(edits: &[Edits], config: &mut Value) -> Result<()> {
    for edits in edits {
        let process = &mut config["process"];
        let mut env: Vec<String> = serde_json::from_value(process["env"].take())?;
        crate::engine::options::environment::merge(&mut env, edits.env.iter().cloned());
        process["env"] = env.into();
        let groups = process["user"]["additionalGids"].as_array_mut().context("no groups")?;
        for group in edits.additional_gids.iter().filter(|group| **group != 0) {
            if !groups.contains(&json!(group)) {
                groups.push(json!(group));
            }
        }
        for named in &edits.hooks {
            let hook = Hook::from(named);
            let entry = json!({"path": hook.path, "args": hook.args, "env": hook.env, "timeout": hook.timeout});
            let hooks = &mut config["hooks"][&named.hook_name];
            match hooks.as_array_mut() {
                Some(hooks) => hooks.push(entry),
                None => *hooks = json!([entry]),
            }
        }
        for device in &edits.net_devices {
            config["linux"]["netDevices"][&device.host_interface_name] = json!({"name": device.name});
        }
        if let Some(rdt) = &edits.intel_rdt {
            config["linux"]["intelRdt"] = json!({
                "closID": rdt.clos_id, "l3CacheSchema": rdt.l3_cache_schema, "memBwSchema": rdt.mem_bw_schema,
                "schemata": rdt.schemata,
                "enableMonitoring": rdt.enable_monitoring || rdt.enable_cmt || rdt.enable_mbm,
            });
        }
    }
    Ok(())
}
