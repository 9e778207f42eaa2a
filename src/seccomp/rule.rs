//! The rules of a profile, read and checked.

use std::collections::HashSet;
use std::hash::Hash;

use anyhow::{Context, Result, ensure};

use super::action::Action;
use super::condition::Condition;
use super::syscalls::SystemCall;
use crate::spec::seccomp::{Argument, Seccomp, Syscall};

/// A rule.
pub(crate) struct Rule {
    /// Its index in `linux.seccomp.syscalls`.
    pub(crate) index: usize,
    /// The calls it names, without those that no architecture has.
    pub(crate) calls: Vec<SystemCall>,
    pub(crate) action: Action,
    /// Each is a set of conditions that must hold together; one that holds is enough.
    pub(crate) alternatives: Vec<Vec<Condition>>,
}

/// Reads all rules.
pub(crate) fn read(profile: &Seccomp) -> Result<Vec<Rule>> {
    profile.syscalls.iter().enumerate().map(read_one).collect()
}

fn read_one((index, rule): (usize, &Syscall)) -> Result<Rule> {
    let action = Action::parse(&rule.action, rule.errno_ret);
    let action = action.with_context(|| format!("linux.seccomp.syscalls[{index}]"))?;
    ensure!(!rule.names.is_empty(), "linux.seccomp.syscalls[{index}].names: no system call is named");
    // The listener is handed on while the filter is on already; a runtime that waits for its own agent would hang.
    let notifies_write = action == Action::NOTIFY && rule.names.iter().any(|name| name == "write");
    ensure!(!notifies_write, "linux.seccomp.syscalls[{index}]: SCMP_ACT_NOTIFY cannot be used for the write syscall");
    let conditions = |(number, argument): (usize, &Argument)| {
        Condition::parse(argument).with_context(|| format!("linux.seccomp.syscalls[{index}].args[{number}]"))
    };
    let conditions = rule.args.iter().enumerate().map(conditions).collect::<Result<Vec<_>>>()?;
    let calls = once(rule.names.iter().map(String::as_str)).into_iter().filter_map(SystemCall::named).collect();
    Ok(Rule { index, calls, action, alternatives: once(alternatives(conditions).into_iter()) })
}

/// Each only where it comes first: saying it again adds nothing, and every call is tried with every alternative.
fn once<T: Clone + Eq + Hash>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    all.filter(|one| seen.insert(one.clone())).collect()
}

/// Conditions on different arguments hold together. As soon as one argument has two, each condition is a rule of its
/// own: runc's reading of profiles from before conditions could be combined.
fn alternatives(mut conditions: Vec<Condition>) -> Vec<Vec<Condition>> {
    conditions.sort_by_key(|condition| condition.argument);
    if conditions.windows(2).any(|pair| pair[0].argument == pair[1].argument) {
        conditions.into_iter().map(|condition| vec![condition]).collect()
    } else {
        vec![conditions]
    }
}
