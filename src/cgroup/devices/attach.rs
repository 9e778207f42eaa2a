//! Loading a device program and attaching it to a group.

use std::os::fd::AsFd;

use anyhow::Result;
use rustix::io::Errno;

use super::program::Program;
use crate::cgroup::Group;
use crate::error::Attempt;
use crate::sys::bpf;

impl Group {
    /// Attaches the program, beside those that others may have attached; access needs the consent of all.
    ///
    /// It can be done once for a container, when it is made: `update` must leave devices alone, since device plugins put
    /// programs of their own beside this one later. The kernel wants CAP_BPF and CAP_NET_ADMIN in the initial user
    /// namespace (EPERM); in another one no device can be made, and a host's nodes are there only if they were bound.
    pub fn restrict_devices(&self, program: &Program) -> Result<()> {
        if program.allows_everything() {
            return Ok(());
        }
        let group = self.open()?;
        let loaded = load(program)?;
        bpf::attach_device_program(group.as_fd(), loaded.as_fd())
            .attempt(|| format!("attach the device program to cgroup {:?}", self.path()))
    }
}

fn load(program: &Program) -> Result<std::os::fd::OwnedFd> {
    bpf::load_device_program(program.instructions(), &mut []).or_else(|error| {
        let count = program.instructions().len();
        if error == Errno::PERM {
            return Err(error).attempt(|| format!("load the device program ({count} instructions)"));
        }
        // The verifier refused it: its last words say why. That they do not fit into the log is no matter.
        let mut log = vec![0; 64 * 1024];
        let _ = bpf::load_device_program(program.instructions(), &mut log);
        Err(error).attempt(|| format!("load the device program ({count} instructions; {})", last_line(&log)))
    })
}

fn last_line(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default());
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("without a word of the verifier").to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::super::rule::{Access, Kind, Rule, rules};
    use super::*;
    use crate::cgroup::scratch::Scratch;

    const DENY_ALL: &str = r#"{"allow":false,"access":"rwm"}"#;

    fn restricted(scratch: &Scratch, name: &str, given: &str) -> Group {
        let group = Group::create(&scratch.hierarchy, &scratch.below(name)).unwrap();
        let rules = rules(&serde_json::from_str::<Vec<_>>(given).unwrap()).unwrap();
        group.restrict_devices(&Program::new(&rules)).unwrap();
        group
    }

    /// Runs a line of shell in the group; what it wrote to stderr if it failed.
    fn sh(group: &Group, line: &str) -> Result<(), String> {
        let procs = group.path().join("cgroup.procs");
        let script = format!("echo $$ > {} && {line}", procs.display());
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    fn assert_refused(group: &Group, line: &str) {
        let refusal = sh(group, line).expect_err(line);
        assert!(refusal.contains("Operation not permitted"), "{line}: {refusal}");
    }

    #[test]
    fn what_is_not_allowed_is_refused_and_the_common_devices_are_not() {
        let Some(scratch) = Scratch::new() else { return };
        let group = restricted(&scratch, "deny", &format!("[{DENY_ALL}]"));
        for device in ["null", "zero", "full", "random", "urandom"] {
            assert_eq!(sh(&group, &format!("exec 3<>/dev/{device}")), Ok(()), "{device}");
        }
        assert_eq!(sh(&group, "head -c 100000 /dev/zero > /dev/null"), Ok(()));
        assert_refused(&group, "exec 3</dev/kmsg");
        assert_refused(&group, "exec 3>/dev/kmsg");
        // Any node may be made, but using it is another matter.
        let node = std::env::temp_dir().join(format!("corten-test-{}-kmsg", std::process::id()));
        let made = sh(&group, &format!("mknod {} c 1 11", node.display()));
        let opened = sh(&group, &format!("exec 3<{}", node.display()));
        std::fs::remove_file(&node).unwrap();
        assert_eq!(made, Ok(()));
        assert!(opened.is_err_and(|error| error.contains("Operation not permitted")));
    }

    #[test]
    fn an_allow_list_allows_what_it_says_and_no_more() {
        let Some(scratch) = Scratch::new() else { return };
        let kmsg = r#"{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}"#;
        let group = restricted(&scratch, "read", &format!("[{DENY_ALL},{kmsg}]"));
        assert_eq!(sh(&group, "exec 3</dev/kmsg"), Ok(()));
        assert_refused(&group, "exec 3>/dev/kmsg");
        assert_refused(&group, "exec 3<>/dev/kmsg");

        let both = r#"{"allow":true,"type":"c","major":1,"minor":11,"access":"w"}"#;
        let group = restricted(&scratch, "both", &format!("[{DENY_ALL},{kmsg},{both}]"));
        assert_eq!(sh(&group, "exec 3<>/dev/kmsg"), Ok(()));

        let wildcard = r#"{"allow":true,"type":"c","major":1,"access":"rwm"}"#;
        let group = restricted(&scratch, "wildcard", &format!("[{DENY_ALL},{wildcard}]"));
        assert_eq!(sh(&group, "exec 3<>/dev/kmsg"), Ok(()));
        let block = wildcard.replace("\"c\"", "\"b\"");
        let group = restricted(&scratch, "block", &format!("[{DENY_ALL},{block}]"));
        assert_refused(&group, "exec 3</dev/kmsg");
    }

    #[test]
    fn a_deny_list_denies_what_it_says_and_no_more() {
        let Some(scratch) = Scratch::new() else { return };
        let all = r#"{"allow":true,"type":"a","access":"rwm"}"#;
        let kmsg = r#"{"allow":false,"type":"c","major":1,"minor":11,"access":"w"}"#;
        let group = restricted(&scratch, "deny", &format!("[{all},{kmsg}]"));
        assert_eq!(sh(&group, "exec 3</dev/kmsg"), Ok(()));
        assert_refused(&group, "exec 3>/dev/kmsg");
        let group = restricted(&scratch, "overruled", &format!("[{all},{kmsg},{all}]"));
        assert_eq!(sh(&group, "exec 3<>/dev/kmsg"), Ok(()));
    }

    #[test]
    fn making_a_node_can_be_denied() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("bare")).unwrap();
        let zero =
            Rule { allow: true, kind: Some(Kind::Character), major: Some(1), minor: Some(5), access: Access::READ };
        group.restrict_devices(&Program::new(&[zero])).unwrap();
        assert_eq!(sh(&group, "head -c 100 /dev/zero"), Ok(()));
        assert_refused(&group, "mknod /tmp/corten-test-never c 1 5");
        assert!(!Path::new("/tmp/corten-test-never").exists());
    }

    #[test]
    fn programs_of_others_stay() {
        let Some(scratch) = Scratch::new() else { return };
        let everything = Rule { allow: true, kind: None, major: None, minor: None, access: Access::all() };
        let not_zero = Rule { allow: false, major: Some(1), minor: Some(5), ..everything };
        let group = Group::create(&scratch.hierarchy, &scratch.below("both")).unwrap();
        group.restrict_devices(&Program::new(&[everything, not_zero])).unwrap();
        let ours = rules(&serde_json::from_str::<Vec<_>>(&format!("[{DENY_ALL}]")).unwrap()).unwrap();
        group.restrict_devices(&Program::new(&ours)).unwrap();
        assert_refused(&group, "exec 3</dev/zero");
        assert_refused(&group, "exec 3</dev/kmsg");
        assert_eq!(sh(&group, "exec 3</dev/null"), Ok(()));
    }

    #[test]
    fn the_kernel_takes_far_more_rules_than_anyone_has() {
        let Some(scratch) = Scratch::new() else { return };
        let rule = |index: u32| Rule {
            allow: index.is_multiple_of(2),
            kind: [None, Some(Kind::Block), Some(Kind::Character)][index as usize % 3],
            major: (!index.is_multiple_of(5)).then_some(index),
            minor: (!index.is_multiple_of(7)).then_some(1),
            access: Access::from_bits_truncate((index % 7 + 1) as u8),
        };
        let group = Group::create(&scratch.hierarchy, &scratch.below("many")).unwrap();
        let many: Vec<Rule> = (0..2000).map(rule).chain(super::super::ALWAYS_ALLOWED).collect();
        group.restrict_devices(&Program::new(&many)).unwrap();
        assert_eq!(sh(&group, "exec 3</dev/null"), Ok(()));
    }

    #[test]
    fn what_the_verifier_refuses_is_told_in_its_words() {
        let mut log = vec![0; 4096];
        assert!(bpf::load_device_program(&Program::new(&[]).instructions()[..2], &mut log).is_err());
        assert!(last_line(&log).len() > 5, "{}", last_line(&log));
    }
}
