//! A directory of a test's own with a store in it, and `ctn` as a child process.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub const CTN: &str = env!("CARGO_BIN_EXE_ctn");

/// It goes when this is dropped.
#[derive(Debug)]
pub struct Directory {
    pub path: PathBuf,
}

impl Directory {
    pub fn new(name: &str) -> Directory {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests set owners, mount and run containers: run them as root"
        );
        let name = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Directory { path }
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.join("store")
    }

    /// A call of ctn on the test's store.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CTN);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CTN_ROOT", self.store());
        command.args(arguments).current_dir(&self.path).stdin(Stdio::null());
        command
    }

    pub fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints, if it succeeds.
    #[track_caller]
    pub fn ctn(&self, arguments: &[&str]) -> String {
        succeeded(&self.call(arguments), arguments)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = Command::new("rm").arg("-rf").arg(&self.path).status();
    }
}

#[track_caller]
pub fn succeeded(output: &Output, what: impl std::fmt::Debug) -> String {
    assert!(output.status.success(), "{what:?}: {:?} {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}
