//! `linux.sysctl`: only what belongs to a namespace of the container's own may be written.

use anyhow::{Result, bail};

use super::namespaces::{Kind, Wanted};
use super::step::{Step, c_string};
use crate::spec::Linux;

/// Of the IPC namespace, beside all of `fs.mqueue`.
const IPC: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// The steps for all of `linux.sysctl`.
pub fn sysctl(linux: &Linux, wanted: &Wanted) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (name, value) in &linux.sysctl {
        let at = format!("linux.sysctl[{name:?}]");
        let path = path(name);
        let parts: Vec<&str> = path.split('/').collect();
        if parts.iter().any(|part| matches!(*part, "" | "." | "..")) || name.contains('\0') || value.contains('\0') {
            bail!("{at}: is not the name and value of a kernel parameter");
        }
        owner(&parts, wanted).map_err(|reason| anyhow::anyhow!("{at}: {reason}"))?;
        steps.push(Step::Sysctl { name: name.clone(), path: c_string(&format!("sys/{path}")), value: c_string(value) });
    }
    Ok(steps)
}

/// sysctl(8): whichever of `.` and `/` comes first separates; the other is part of a name (`net.ipv4.conf.eth0/1.forwarding`).
fn path(name: &str) -> String {
    let dotted = match (name.find('.'), name.find('/')) {
        (Some(dot), Some(slash)) => dot < slash,
        (dot, _) => dot.is_some(),
    };
    if !dotted {
        return name.to_owned();
    }
    name.chars()
        .map(|letter| match letter {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect()
}

/// Why a parameter may not be written, if so.
fn owner(parts: &[&str], wanted: &Wanted) -> std::result::Result<(), String> {
    let needs = |kind: Kind| {
        if wanted.is_apart(kind) {
            Ok(())
        } else {
            Err(format!("belongs to the host; the container needs its own {} namespace", kind.name()))
        }
    };
    match parts {
        ["kernel", name] if IPC.contains(name) => needs(Kind::Ipc),
        ["fs", "mqueue", ..] => needs(Kind::Ipc),
        ["net", ..] => needs(Kind::Network),
        ["kernel", "domainname"] => needs(Kind::Uts),
        ["kernel", "hostname"] => Err("use the field hostname".to_owned()),
        ["user", ..] => needs(Kind::User),
        _ => Err("is not a parameter of any namespace; it would change the host".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Namespace;

    fn plan(name: &str, namespaces: &[&str]) -> std::result::Result<String, String> {
        let namespaces =
            namespaces.iter().map(|kind| Namespace { kind: (*kind).into(), path: String::new() }).collect();
        let sysctl_map = [(name.to_owned(), "1".to_owned())].into();
        let linux = Linux { namespaces, sysctl: sysctl_map, ..Linux::default() };
        let wanted = Wanted::new(&linux).unwrap();
        match sysctl(&linux, &wanted) {
            Ok(steps) => match &steps[0] {
                Step::Sysctl { path, .. } => Ok(path.to_str().unwrap().to_owned()),
                other => panic!("{other}"),
            },
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn both_separators_are_understood() {
        let path = "sys/net/ipv4/conf/eth0.1/forwarding";
        assert_eq!(plan("net.ipv4.conf.eth0/1.forwarding", &["network"]).unwrap(), path);
        assert_eq!(plan("net/ipv4/conf/eth0.1/forwarding", &["network"]).unwrap(), path);
    }

    #[test]
    fn what_belongs_to_the_host_is_refused() {
        assert!(plan("net.ipv4.ip_forward", &["ipc"]).unwrap_err().contains("network namespace"));
        assert!(plan("kernel.shmmax", &["network"]).unwrap_err().contains("ipc namespace"));
        assert!(plan("kernel.core_pattern", &["ipc", "network", "uts"]).unwrap_err().contains("change the host"));
        assert!(plan("net.../../kernel/core_pattern", &["network"]).unwrap_err().contains("is not the name"));
        assert!(plan("kernel.hostname", &["uts"]).unwrap_err().contains("hostname"));
    }
}
