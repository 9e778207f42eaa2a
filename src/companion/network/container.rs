//! Running containers, as far as networks need to know them.

use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};

use super::Context;
use crate::cgroup::Manager;
use crate::container::{Host, Rootless, Warn, state};
use crate::error::Attempt;
use crate::network::Networks;

/// A container that runs.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) namespace: File,
}

/// Finds it by its name or id, and what network namespace it is in.
pub(super) fn find(context: &Context, text: &str) -> Result<Container> {
    let names = context.root.join("names");
    let owner = std::fs::read_link(names.join(text)).ok().and_then(|link| link.into_os_string().into_string().ok());
    let id = owner.unwrap_or_else(|| text.to_owned());
    let missing = || format!("No such container: {text}");
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(is_id && context.root.join("containers").join(&id).is_dir(), missing());
    let host = Host {
        root: Networks::run_of_store(&context.root)?.join("runtime"),
        cgroup_manager: Manager::Cgroupfs,
        rootless: Rootless::False,
        debug: false,
        warn: Warn(Rc::new(|_| ())),
    };
    let found = state(&host, &id).ok().filter(|state| state.pid > 0);
    let pid = found.with_context(|| format!("container {text} is not running"))?.pid;
    let path = format!("/proc/{pid}/ns/net");
    let namespace = File::open(&path).attempt(|| format!("open {path:?}"))?;
    Ok(Container { name: name(&names, &id).unwrap_or_else(|| id.clone()), id, namespace })
}

fn name(names: &Path, id: &str) -> Option<String> {
    let mut entries = std::fs::read_dir(names).ok()?.filter_map(Result::ok);
    let own = entries.find(|entry| std::fs::read_link(entry.path()).is_ok_and(|owner| owner == Path::new(id)))?;
    own.file_name().into_string().ok()
}
