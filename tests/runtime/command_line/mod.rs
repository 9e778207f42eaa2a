//! The command line: flags and their spellings, logs, what is read and printed.

mod configuration;
mod features;
mod logs;
mod usage;
mod variants;

use crate::harness::{Bundle, Call};

/// A call of the runtime without a state directory.
fn bare(bundle: &Bundle) -> Call {
    Call::new(&bundle.directory)
}
