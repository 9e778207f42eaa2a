//! Health checks: a program that the monitor runs in the container from time to time.

use std::time::Duration;

use super::record::HealthCheck;
use super::state::{Health, Probe};

/// Bytes of an answer that are kept.
pub const LONGEST_ANSWER: usize = 4096;
/// How many answers are kept.
const KEPT: usize = 5;

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u64 = 3;

impl HealthCheck {
    /// The program that asks; none where there is nothing to ask.
    pub fn command(&self) -> Option<Vec<String>> {
        let (kind, rest) = self.test.split_first()?;
        match kind.as_str() {
            "NONE" => None,
            "CMD-SHELL" => Some(vec!["/bin/sh".into(), "-c".into(), rest.join(" ")]),
            "CMD" => Some(rest.to_vec()),
            _ => None,
        }
        .filter(|command| !command.is_empty())
    }

    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        or(self.timeout, TIMEOUT)
    }

    /// How long until the next question; shorter as long as the container has never been well and still starts.
    pub fn pause(&self, health: &Health, since_start: Duration) -> Duration {
        if health.status == "starting" && since_start < Duration::from_nanos(self.start_period) {
            return or(self.start_interval, START_INTERVAL).min(or(self.interval, INTERVAL));
        }
        or(self.interval, INTERVAL)
    }

    /// Takes an answer in. Says whether the status changed.
    pub fn answered(&self, health: &mut Health, probe: Probe, since_start: Duration) -> bool {
        let before = health.status.clone();
        if probe.exit_code == 0 {
            health.status = "healthy".into();
            health.failing_streak = 0;
        } else if health.status != "starting" || since_start >= Duration::from_nanos(self.start_period) {
            health.failing_streak += 1;
            if health.failing_streak >= if self.retries == 0 { RETRIES } else { self.retries } {
                health.status = "unhealthy".into();
            }
        }
        health.log.push(probe);
        if health.log.len() > KEPT {
            health.log.remove(0);
        }
        health.status != before
    }
}

fn or(nanoseconds: u64, default: Duration) -> Duration {
    if nanoseconds == 0 { default } else { Duration::from_nanos(nanoseconds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(exit_code: i32) -> Probe {
        Probe { exit_code, ..Probe::default() }
    }

    #[test]
    fn a_container_is_ill_after_some_failures_in_a_row() {
        let check = HealthCheck { retries: 2, start_period: 10_000_000_000, ..HealthCheck::default() };
        let mut health = Health { status: "starting".into(), ..Health::default() };
        let (early, late) = (Duration::from_secs(1), Duration::from_secs(11));
        assert!(!check.answered(&mut health, probe(1), early) && health.failing_streak == 0);
        assert_eq!(check.pause(&health, early), START_INTERVAL);
        assert_eq!(check.pause(&health, late), INTERVAL);
        assert!(check.answered(&mut health, probe(0), early) && health.status == "healthy");
        // Once well, failures count at any time.
        assert!(!check.answered(&mut health, probe(1), early));
        assert!(check.answered(&mut health, probe(1), early) && health.status == "unhealthy");
        for _ in 0..9 {
            check.answered(&mut health, probe(0), late);
        }
        assert_eq!((health.log.len(), health.failing_streak), (5, 0));
    }

    #[test]
    fn the_forms_of_a_test() {
        let command = |test: &[&str]| {
            HealthCheck { test: test.iter().map(|word| (*word).to_owned()).collect(), ..HealthCheck::default() }
                .command()
        };
        assert_eq!(command(&["CMD", "a", "b"]).unwrap(), ["a", "b"]);
        assert_eq!(command(&["CMD-SHELL", "a b"]).unwrap(), ["/bin/sh", "-c", "a b"]);
        assert!(command(&["NONE"]).is_none() && command(&[]).is_none() && command(&["CMD"]).is_none());
    }
}
