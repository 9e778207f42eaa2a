//! What every test needs: a host of its own, bundles, the runtime as a child process, and a look at what it left.

pub mod bundle;
pub mod call;
pub mod config;
pub mod container;
pub mod host;
pub mod leftovers;
pub mod mountinfo;
pub mod probe;
pub mod terminal;
pub mod wait;

pub use bundle::Bundle;
pub use call::{Call, Ran, Running};
pub use config::Config;
pub use container::Container;
pub use host::{host, host_fails};

/// Says in the output, capture or not, that a test can't show anything on this machine.
#[macro_export]
macro_rules! skip {
    ($($why:tt)+) => {{
        $crate::harness::say_skipped(&format!($($why)+));
        return;
    }};
}

/// Checks every case of a table, so that one failure doesn't hide the others.
#[track_caller]
pub fn each<T: std::fmt::Debug>(cases: impl IntoIterator<Item = T>, mut check: impl FnMut(T)) {
    let mut failed = Vec::new();
    for case in cases {
        let name = format!("{case:?}");
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(case))).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed for:\n{}", failed.join("\n"));
}

pub fn say_skipped(why: &str) {
    use std::io::Write;
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("main");
    // Not eprintln!: libtest would swallow it.
    let _ = writeln!(std::io::stderr(), "skipped {name}: {why}");
}
