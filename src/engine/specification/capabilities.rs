//! `--cap-add`, `--cap-drop`, `--privileged`.

use anyhow::{Result, bail};

use crate::engine::record::HostConfig;
use crate::security::capabilities;

/// What every container has, docker's set.
pub(super) const DEFAULT: [&str; 14] = crate::image::bundle::CAPABILITIES;

/// The names of all that the engine can give.
fn all(permitted: u64) -> Vec<String> {
    let names = capabilities::NAMES.iter().enumerate().filter(|(number, _)| permitted & 1 << number != 0);
    names.map(|(_, name)| (*name).to_owned()).collect()
}

/// `net_admin`, `CAP_NET_ADMIN`: the full name; `ALL` is none.
fn full(name: &str) -> Result<Option<String>> {
    let upper = name.to_ascii_uppercase();
    if matches!(upper.as_str(), "ALL" | "CAP_ALL") {
        return Ok(None);
    }
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    if capabilities::bit(&full).is_none() {
        bail!("invalid capability: unknown capability: \"{full}\"");
    }
    Ok(Some(full))
}

/// Those of a container, of what the engine has itself. As docker has it: what is dropped by name is dropped, unless it is added by name.
pub(super) fn of(host: &HostConfig, permitted: u64) -> Result<Vec<String>> {
    if host.privileged {
        return Ok(all(permitted));
    }
    let read = |names: &[String]| names.iter().map(|name| full(name)).collect::<Result<Vec<_>>>();
    let (added, dropped) = (read(&host.cap_add)?, read(&host.cap_drop)?);
    let is_named = |list: &[Option<String>], name: &String| list.iter().flatten().any(|one| one == name);
    let base: Vec<String> = if added.contains(&None) {
        all(permitted).into_iter().filter(|name| !is_named(&dropped, name)).collect()
    } else if dropped.contains(&None) {
        Vec::new()
    } else {
        DEFAULT.iter().map(|name| (*name).to_owned()).filter(|name| !is_named(&dropped, name)).collect()
    };
    let further = added.into_iter().flatten().filter(|name| !base.contains(name)).collect::<Vec<_>>();
    Ok([base, further].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: u64 = (1 << 41) - 1;

    fn with(add: &[&str], drop: &[&str]) -> Result<Vec<String>> {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        of(&HostConfig { cap_add: list(add), cap_drop: list(drop), ..HostConfig::default() }, EVERY)
    }

    #[test]
    fn sets_are_those_of_docker() {
        assert_eq!(with(&[], &[]).unwrap(), DEFAULT);
        assert_eq!(with(&["net_admin"], &["all"]).unwrap(), ["CAP_NET_ADMIN"]);
        assert!(!with(&["ALL"], &["CAP_SYS_ADMIN"]).unwrap().contains(&"CAP_SYS_ADMIN".to_owned()));
        assert_eq!(with(&[], &["mknod"]).unwrap().len(), 13);
        assert!(with(&["nonsense"], &[]).is_err());
        let privileged = of(&HostConfig { privileged: true, ..HostConfig::default() }, 0b111).unwrap();
        assert_eq!(privileged, capabilities::NAMES[..3]);
    }
}
