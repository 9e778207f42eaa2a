//! `--device`, `--device-read-bps` and its siblings.

use anyhow::{Context, Result, ensure};

use crate::engine::record::{Device, Throttle};

fn is_mode(text: &str) -> bool {
    !text.is_empty() && text.len() <= 3 && text.chars().all(|letter| "rwm".contains(letter))
}

/// `HOST[:CONTAINER][:rwm]`.
pub fn device(text: &str) -> Result<Device> {
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, mode) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, mode] if is_mode(mode) => (host, host, mode),
        [host, container] => (host, container, "rwm"),
        [host, container, mode] if is_mode(mode) => (host, container, mode),
        _ => anyhow::bail!("invalid device specification: {text}"),
    };
    ensure!(
        host.starts_with('/') && container.starts_with('/'),
        "invalid device specification: {text}: paths are absolute"
    );
    Ok(Device { path_on_host: host.into(), path_in_container: container.into(), cgroup_permissions: mode.into() })
}

/// `PATH:RATE`, the rate in bytes or in operations a second.
pub fn throttle(text: &str, rate: impl Fn(&str) -> Result<u64>) -> Result<Throttle> {
    let (path, number) = text.rsplit_once(':').with_context(|| format!("bad format: {text}"))?;
    ensure!(path.starts_with("/dev/"), "bad format for device path: {text}");
    let rate = rate(number).with_context(|| format!("invalid rate for device: {text}"))?;
    Ok(Throttle { path: path.into(), rate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        let show =
            |text| device(text).map(|one| [one.path_on_host, one.path_in_container, one.cgroup_permissions].join(" "));
        assert_eq!(show("/dev/a").unwrap(), "/dev/a /dev/a rwm");
        assert_eq!(show("/dev/a:r").unwrap(), "/dev/a /dev/a r");
        assert_eq!(show("/dev/a:/dev/b").unwrap(), "/dev/a /dev/b rwm");
        assert_eq!(show("/dev/a:/dev/b:rw").unwrap(), "/dev/a /dev/b rw");
        for text in ["a", "/dev/a:/dev/b:x", "/dev/a:b", "/a:/b:/c:rw"] {
            assert!(device(text).is_err(), "{text}");
        }
        assert_eq!(throttle("/dev/sda:1m", crate::engine::options::bytes).unwrap().rate, 1 << 20);
        assert!(throttle("sda:1m", crate::engine::options::bytes).is_err());
    }
}
