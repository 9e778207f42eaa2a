//! Who makes and keeps the groups.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;

/// Who makes a container's group and writes its limits (`--cgroup-manager`, `--systemd-cgroup`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// The runtime itself, through the files of cgroup2.
    #[default]
    Cgroupfs,
    /// systemd, asked over D-Bus for a scope or slice.
    Systemd,
    /// Nobody: the container stays in the caller's group.
    Disabled,
}

impl Manager {
    /// Every manager by the name it has on the command line.
    pub const NAMES: [(&'static str, Manager); 3] =
        [("cgroupfs", Manager::Cgroupfs), ("systemd", Manager::Systemd), ("disabled", Manager::Disabled)];
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Manager::Cgroupfs => "cgroupfs",
            Manager::Systemd => "systemd",
            Manager::Disabled => "disabled",
        })
    }
}

impl FromStr for Manager {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Manager> {
        match Manager::NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, manager)) => Ok(*manager),
            None => bail!("unknown cgroup manager {name:?}: it is one of cgroupfs, systemd, disabled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for (name, manager) in Manager::NAMES {
            assert_eq!(name.parse::<Manager>().unwrap(), manager);
            assert_eq!(manager.to_string(), name);
        }
        let error = "cgroups".parse::<Manager>().unwrap_err();
        assert!(error.to_string().contains("\"cgroups\""), "{error}");
    }
}
