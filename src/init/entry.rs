//! On the way in: namespaces, ids, what is inherited from the caller.

use std::convert::Infallible;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::{Gid, Rlimit, Uid, setrlimit};
use rustix::thread::{
    CpuSet, sched_setaffinity, set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::{Fault, Init, Outcome};
use crate::error::Refusal;
use crate::launch::protocol::{ToInit, ToParent};
use crate::plan::ResourceLimit;
use crate::plan::namespaces::IdMaps;
use crate::plan::step::Step;
use crate::sys::clone::{self, CloneFlags};
use crate::sys::execute::exit_now;

impl Init<'_> {
    /// Clones init with what this process has, tells the parent its pid, and ends.
    pub(super) fn clone_init(self, flags: CloneFlags, step: &Step, index: usize, of: usize) -> Infallible {
        let mut holder = Some(self);
        let child = clone::process(flags, None, || match holder.take() {
            Some(init) => init.run_steps(),
            None => exit_now(1),
        });
        let Some(init) = holder else { return exit_now(1) };
        match child {
            Ok(child) => {
                let _ = init.channel.send(&ToParent::InitPid(child.pid.as_raw_nonzero().get()));
                exit_now(0)
            }
            Err(error) => init.fail(step, index, of, error.into()),
        }
    }

    /// An ordinary user can't lower the score; the container is as likely to be killed as its caller then.
    pub(super) fn oom_score(&mut self, score: i32) -> Outcome {
        match std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
            Ok(()) => Ok(()),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::ACCESS | Errno::PERM) => Ok(()),
                other => Err(other.unwrap_or(Errno::IO).into()),
            },
        }
    }

    pub(super) fn join(&mut self, namespaces: CloneFlags, slot: usize, may_fail: bool) -> Outcome {
        let descriptor = self.slots.get(slot).and_then(Option::as_ref).ok_or(Fault::from(Errno::BADF))?;
        match clone::join(descriptor.as_fd(), namespaces) {
            Ok(()) => Ok(()),
            Err(Errno::PERM) if may_fail => {
                self.refused.push((slot, namespaces));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn join_refused(&mut self) -> Outcome {
        for (slot, namespaces) in std::mem::take(&mut self.refused) {
            self.join(namespaces, slot, false)?;
        }
        Ok(())
    }

    pub(super) fn await_id_maps(&mut self, is_init: bool) -> Outcome {
        if !is_init {
            self.channel.send(&ToParent::MapMe)?;
        }
        Ok(self.channel.expect(ToInit::IdsMapped)?)
    }

    pub(super) fn become_root(&mut self) -> Outcome {
        set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
        Ok(set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?)
    }

    pub(super) fn time_offsets(&mut self, offsets: &str) -> Outcome {
        std::fs::write("/proc/self/timens_offsets", offsets)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO).into())
    }
}

/// A configuration may say the maps of a user namespace that it joins; then they must be the ones that it has.
pub(super) fn check_id_maps(maps: &IdMaps) -> Outcome {
    for (file, field, wanted) in [("uid_map", "uidMappings", &maps.uids), ("gid_map", "gidMappings", &maps.gids)] {
        let text = std::fs::read_to_string(format!("/proc/self/{file}"))
            .map_err(|error| Fault::from(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        let number = |field: Option<&str>| field.and_then(|text| text.parse::<u32>().ok());
        let lines = text.lines().map(|line| {
            let mut fields = line.split_whitespace();
            (number(fields.next()), number(fields.next()), number(fields.next()))
        });
        let asked = wanted.iter().map(|map| (Some(map.container_id), Some(map.host_id), Some(map.size)));
        if !lines.eq(asked) {
            let sentence =
                format!("linux.{field}: differs from the maps of the user namespace that is joined; leave it out");
            return Err(Fault::new(Errno::INVAL, sentence));
        }
    }
    Ok(())
}

/// sched_setaffinity(2); an empty list is all CPUs, of which the kernel takes those that the cgroup allows: what the runtime was
/// limited to does not hold for the container.
pub(super) fn affinity(cpus: &[usize]) -> Outcome {
    let mut set = CpuSet::new();
    if cpus.is_empty() {
        (0..CpuSet::MAX_CPU).for_each(|cpu| set.set(cpu));
        // Not asked for by anybody: a caller that may not do it goes on.
        let _ = sched_setaffinity(None, &set);
        return Ok(());
    }
    for cpu in cpus {
        if *cpu >= CpuSet::MAX_CPU {
            return Err(Errno::INVAL.into());
        }
        set.set(*cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// setrlimit(2), as root of the container: the user may have no right to what root is allowed.
pub(super) fn limits(limits: &[ResourceLimit]) -> Outcome {
    for limit in limits {
        let number = |value: u64| (value != u64::MAX).then_some(value);
        let new = Rlimit { current: number(limit.soft), maximum: number(limit.hard) };
        setrlimit(limit.resource, new).map_err(|error| {
            let (name, refusal) = (&limit.name, Refusal(error));
            let place = format!("process.rlimits[{}]: set {name} to {} (hard {})", limit.index, limit.soft, limit.hard);
            Fault::new(error, format!("{place}: {refusal}"))
        })?;
    }
    Ok(())
}

/// setgroups(2), also of none: the caller's groups stay outside.
pub(super) fn groups(gids: &[u32], may_fail: bool) -> Outcome {
    let groups: Vec<Gid> = gids.iter().map(|gid| Gid::from_raw(*gid)).collect();
    match set_thread_groups(&groups) {
        // user_namespaces(7): denied where an ordinary user mapped a group of its own.
        Err(Errno::PERM) if may_fail && gids.is_empty() => Ok(()),
        Err(Errno::PERM) if may_fail => Err(Fault::new(
            Errno::PERM,
            "process.user.additionalGids: groups can't be set in a user namespace made without newgidmap".to_owned(),
        )),
        Err(Errno::INVAL) => Err(Fault::new(
            Errno::INVAL,
            format!("process.user.additionalGids: {gids:?} are not all mapped in the user namespace"),
        )),
        result => Ok(result?),
    }
}

/// The permitted capabilities are kept, so that the last steps can choose among them.
pub(super) fn user(uid: u32, gid: u32) -> Outcome {
    set_keep_capabilities(true)?;
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_res_gid(group, group, group).map_err(|error| unmapped(error, "gid", gid))?;
    set_thread_res_uid(user, user, user).map_err(|error| unmapped(error, "uid", uid))
}

/// setresuid(2) says EINVAL of an id that the user namespace does not have.
fn unmapped(error: Errno, kind: &str, id: u32) -> Fault {
    if error == Errno::INVAL {
        return Fault::new(error, format!("process.user.{kind}: {id} is not mapped in the user namespace"));
    }
    error.into()
}
