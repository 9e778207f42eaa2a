//! `process`: from the container's namespaces to the program, for `create` and for `exec` alike.

use std::collections::HashMap;
use std::ffi::{CStr, CString};

use anyhow::{Context, Result, bail};
use rustix::process::Resource;

use super::identity;
use super::step::{Destination, Step, c_string};
use super::{Host, Program, ResourceLimit, Start};
use crate::spec::process::Scheduler;
use crate::spec::{Hook, Linux, Process};
use crate::sys::priority::Scheduling;

/// What `process` asks for beyond its fields.
pub struct Asked<'a> {
    /// The fields.
    pub process: &'a Process,
    /// Of the container: personality and memory policy hold for every process in it.
    pub linux: &'a Linux,
    /// `startContainer` hooks; none for exec.
    pub hooks: &'a [Hook],
    /// Annotation `run.oci.keep_original_groups`.
    pub keep_groups: bool,
    /// What [`super::landlock`] makes of the annotations.
    pub landlock: Option<Step>,
    /// Whether there is a seccomp program to load, and whether somebody listens to it.
    pub filter: Option<Filter>,
    /// What is waited for before the program runs.
    pub start: Start,
    /// Whether the parent sets the resource limits: in a user namespace raising one takes a right of the outside.
    pub limited_by_parent: bool,
}

/// When a filter is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// It decides alone.
    Alone,
    /// Its listener must be handed over while the parent is there.
    WithListener,
}

/// The steps before `Ready` that set attributes which outlive the change of user.
pub fn attributes(asked: &Asked<'_>) -> Result<Vec<Step>> {
    let process = asked.process;
    let mut steps = Vec::new();
    if process.no_new_privileges {
        steps.push(Step::NoNewPrivileges);
    }
    if let Some(scheduler) = &process.scheduler {
        steps.push(Step::Scheduler(scheduling(scheduler)?));
    }
    if let Some(io) = &process.io_priority {
        let class = match io.class.as_str() {
            "IOPRIO_CLASS_RT" => 1,
            "IOPRIO_CLASS_BE" => 2,
            "IOPRIO_CLASS_IDLE" => 3,
            other => bail!("process.ioPriority.class: {other:?} is not an I/O scheduling class"),
        };
        steps.push(Step::IoPriority { class, level: io.priority as u16 });
    }
    if let Some(personality) = &asked.linux.personality {
        let domain = match personality.domain.as_str() {
            "LINUX" => 0,
            "LINUX32" => 8,
            other => bail!("linux.personality.domain: {other:?} is not LINUX or LINUX32"),
        };
        if let Some(flag) = personality.flags.first() {
            bail!("linux.personality.flags: {flag:?} is not known; the specification defines none");
        }
        steps.push(Step::Personality(domain));
    }
    if let Some(policy) = &asked.linux.memory_policy {
        steps.push(super::memory_policy::memory_policy(policy)?);
    }
    Ok(steps)
}

/// The last steps: labels, directory, identity, filter, start, program.
pub fn finish(asked: &Asked<'_>, host: &Host, warnings: &mut Vec<String>) -> Result<Vec<Step>> {
    let process = asked.process;
    let mut steps = labels(process);
    steps.push(Step::OwnStdio { uid: process.user.uid, has_terminal: process.terminal });
    let directory = c_string(&process.cwd);
    steps.push(Step::ChangeDirectory { path: directory.clone(), may_fail: true });
    let identity = identity::identity(process, host, asked.keep_groups, warnings)?;
    if !asked.limited_by_parent {
        let limits = limits(process)?;
        steps.extend((!limits.is_empty()).then_some(Step::Limits(limits)));
    }
    steps.extend(identity.become_user);
    let early_filter = asked.filter.is_some_and(|filter| !process.no_new_privileges || filter == Filter::WithListener);
    // Either takes no_new_privs or CAP_SYS_ADMIN.
    let needs_right = early_filter || asked.landlock.is_some() && !process.no_new_privileges;
    let first_set = if needs_right { identity::with_sys_admin(identity.capabilities) } else { identity.capabilities };
    steps.push(Step::Capabilities(first_set));
    steps.push(Step::ChangeDirectory { path: directory, may_fail: false });
    steps.push(Step::Home { uid: process.user.uid });
    let has_program = !process.args.is_empty();
    steps.extend(has_program.then_some(Step::FindProgram));
    // When nothing but the program is opened any more.
    steps.extend(asked.landlock.clone());
    steps.extend(early_filter.then_some(Step::Seccomp));
    if first_set != identity.capabilities {
        steps.push(Step::Capabilities(identity.capabilities));
    }
    steps.push(Step::Ready);
    if let Start::Gate { gate, report } = asked.start {
        steps.push(Step::AwaitStart { gate, report });
    }
    if !has_program {
        steps.push(Step::NoProgram);
        return Ok(steps);
    }
    if asked.filter.is_some() && !early_filter {
        steps.push(Step::Seccomp);
    }
    if !asked.hooks.is_empty() {
        steps.push(Step::StartContainerHooks(asked.hooks.to_vec()));
    }
    steps.push(Step::Execute);
    Ok(steps)
}

fn labels(process: &Process) -> Vec<Step> {
    let mut steps = Vec::new();
    if !process.apparmor_profile.is_empty() {
        steps.push(Step::Label {
            field: "process.apparmorProfile",
            attribute: c"thread-self/attr/apparmor/exec".into(),
            or_attribute: Some(c"thread-self/attr/exec".into()),
            value: c_string(&format!("exec {}", process.apparmor_profile)),
        });
    }
    steps.extend(selinux_label(process, c"thread-self/attr/exec"));
    steps
}

/// The label of the keyring that is made next (selinux(8), `keycreate`): a process may use its keyring only if the policy lets its
/// label. execve(2) resets the attribute.
pub fn keyring_label(process: &Process) -> Option<Step> {
    selinux_label(process, c"thread-self/attr/keycreate")
}

fn selinux_label(process: &Process, attribute: &CStr) -> Option<Step> {
    let value = c_string(&process.selinux_label);
    let label = Step::Label { field: "process.selinuxLabel", attribute: attribute.into(), or_attribute: None, value };
    (!process.selinux_label.is_empty()).then_some(label)
}

/// Makes `HOME` and `PATH` ready: the last of a name wins, the order of first mention is kept.
pub fn program(process: &Process) -> Program {
    let mut environment: Vec<(&str, &str)> = Vec::with_capacity(process.env.len());
    let mut places: HashMap<&str, usize> = HashMap::new();
    for variable in &process.env {
        let name = variable.split('=').next().unwrap_or_default();
        let place = *places.entry(name).or_insert(environment.len());
        match environment.get_mut(place) {
            Some(entry) => entry.1 = variable,
            None => environment.push((name, variable)),
        }
    }
    // An empty HOME is as good as none.
    environment.retain(|(name, variable)| *name != "HOME" || variable.len() > "HOME=".len());
    let path = environment
        .iter()
        .find(|(name, _)| *name == "PATH")
        .map(|(_, variable)| c_string(&variable["PATH=".len().min(variable.len())..]));
    Program {
        arguments: process.args.iter().map(|argument| c_string(argument)).collect(),
        needs_home: !environment.iter().any(|(name, _)| *name == "HOME"),
        environment: environment.into_iter().map(|(_, variable)| c_string(variable)).collect::<Vec<CString>>(),
        path,
    }
}

/// `process.rlimits` as prlimit(2) takes them.
pub fn limits(process: &Process) -> Result<Vec<ResourceLimit>> {
    let mut limits = Vec::new();
    for (index, limit) in process.rlimits.iter().enumerate() {
        let resource = match limit.kind.as_str() {
            "RLIMIT_AS" => Resource::As,
            "RLIMIT_CORE" => Resource::Core,
            "RLIMIT_CPU" => Resource::Cpu,
            "RLIMIT_DATA" => Resource::Data,
            "RLIMIT_FSIZE" => Resource::Fsize,
            "RLIMIT_LOCKS" => Resource::Locks,
            "RLIMIT_MEMLOCK" => Resource::Memlock,
            "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
            "RLIMIT_NICE" => Resource::Nice,
            "RLIMIT_NOFILE" => Resource::Nofile,
            "RLIMIT_NPROC" => Resource::Nproc,
            "RLIMIT_RSS" => Resource::Rss,
            "RLIMIT_RTPRIO" => Resource::Rtprio,
            "RLIMIT_RTTIME" => Resource::Rttime,
            "RLIMIT_SIGPENDING" => Resource::Sigpending,
            "RLIMIT_STACK" => Resource::Stack,
            other => bail!("process.rlimits[{index}].type: {other:?} is not a resource limit of Linux"),
        };
        limits.push(ResourceLimit { index, resource, name: limit.kind.clone(), soft: limit.soft, hard: limit.hard });
    }
    Ok(limits)
}

fn scheduling(scheduler: &Scheduler) -> Result<Scheduling> {
    let policy = match scheduler.policy.as_str() {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        other => bail!("process.scheduler.policy: {other:?} is not a scheduling policy"),
    };
    let mut flags = 0;
    for (index, flag) in scheduler.flags.iter().enumerate() {
        flags |= match flag.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => bail!("process.scheduler.flags[{index}]: {other:?} is not a scheduling flag"),
        };
    }
    if !(-20..=19).contains(&scheduler.nice) {
        bail!("process.scheduler.nice: {} is not within -20 to 19", scheduler.nice);
    }
    let priority = u32::try_from(scheduler.priority)
        .with_context(|| format!("process.scheduler.priority: {} is not a priority", scheduler.priority))?;
    Ok(Scheduling {
        size: 0,
        policy,
        flags,
        nice: scheduler.nice,
        priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    })
}

/// Where a working directory has to be made.
pub fn working_directory(process: &Process) -> Option<Step> {
    let destination = Destination::new(&process.cwd);
    (!destination.is_root()).then_some(Step::MakeWorkingDirectory(destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(strings: &[CString]) -> Vec<&str> {
        strings.iter().map(|string| string.to_str().unwrap()).collect()
    }

    #[test]
    fn the_last_of_a_name_wins_at_its_first_place() {
        let env = ["A=1", "PATH=/bin", "A=2", "HOME=", "B"].map(String::from).to_vec();
        let program = program(&Process { env, ..Process::default() });
        assert_eq!(texts(&program.environment), ["A=2", "PATH=/bin", "B"]);
        assert!(program.needs_home);
        assert_eq!(program.path.as_deref(), Some(c"/bin"));
    }

    /// What is written where, of the labels in some steps.
    fn written(steps: impl IntoIterator<Item = Step>) -> Vec<(String, String)> {
        let label = |step| match step {
            Step::Label { attribute, value, .. } => (attribute.into_string().unwrap(), value.into_string().unwrap()),
            other => panic!("{other}"),
        };
        steps.into_iter().map(label).collect()
    }

    #[test]
    fn labels_are_those_of_the_program_and_of_its_keyring() {
        const LABEL: &str = "system_u:system_r:container_t:s0:c1,c2";
        let process = Process { selinux_label: LABEL.into(), ..Process::default() };
        assert_eq!(written(labels(&process)), [("thread-self/attr/exec".into(), LABEL.into())]);
        assert_eq!(written(keyring_label(&process)), [("thread-self/attr/keycreate".into(), LABEL.into())]);
        let process = Process { apparmor_profile: "docker-default".into(), ..Process::default() };
        let expected = ("thread-self/attr/apparmor/exec".to_owned(), "exec docker-default".to_owned());
        assert_eq!(written(labels(&process)), [expected]);
        assert!(keyring_label(&process).is_none());
    }

    #[test]
    fn a_bare_path_without_value_is_survived() {
        let program = program(&Process { env: vec!["PATH".into(), "HOME=/x".into()], ..Process::default() });
        assert_eq!(program.path.as_deref(), Some(c""));
        assert!(!program.needs_home);
    }
}
