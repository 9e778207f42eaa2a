//! Plans for `exec`: the same road with another entry, into the namespaces of a container that runs.

use std::ffi::CString;

use anyhow::Result;

use super::namespaces::{Entry, Kind, Wanted};
use super::process::{self, Asked};
use super::step::Step;
use super::{
    Given, Host, Plan, Preparation, Preparations, Start, filter, keeps_groups, keyring, landlock, memory_policy,
    open_proc_before_use, when,
};
use crate::spec::{Process, Spec};
use crate::sys::clone::CloneFlags;

/// Plans `exec` of a process in a container that was made from `spec`.
pub fn exec(process: &Process, spec: &Spec, host: &Host) -> Result<Plan> {
    let wanted = Wanted::new(&spec.linux)?.sharing(&host.shared_namespaces);
    let filter = filter(spec)?;
    let mut preparations = Preparations::default();
    let mut warnings = Vec::new();
    let container = preparations.add(Preparation::Given(Given::Container));
    let entry = join_container(&wanted, container);

    let mut steps = entry.first.clone();
    let affinity = process.exec_cpu_affinity.clone().unwrap_or_default();
    let list = |text: &str, field: &str| {
        memory_policy::list(text).map_err(|reason| anyhow::anyhow!("process.execCPUAffinity.{field}: {reason}"))
    };
    let initial_affinity = list(&affinity.initial, "initial")?;
    let last = list(&affinity.last, "final")?;
    // config.md, "execCPUAffinity": without a final one the initial one stays as the kernel left it. Without any the process is not
    // held to where the runtime's caller was.
    if initial_affinity.is_empty() || !last.is_empty() {
        steps.push(Step::Affinity(last));
    }
    if host.new_keyring {
        steps.extend(process::keyring_label(process));
        steps.push(keyring(host));
    }
    if process.terminal {
        let slot = preparations.add(Preparation::Given(Given::Console));
        steps.push(Step::Terminal { slot, size: process.console_size, bind_console: false });
    }
    let umask = process.user.umask.or(spec.process.as_ref().and_then(|init| init.user.umask));
    steps.push(Step::Umask(umask.unwrap_or(0o022)));
    let asked = Asked {
        process,
        linux: &spec.linux,
        hooks: &[],
        keep_groups: keeps_groups(spec),
        landlock: landlock::landlock(&spec.annotations)?,
        filter: filter.as_ref().map(when),
        start: Start::Parent,
        limited_by_parent: wanted.has(Kind::User),
    };
    steps.extend(process::attributes(&asked)?);
    steps.extend(process::finish(&asked, host, &mut warnings)?);
    open_proc_before_use(&mut steps);
    let mut entry = entry;
    let own_score = process.oom_score_adj.filter(|_| !host.privileged);
    if let Some(score) = own_score {
        let first_process = if entry.between.is_empty() { &mut steps } else { &mut entry.between };
        first_process.insert(0, Step::OomScore(score));
    }
    let plan = Plan::of(spec, process, &wanted, host, entry, steps)?;
    Ok(Plan { initial_affinity, preparations: preparations.0, filter, warnings, ..plan })
}

/// Joins what the container's first process is in. A process must be cloned after a pid namespace is joined to be in it.
fn join_container(wanted: &Wanted, slot: usize) -> Entry {
    let mut others = CloneFlags::empty();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::User && wanted.has(*kind)) {
        others |= kind.flag();
    }
    let has_user = wanted.is_apart(Kind::User);
    let path: CString = c"of the container".into();
    let mut joins = vec![Step::Undumpable];
    if !others.is_empty() {
        joins.push(Step::Join {
            namespaces: others,
            path: path.clone(),
            slot,
            may_fail: has_user,
            field: String::new(),
        });
    }
    if has_user {
        let namespaces = Kind::User.flag();
        joins.push(Step::Join { namespaces, path, slot, may_fail: false, field: String::new() });
        joins.extend([Step::BecomeRoot, Step::JoinRefused]);
    }
    let none = CloneFlags::empty();
    if wanted.has(Kind::Pid) || has_user {
        joins.push(Step::CloneInit(CloneFlags::PARENT));
        return Entry { between: joins, clone: none, first: vec![Step::Undumpable], id_maps: None };
    }
    Entry { between: Vec::new(), clone: none, first: joins, id_maps: None }
}
