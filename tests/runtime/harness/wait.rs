//! Bounded waits: for a process to end, for a text to arrive. Nothing sleeps, nothing polls a clock.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

/// How long anything may take before a test gives up: far more than it needs, on a machine that is busy with other things.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Waits until a descriptor can be read, for a pidfd: until the process has ended.
pub fn readable(fd: impl AsFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).expect("half a minute fits a timespec");
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("poll: {errno}"),
        }
    }
}

/// A process that is watched from now on, so that its number can't come to mean another one.
#[derive(Debug)]
pub struct Process {
    pub pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    #[track_caller]
    pub fn watch(pid: i32) -> Process {
        let pid = Pid::from_raw(pid).expect("a process number is positive");
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap_or_else(|errno| panic!("watch process {pid}: {errno}"));
        Process { pid, pidfd }
    }

    /// Waits for the end and returns the status as a shell does: 128+n for signal n. The process must be a child of
    /// the tests, as a container's init is when the runtime has ended.
    #[track_caller]
    pub fn wait(&self) -> i32 {
        self.wait_gone();
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)
            .unwrap_or_else(|errno| panic!("process {} is not a child of the tests: {errno}", self.pid))
            .expect("a process that has ended has a status");
        status
            .exit_status()
            .or(status.terminating_signal().map(|signal| 128 + signal))
            .expect("it exited or was killed")
    }

    /// Waits for the end of a process that somebody else may reap.
    #[track_caller]
    pub fn wait_gone(&self) {
        assert!(readable(&self.pidfd, Instant::now() + LIMIT), "process {} does not end", self.pid);
    }

    /// Kills it and waits for its end.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        self.wait();
    }

    pub fn alive(&self) -> bool {
        !readable(&self.pidfd, Instant::now())
    }
}

/// Reads until `needle` has been read, and returns everything that came until then.
#[track_caller]
pub fn read_until(mut from: impl AsFd + Read, needle: &str) -> String {
    let deadline = Instant::now() + LIMIT;
    let mut text = Vec::new();
    let mut buffer = [0u8; 4096];
    while !contains(&text, needle.as_bytes()) {
        assert!(readable(&from, deadline), "no {needle:?} came, only {:?}", String::from_utf8_lossy(&text));
        match from.read(&mut buffer) {
            Ok(0) => panic!("the end came before {needle:?}, after {:?}", String::from_utf8_lossy(&text)),
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            // A terminal whose other side has been closed.
            Err(error) => panic!("{error} before {needle:?}, after {:?}", String::from_utf8_lossy(&text)),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads to the end; for a terminal, until the other side is closed.
#[track_caller]
pub fn read_to_end(mut from: impl AsFd + Read) -> String {
    let deadline = Instant::now() + LIMIT;
    let mut text = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        assert!(readable(&from, deadline), "no end came after {:?}", String::from_utf8_lossy(&text));
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            Err(error) if error.raw_os_error() == Some(libc::EIO) => break,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&text)),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}
