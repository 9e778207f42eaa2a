//! The time between attempts.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Waits, in any number of threads, which end all at once when what they are about has come to nothing. A signal that is for the whole
/// process ends them as it ends that.
#[derive(Debug, Default)]
pub struct Patience {
    given_up: Mutex<bool>,
    told: Condvar,
}

impl Patience {
    /// Waits for so long; false where it is of no use any more.
    pub fn wait(&self, pause: Duration) -> bool {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(given_up, pause, |given_up| !*given_up);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Whether it is of no use to go on.
    pub fn is_over(&self) -> bool {
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all waits, or has there be some again.
    pub fn give_up(&self, given_up: bool) {
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner) = given_up;
        self.told.notify_all();
    }
}
