//! `process`: the container's first, and those of `exec`.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Facts, Security, capabilities, hostname, security};
use crate::engine::record::Record;
use crate::engine::{init, options};
use crate::image::bundle::{PATH, User};

/// Of a process that `exec` runs.
#[derive(Debug, Clone)]
pub struct Further {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Added to the container's environment.
    pub env: Vec<String>,
    /// Where it runs, if elsewhere.
    pub cwd: Option<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether it has all capabilities.
    pub privileged: bool,
    /// Whom it runs as.
    pub user: User,
}

/// The container's first process.
pub(super) fn first(record: &Record, facts: &Facts, capabilities: &[String], security: &Security) -> Result<Value> {
    let mut process = process(record, facts, &facts.user, capabilities, security)?;
    confine(&mut process, security, record.host_config.privileged, facts);
    keep_what_may_not_change(record, facts, &mut process);
    let init: &[&str] = if facts.init.is_some() { &[init::POINT, "--"] } else { &[] };
    process["args"] = init.iter().map(|part| (*part).to_owned()).chain(record.command()).collect();
    if let Some(groups) = process["user"]["additionalGids"].as_array_mut() {
        groups.extend(facts.groups.iter().filter(|group| !facts.user.groups.contains(group)).map(|group| json!(group)));
    }
    Ok(process)
}

/// A process of `exec`.
pub fn further(record: &Record, facts: &Facts, wanted: &Further) -> Result<Value> {
    let mut host = record.host_config.clone();
    host.privileged |= wanted.privileged;
    let capabilities = capabilities::of(&host, facts.capabilities)?;
    let security = security(record)?;
    let mut process = process(record, facts, &wanted.user, &capabilities, &security)?;
    confine(&mut process, &security, host.privileged, facts);
    keep_what_may_not_change(record, facts, &mut process);
    let mut env: Vec<String> = serde_json::from_value(process["env"].take())?;
    crate::engine::options::environment::merge(&mut env, wanted.env.iter().cloned());
    process["env"] = env.into();
    process["args"] = wanted.args.clone().into();
    process["terminal"] = wanted.terminal.into();
    if let Some(cwd) = &wanted.cwd {
        process["cwd"] = cwd.clone().into();
    }
    Ok(process)
}

fn confine(process: &mut Value, security: &Security, privileged: bool, facts: &Facts) {
    if let Some(profile) = security.profile(privileged, facts.apparmor) {
        process["apparmorProfile"] = profile.into();
    }
    if let Some(label) = security.label.of_processes().filter(|_| facts.selinux) {
        process["selinuxLabel"] = label.into();
    }
}

/// An ordinary user's processes may have a score above 0 from their session, and may not lower it; without subordinate groups they may
/// not leave the groups that they have (user_namespaces(7), setgroups).
fn keep_what_may_not_change(record: &Record, facts: &Facts, process: &mut Value) {
    if facts.is_rootless && facts.groups_mapped == Some(1) {
        process["user"]["additionalGids"] = json!([]);
    }
    if facts.is_rootless
        && record.host_config.oom_score_adj == 0
        && let Some(process) = process.as_object_mut()
    {
        process.remove("oomScoreAdj");
    }
}

fn process(record: &Record, facts: &Facts, user: &User, capabilities: &[String], security: &Security) -> Result<Value> {
    let config = &record.config;
    // The group is one of the groups, too: a program that changes it may come back (CVE-2022-36109).
    let others = user.groups.iter().copied().filter(|group| *group != user.gid);
    let groups: Vec<u32> = std::iter::once(user.gid).chain(others).collect();
    let mut process = json!({
        "terminal": config.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": groups},
        "env": environment(record, facts, user),
        "cwd": if config.working_dir.is_empty() { "/" } else { &config.working_dir },
        "noNewPrivileges": security.no_new_privileges,
        "oomScoreAdj": record.host_config.oom_score_adj,
        "rlimits": rlimits(record),
    });
    if let Some(umask) = options::umask(&config.umask)? {
        process["user"]["umask"] = umask.into();
    }
    // What the program may use at once; of another user than root what a set-user-ID program gets.
    let effective: &[String] = if user.uid == 0 { capabilities } else { &[] };
    process["capabilities"] = json!({"bounding": capabilities, "effective": effective, "permitted": effective});
    Ok(process)
}

/// docker's order: what docker sets, then the image's and the user's.
fn environment(record: &Record, facts: &Facts, user: &User) -> Vec<String> {
    let mut all = vec![PATH.to_owned(), format!("HOSTNAME={}", hostname(record, facts))];
    if record.config.tty {
        all.push("TERM=xterm".into());
    }
    all.extend_from_slice(&facts.links);
    crate::engine::options::environment::merge(&mut all, record.config.env.iter().cloned());
    if !all.iter().any(|variable| variable.starts_with("HOME=")) {
        all.push(format!("HOME={}", user.home));
    }
    all
}

fn rlimits(record: &Record) -> Vec<Value> {
    let number = |limit: i64| if limit < 0 { u64::MAX } else { limit as u64 };
    let limits = record.host_config.ulimits.iter();
    limits
        .map(|limit| {
            let kind = format!("RLIMIT_{}", limit.name.to_ascii_uppercase());
            json!({"type": kind, "hard": number(limit.hard), "soft": number(limit.soft)})
        })
        .collect()
}
