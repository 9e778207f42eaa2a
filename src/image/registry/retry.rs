//! What is tried again, how often, and after what time.

use std::time::{Duration, SystemTime};

/// Attempts at one request.
pub const ATTEMPTS: u32 = 5;
/// Before the second attempt; twice as long before each next.
const FIRST: Duration = Duration::from_millis(500);
/// No registry makes us wait longer at once, whatever it says.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether another attempt may be answered otherwise.
pub fn is_passing(status: u16) -> bool {
    // 499 and 522 are what proxies say when one of the ends was lost.
    matches!(status, 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

/// The time before the next attempt, after so many that failed; none if it is no use. `asked` is the registry's Retry-After.
pub fn pause(failed: u32, asked: Option<Duration>) -> Option<Duration> {
    let own = FIRST * 2u32.saturating_pow(failed.saturating_sub(1));
    let pause = asked.unwrap_or(own);
    // What asks for an hour doesn't get better by a minute.
    (failed < ATTEMPTS && pause <= LONGEST).then_some(pause)
}

/// A Retry-After (RFC 9110, 10.2.3): seconds, or a date.
pub fn after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    date(value).map(|time| time.duration_since(now).unwrap_or_default())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that is still written.
fn date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_once(", ")?.1.split(' ').collect();
    let [day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let (day, year) = (day.parse::<u8>().ok()?, year.parse::<u16>().ok()?);
    humantime::parse_rfc3339(&format!("{year:04}-{month:02}-{day:02}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = humantime::parse_rfc3339("1994-11-06T08:49:30Z").unwrap();
        assert_eq!(after(" 12 ", now), Some(Duration::from_secs(12)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:00 GMT", now), Some(Duration::ZERO));
        for wrong in ["", "-1", "soon", "Sun, 06 Nov", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET"]
        {
            assert_eq!(after(wrong, now), None, "{wrong}");
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let pauses: Vec<_> = (1..).map_while(|failed| pause(failed, None)).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000].map(Duration::from_millis));
        assert_eq!(pause(1, Some(Duration::from_secs(60))), Some(Duration::from_secs(60)));
        assert_eq!(pause(1, Some(Duration::from_secs(61))), None);
        assert_eq!(pause(5, Some(Duration::ZERO)), None);
        assert!(is_passing(429) && is_passing(503) && !is_passing(404) && !is_passing(501));
    }
}
