//! How soon what has ended is started again: docker's way, for containers and for what they need.

use std::time::{Duration, Instant};

/// A tenth of a second, and twice as long each time, up to a minute.
pub(super) const FIRST: Duration = Duration::from_millis(100);
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// What ran as long as this is not one that fails at its start.
pub(super) const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// The pause before the next start.
#[derive(Debug)]
pub(super) struct Pause {
    length: Duration,
    started: Instant,
    until: Option<Instant>,
}

impl Default for Pause {
    fn default() -> Pause {
        Pause { length: FIRST, started: Instant::now(), until: None }
    }
}

impl Pause {
    /// It has ended, or could not be started.
    pub(super) fn begin(&mut self, now: Instant) {
        if now.saturating_duration_since(self.started) >= LONG_ENOUGH {
            self.length = FIRST;
        }
        self.until = Some(now + self.length);
        self.length = (self.length * 2).min(LONGEST);
    }

    /// When it is to be started.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether it is to be started now; asked once.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        let is_over = self.until.is_some_and(|until| until <= now);
        if is_over {
            self.until = None;
            self.started = now;
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_until_something_ran_long_enough() {
        let mut pause = Pause::default();
        let mut now = pause.started;
        let mut lengths = Vec::new();
        for _ in 0..12 {
            pause.begin(now);
            let until = pause.until().unwrap();
            lengths.push(until.duration_since(now).as_millis());
            assert!(!pause.is_over(until.checked_sub(Duration::from_millis(1)).unwrap()));
            now = until;
            assert!(pause.is_over(now) && !pause.is_over(now));
        }
        assert_eq!(lengths[..4], [100, 200, 400, 800]);
        assert_eq!(lengths[10..], [60_000, 60_000]);
        pause.begin(now + LONG_ENOUGH);
        assert_eq!(pause.until(), Some(now + LONG_ENOUGH + FIRST));
    }
}
