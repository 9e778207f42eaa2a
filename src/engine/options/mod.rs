//! The values of docker's flags: text in, records out. Pure functions, each with the sentence that refuses.

pub mod devices;
pub mod environment;
pub mod mounts;
pub mod networks;
pub mod ports;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::record::{LogConfig, RestartPolicy, Ulimit};

/// `64m`, `1.5g`, `1024`: bytes in powers of 1024, as docker reads them.
pub fn bytes(text: &str) -> Result<u64> {
    let wrong = || format!("invalid size: '{text}'");
    let trimmed = text.trim();
    let split = trimmed.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let number: f64 = number.parse().ok().with_context(wrong)?;
    let power = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => bail!("{}", wrong()),
    };
    let bytes = number * 1024f64.powi(power);
    ensure!(bytes < i64::MAX as f64, "{}", wrong());
    Ok(bytes as u64)
}

/// As [`bytes`], with -1 for "without limit".
pub fn signed_bytes(text: &str) -> Result<i64> {
    if text == "-1" { Ok(-1) } else { bytes(text).map(|bytes| bytes as i64) }
}

/// `1.5` processors as billionths of one.
pub fn cpus(text: &str) -> Result<i64> {
    let number: f64 = text.parse().ok().with_context(|| format!("invalid number of CPUs: {text:?}"))?;
    ensure!((0.0..1e6).contains(&number), "invalid number of CPUs: {text:?}");
    Ok((number * 1e9).round() as i64)
}

/// Go's durations: `1h2m3.5s`, `500ms`; nanoseconds.
pub fn duration(text: &str) -> Result<u64> {
    let wrong = || format!("invalid duration {text:?}");
    let mut left = text;
    let mut total = 0f64;
    ensure!(!left.is_empty(), "{}", wrong());
    if left == "0" {
        return Ok(0);
    }
    while !left.is_empty() {
        let digits = left.find(|letter: char| !letter.is_ascii_digit() && letter != '.').with_context(wrong)?;
        let number: f64 = left[..digits].parse().ok().with_context(wrong)?;
        left = &left[digits..];
        let length = left.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(left.len());
        let unit = match &left[..length] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            _ => bail!("{}", wrong()),
        };
        total += number * unit;
        left = &left[length..];
    }
    Ok(total as u64)
}

/// A time as `--since` takes it: RFC 3339, seconds since 1970 with a fraction, or how long ago.
pub fn time(text: &str, now: std::time::SystemTime) -> Result<std::time::SystemTime> {
    let start = std::time::SystemTime::UNIX_EPOCH;
    if let Ok(seconds) = text.parse::<f64>()
        && seconds >= 0.0
    {
        return Ok(start + Duration::try_from_secs_f64(seconds).with_context(|| format!("{text:?} is no time"))?);
    }
    if let Some(time) = crate::companion::units::time(text) {
        return Ok(time);
    }
    let ago = duration(text).ok().with_context(|| format!("{text:?} is neither a time nor a duration"))?;
    Ok(now.checked_sub(Duration::from_nanos(ago)).unwrap_or(start))
}

/// `no`, `always`, `unless-stopped`, `on-failure[:COUNT]`.
pub fn restart(text: &str) -> Result<RestartPolicy> {
    let (name, count) = text.split_once(':').map_or((text, None), |(name, count)| (name, Some(count)));
    let name = if name.is_empty() { "no" } else { name };
    ensure!(
        matches!(name, "no" | "always" | "unless-stopped" | "on-failure"),
        "invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    );
    let maximum_retry_count = match count {
        None => 0,
        Some(count) => {
            let count =
                count.parse().ok().context("invalid restart policy format: maximum retry count must be an integer")?;
            ensure!(
                name == "on-failure" || count == 0,
                "invalid restart policy: maximum retry count can only be used with 'on-failure'"
            );
            count
        }
    };
    Ok(RestartPolicy { name: name.into(), maximum_retry_count })
}

/// The limits of setrlimit(2) that have a name.
const LIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `nofile=SOFT[:HARD]`.
pub fn ulimit(text: &str) -> Result<Ulimit> {
    let (name, values) = text.split_once('=').with_context(|| format!("invalid ulimit argument: {text}"))?;
    ensure!(LIMITS.contains(&name), "invalid ulimit type: {name}");
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| -> Result<i64> {
        if text == "unlimited" {
            return Ok(-1);
        }
        let number = text.parse::<i64>().ok().filter(|number| *number >= -1);
        number.with_context(|| format!("invalid ulimit value: {text:?}"))
    };
    let (soft, hard) = (number(soft)?, number(hard)?);
    ensure!(
        hard == -1 || (soft != -1 && soft <= hard),
        "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
    );
    Ok(Ulimit { name: name.into(), soft, hard })
}

/// The log driver and its options, checked.
pub fn log(driver: &str, options: &[String]) -> Result<LogConfig> {
    let mut config = std::collections::BTreeMap::new();
    for option in options {
        let (key, value) =
            option.split_once('=').with_context(|| format!("invalid logging opts format: {option:?}"))?;
        config.insert(key.to_owned(), value.to_owned());
    }
    let log = LogConfig { kind: driver.into(), config };
    super::log::Limits::of(&log)?;
    Ok(log)
}

/// `--umask`: octal digits, or nothing.
pub fn umask(text: &str) -> Result<Option<u32>> {
    if text.is_empty() {
        return Ok(None);
    }
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    mask.map(Some).with_context(|| format!("invalid umask {text:?}: octal digits up to 777 are wanted"))
}

/// `--storage-opt size=BYTES`: how much a container may write.
pub fn storage(options: &std::collections::BTreeMap<String, String>) -> Result<Option<u64>> {
    let unknown = options.keys().find(|key| !key.eq_ignore_ascii_case("size"));
    ensure!(unknown.is_none(), "Unknown option {}", unknown.map(String::as_str).unwrap_or_default());
    options.values().next().map(|size| bytes(size)).transpose()
}

/// Refuses what no volume is kept by.
pub fn volume_driver(name: &str) -> Result<()> {
    ensure!(name == "local", "could not find the volume driver {name:?}: there is local");
    Ok(())
}

/// The runtime is a part of the program; what asks for another one asks for something else.
pub fn runtime(name: &str) -> Result<()> {
    ensure!(name == "corten", "unknown or invalid runtime name: {name}: there is corten");
    Ok(())
}

/// `KEY=VALUE`, or a key alone.
pub fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_those_of_docker() {
        for (text, wanted) in
            [("0", 0), ("64m", 64 << 20), ("1.5g", 3 << 29), ("10KB", 10240), ("7b", 7), ("1 GiB", 1 << 30)]
        {
            assert_eq!(bytes(text).unwrap(), wanted, "{text}");
        }
        for text in ["", "m", "-1", "1x", "1..2", "99999999999p"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(signed_bytes("-1").unwrap(), -1);
        assert_eq!(cpus("1.5").unwrap(), 1_500_000_000);
        for (text, wanted) in [("1s", 1_000_000_000), ("1h2m", 3_720_000_000_000), ("1.5ms", 1_500_000), ("0", 0)] {
            assert_eq!(duration(text).unwrap(), wanted, "{text}");
        }
        for text in ["", "5", "1x", "s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        let now = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let at = |text| time(text, now).unwrap().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!((at("10m"), at("77.5"), at("1970-01-01T00:00:09Z")), (400, 77, 9));
    }

    #[test]
    fn policies_and_limits() {
        let policy = |name: &str, count| RestartPolicy { name: name.into(), maximum_retry_count: count };
        assert_eq!(restart("").unwrap(), policy("no", 0));
        assert_eq!(restart("on-failure:3").unwrap(), policy("on-failure", 3));
        for text in ["sometimes", "always:3", "on-failure:x", "on-failure:-1"] {
            assert!(restart(text).is_err(), "{text}");
        }
        assert_eq!(ulimit("nofile=1:2").unwrap(), Ulimit { name: "nofile".into(), soft: 1, hard: 2 });
        assert_eq!(ulimit("core=unlimited").unwrap().hard, -1);
        for text in ["nofile", "x=1", "nofile=2:1", "nofile=-1:1", "nofile=a"] {
            assert!(ulimit(text).is_err(), "{text}");
        }
        assert_eq!((umask("").unwrap(), umask("0027").unwrap()), (None, Some(0o27)));
        for text in ["8", "1000", "-1", "u=rwx"] {
            assert!(umask(text).is_err(), "{text}");
        }
        assert!(log("journald", &["tag={{.Name}}".into(), "labels=a,b".into()]).is_ok());
        let of_files = ["max-size=1m", "max-file=2", "compress=false", "mode=blocking", "tag={{.ID}}", "env=A"];
        assert!(log("json-file", &of_files.map(str::to_owned)).is_ok());
        for (driver, option) in [
            ("syslog", "a=b"),
            ("json-file", "nonsense=1"),
            ("json-file", "max-size=x"),
            ("json-file", "tag={{.Nonsense}}"),
            ("json-file", "compress=true"),
            ("json-file", "mode=nosuch"),
            ("json-file", "max-buffer-size=1m"),
            ("local", "labels=a"),
            ("none", "a"),
        ] {
            assert!(log(driver, &[option.into()]).is_err(), "{driver} {option}");
        }
    }
}
