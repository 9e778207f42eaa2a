//! Who waits for a lock.

use std::fs;
use std::process::Child;

/// Waits until a process waits for a lock: what flock(2)'s number is at the beginning of its line in /proc. It yields between looks,
/// and ends with the process.
pub fn wait_for_lock(child: &mut Child) {
    let path = format!("/proc/{}/syscall", child.id());
    let number = libc::SYS_flock.to_string();
    loop {
        let line = fs::read_to_string(&path).unwrap_or_default();
        if line.split(' ').next() == Some(&number) {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended without waiting");
        std::thread::yield_now();
    }
}
