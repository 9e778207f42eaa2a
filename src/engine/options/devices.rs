//! `--device`, `--gpus`, `--device-read-bps` and its siblings, `--blkio-weight-device`.

use anyhow::{Context, Result, ensure};

use crate::engine::record::{Device, DeviceRequest, Throttle, Weight};

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

/// `--gpus`: `all`, a number, or `count=`, `device=`, `driver=`, `capabilities=` and `options=` with commas between them. What has commas
/// itself is in quotes.
pub fn gpus(text: &str) -> Result<DeviceRequest> {
    let mut request = DeviceRequest { capabilities: vec![vec!["gpu".into()]], ..DeviceRequest::default() };
    let wrong = || format!("invalid argument {text:?} for \"--gpus\"");
    let list = |value: &str| value.split(',').map(str::to_owned).collect::<Vec<_>>();
    let mut has_count = false;
    for field in fields(text).with_context(wrong)? {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        match key {
            "count" => {
                let count = if value == "all" { Some(-1) } else { value.parse().ok().filter(|count| *count >= -1) };
                request.count = count.with_context(|| format!("{}: the count is a number or all", wrong()))?;
                has_count = true;
            }
            "device" => request.device_ids = list(value),
            "driver" => request.driver = value.into(),
            "capabilities" => request.capabilities = vec![[vec!["gpu".into()], list(value)].concat()],
            "options" => {
                let pair = |option: String| crate::engine::options::pair(&option);
                request.options = list(value).into_iter().map(pair).collect();
            }
            _ => anyhow::bail!("{}: unexpected key {key:?}", wrong()),
        }
    }
    ensure!(!has_count || request.device_ids.is_empty(), "{}: cannot set both count and device", wrong());
    if !has_count && request.device_ids.is_empty() {
        request.count = 1;
    }
    Ok(request)
}

/// Fields with commas between them, each or its value in quotes (RFC 4180); none where a quote has no end.
pub(super) fn fields(text: &str) -> Option<Vec<String>> {
    let (mut all, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => all.push(std::mem::take(&mut field)),
            _ => field.push(letter),
        }
    }
    all.push(field);
    (!is_quoted && all.iter().all(|field| !field.is_empty())).then_some(all)
}

/// `PATH:RATE`, the rate in bytes or in operations a second.
pub fn throttle(text: &str, rate: impl Fn(&str) -> Result<u64>) -> Result<Throttle> {
    let (path, number) = of_device(text)?;
    let rate = rate(number).with_context(|| format!("invalid rate for device: {text}"))?;
    Ok(Throttle { path: path.into(), rate })
}

/// `PATH:WEIGHT`; 0 is none.
pub fn weight(text: &str) -> Result<Weight> {
    let (path, number) = of_device(text)?;
    let weight = number.parse().ok().filter(|weight| *weight == 0 || (10..=1000).contains(weight));
    Ok(Weight { path: path.into(), weight: weight.with_context(|| format!("invalid weight for device: {text}"))? })
}

fn of_device(text: &str) -> Result<(&str, &str)> {
    let (path, number) = text.rsplit_once(':').with_context(|| format!("bad format: {text}"))?;
    ensure!(path.starts_with("/dev/"), "bad format for device path: {text}");
    Ok((path, number))
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
        assert_eq!(weight("/dev/sda:10").unwrap(), Weight { path: "/dev/sda".into(), weight: 10 });
        for text in ["/dev/sda", "sda:10", "/dev/sda:9", "/dev/sda:1001", "/dev/sda:x"] {
            assert!(weight(text).is_err(), "{text}");
        }
    }

    #[test]
    fn gpus_are_counted_or_named() {
        let show = |text| gpus(text).map(|one| format!("{} {} {:?}", one.driver, one.count, one.device_ids));
        assert_eq!(show("all").unwrap(), " -1 []");
        assert_eq!(show("2").unwrap(), " 2 []");
        assert_eq!(show("driver=amd").unwrap(), "amd 1 []");
        assert_eq!(show("device=0").unwrap(), " 0 [\"0\"]");
        assert_eq!(show("\"device=0,GPU-1\",driver=nvidia").unwrap(), "nvidia 0 [\"0\", \"GPU-1\"]");
        assert_eq!(gpus("all,\"capabilities=utility,compute\"").unwrap().capabilities, [["gpu", "utility", "compute"]]);
        for text in ["", "some", "-2", "count=1,device=0", "nonsense=1", "\"device=0", "all,"] {
            assert!(gpus(text).unwrap_err().to_string().contains("--gpus"), "{text}");
        }
    }
}
