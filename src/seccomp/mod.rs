//! From `linux.seccomp` of a profile to a program for the kernel, and the agent that answers for it.
//!
//! The profile's words become a policy: what every system call number gets on every architecture that this
//! machine runs. That becomes a [`Program`] by binary search, decided without the kernel; [`crate::sys::seccomp`] loads
//! it. Who answers for the calls of `SCMP_ACT_NOTIFY` is told by [`Listener::announce`].

mod action;
mod architecture;
mod assembler;
mod call;
mod condition;
mod flag;
mod generate;
#[cfg(test)]
pub(crate) mod interpreter;
mod multiplexer;
mod notify;
mod policy;
mod precedence;
mod rule;
mod syscalls;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

pub use action::NAMES as ACTIONS;
pub use architecture::{Architecture, NAMES as ARCHITECTURES};
pub use condition::OPERATORS;
pub use flag::{NAMES as FLAGS, supported as supported_flags};
pub(crate) use notify::PATIENCE;

use crate::spec::seccomp::{Seccomp, Syscall};
use crate::sys::seccomp::{Flags, Instruction};
use action::Action;

/// BPF_MAXINSNS of linux/bpf_common.h.
const MOST_INSTRUCTIONS: usize = 4096;

/// A filter, ready for [`crate::sys::seccomp::load`].
#[derive(Debug)]
pub struct Program {
    /// The filter.
    pub instructions: Vec<Instruction>,
    /// How it is loaded; with [`Flags::NEW_LISTENER`] where there is a [`Self::listener`].
    pub flags: Flags,
    /// Who answers for the calls that wait for an answer, if some do.
    pub listener: Option<Listener>,
}

/// The agent that gets the listening descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its socket.
    pub path: PathBuf,
    /// What the profile wants it to be told.
    pub metadata: Option<String>,
    /// The rule, in `linux.seccomp.syscalls`, that makes init wait for it before the program runs; or else the first that needs it.
    pub rule: usize,
}

/// What a process calls after its filter is in force and before its program runs; write(2), too, but no rule may notify of that.
const CALLED_BY_INIT: [&str; 5] = ["capset", "execve", "execveat", "prctl", "read"];

/// Makes the filter of a profile for a machine.
///
/// Names of system calls that no architecture has are skipped, and so are architectures that cannot occur on the
/// machine. What can't be carried out as written is an error that names the rule.
pub fn compile(profile: &Seccomp, native: Architecture) -> Result<Program> {
    let default = default_action(profile)?;
    let listener = listener(profile)?;
    let flags = flag::of_profile(profile.flags.as_deref(), listener.is_some())?;
    let sections = policy::sections(profile, default, native)?;
    let instructions = generate::program(&sections, default);
    if instructions.len() > MOST_INSTRUCTIONS {
        return Err(too_long(profile, instructions.len()));
    }
    Ok(Program { instructions, flags, listener })
}

fn default_action(profile: &Seccomp) -> Result<Action> {
    let action = Action::parse(&profile.default_action, profile.default_errno_ret);
    let action = action.context("linux.seccomp.defaultAction")?;
    if action == Action::NOTIFY {
        bail!("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action");
    }
    Ok(action)
}

/// The listener of a profile. Its path counts only where a rule needs it.
pub fn listener(profile: &Seccomp) -> Result<Option<Listener>> {
    let path = profile.listener_path.clone().filter(|path| !path.as_os_str().is_empty());
    let metadata = profile.listener_metadata.clone().filter(|metadata| !metadata.is_empty());
    ensure!(
        path.is_some() || metadata.is_none(),
        "linux.seccomp.listenerMetadata: there is no linux.seccomp.listenerPath to send it to"
    );
    let notifies = |rule: &Syscall| rule.action == "SCMP_ACT_NOTIFY";
    let holds_init = |rule: &Syscall| rule.names.iter().any(|name| CALLED_BY_INIT.contains(&name.as_str()));
    let first = |wanted: &dyn Fn(&Syscall) -> bool| profile.syscalls.iter().position(wanted);
    let rule = first(&|rule| notifies(rule) && holds_init(rule)).or_else(|| first(&|rule| notifies(rule)));
    let Some(rule) = rule else { return Ok(None) };
    let path = path.with_context(|| {
        format!("linux.seccomp.listenerPath: missing, and linux.seccomp.syscalls[{rule}] has SCMP_ACT_NOTIFY")
    })?;
    Ok(Some(Listener { path, metadata, rule }))
}

/// Says which call's conditions make a program too long: without conditions no profile gets that far.
fn too_long(profile: &Seccomp, length: usize) -> anyhow::Error {
    let mut conditions: HashMap<&str, (usize, usize)> = HashMap::new();
    for (index, rule) in profile.syscalls.iter().enumerate() {
        for name in &rule.names {
            let (count, last) = conditions.entry(name).or_default();
            (*count, *last) = (*count + rule.args.len(), index);
        }
    }
    let most = conditions.iter().max_by_key(|(name, (count, _))| (*count, **name));
    let (name, (count, last)) = most.map_or(("", (0, 0)), |(name, (count, last))| (*name, (*count, *last)));
    anyhow::anyhow!(
        "linux.seccomp.syscalls: the filter has {length} instructions and the kernel takes {MOST_INSTRUCTIONS}; \
         {name:?} has the most conditions, {count}, the last of them in linux.seccomp.syscalls[{last}]"
    )
}
