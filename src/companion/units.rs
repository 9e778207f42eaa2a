//! Sizes and ages as docker prints them.

use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};

/// `1.23MB`: up to three significant digits of a decimal unit; ages and sizes are for people, and docker's are what they know.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= 1000.0 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    format!("{}{}", significant(number), UNITS[unit])
}

/// printf(3)'s `%.3g` for numbers below 1000, and those that round up to it.
fn significant(number: f64) -> String {
    let decimals = if number >= 100.0 || number == 0.0 {
        0
    } else if number >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `3 weeks`, as docker words a time that has passed.
pub fn age(passed: Duration) -> String {
    let seconds = passed.as_secs();
    let (minutes, hours) = (seconds / 60, (passed.as_secs_f64() / 3600.0).round() as u64);
    let days = hours / 24;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".into(),
        (1, ..) => "1 second".into(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".into(),
        (_, _, 0..48) => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{days} days"),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", days / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", days / 30),
        _ => format!("{} years", days / 365),
    }
}

/// A time, or how long ago it was.
pub fn until(text: &str) -> Result<SystemTime> {
    if let Some(time) = time(text) {
        return Ok(time);
    }
    let Ok(ago) = humantime::parse_duration(text) else { bail!("{text:?} is neither a time nor a duration") };
    Ok(SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH))
}

/// A time of RFC 3339, or none.
pub fn time(text: &str) -> Option<SystemTime> {
    let has_offset = |at: &usize| matches!(text.as_bytes().get(*at), Some(b'+' | b'-')) && text.contains('T');
    let Some(at) = text.len().checked_sub(6).filter(has_offset) else {
        return humantime::parse_rfc3339_weak(text).ok();
    };
    let (local, offset) = text.split_at_checked(at)?;
    let local = humantime::parse_rfc3339_weak(local).ok()?;
    let (hours, minutes) = (offset.get(1..3)?.parse::<u64>().ok()?, offset.get(4..6)?.parse::<u64>().ok()?);
    let shift = Duration::from_secs(hours * 3600 + minutes * 60);
    if offset.starts_with('+') { local.checked_sub(shift) } else { local.checked_add(shift) }
}

/// `3 weeks ago`, or `N/A` for what has no time.
pub fn ago(created: Option<&str>, now: SystemTime) -> String {
    let created = created.and_then(time).filter(|time| *time > SystemTime::UNIX_EPOCH);
    created.map_or("N/A".into(), |created| format!("{} ago", age(now.duration_since(created).unwrap_or_default())))
}

/// `2026-11-21 01:02:03 +0000 UTC`, as Go prints a time.
pub fn date(created: Option<&str>) -> String {
    let text = created.and_then(time).map(|time| humantime::format_rfc3339_seconds(time).to_string());
    text.map_or("N/A".into(), |text| format!("{} +0000 UTC", text.trim_end_matches('Z').replace('T', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1240, "1.24kB"),
            (12_345, "12.3kB"),
            (123_456_789, "123MB"),
            (1_020_000_000, "1.02GB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn ages_are_dockers() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (300, "5 minutes"),
            (3700, "About an hour"),
            (7200, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (15 * 86400, "2 weeks"),
            (61 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
        let now = time("2026-01-02T00:00:00Z").unwrap();
        assert_eq!(ago(Some("2026-01-02T00:59:59.5+02:00"), now), "About an hour ago");
        assert_eq!(ago(Some("0001-01-01T00:00:00Z"), now), "N/A");
        assert_eq!(date(Some("2026-01-02T01:00:00+02:00")), "2026-01-01 23:00:00 +0000 UTC");
    }
}
