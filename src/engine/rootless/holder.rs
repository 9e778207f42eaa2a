//! The holder: a process that does nothing but keep the user's namespaces from one command to the next, until nobody is in them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{getegid, geteuid};

use super::{ids, join};
use crate::error::{Attempt, sentence};
use crate::image::layer::copy::IdMaps;
use crate::sys::clone::{CloneFlags, unshare};

/// The word on the command line that makes this program a holder. It is nobody's command.
pub const WORD: &str = "holder";
/// The file with its pid.
pub(super) const FILE: &str = "holder";

/// What the holder says when its namespaces are there; the answer is that they are mapped, and its last word that it is ready.
const MADE: &[u8] = b"made";
const MAPPED: &[u8] = b"mapd";
const READY: &[u8] = b"hold";

/// Starts a holder, and waits until its namespaces can be entered.
pub(super) fn start(runtime: &Path) -> Result<OwnedFd> {
    let maps = ids::of_user(geteuid(), getegid());
    let (mut ours, theirs) = UnixStream::pair().attempt(|| "make a socket pair")?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("ctn").arg(WORD).arg(runtime).env_clear().current_dir("/");
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().attempt(|| "start the process that holds the user's namespaces")?;
    drop(command);
    match prepare(&mut ours, &child, &maps) {
        Ok(()) => {
            let (_, process) = join::owner(&runtime.join(FILE)).context("the holder of the user's namespaces ended")?;
            Ok(process)
        }
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

fn prepare(channel: &mut UnixStream, child: &Child, maps: &IdMaps) -> Result<()> {
    expect(channel, MADE)?;
    if ids::need_help(maps) {
        ids::map(child.id(), maps)?;
    } else {
        alone(child.id(), maps)?;
    }
    channel.write_all(MAPPED).attempt(|| "tell the holder of the user's namespaces")?;
    expect(channel, READY)
}

/// Without subordinate ids: files of other owners than root will be refused.
fn alone(pid: u32, maps: &IdMaps) -> Result<()> {
    let write = |file: &str, text: String| {
        let path = format!("/proc/{pid}/{file}");
        fs::write(&path, text).attempt(|| format!("write {path:?}"))
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {} 1", maps.users[0].host))?;
    write("gid_map", format!("0 {} 1", maps.groups[0].host))
}

/// The other side's next word; anything else is a sentence that says what failed.
fn expect(channel: &mut UnixStream, word: &[u8]) -> Result<()> {
    let mut said = vec![0; word.len()];
    let count = channel.read(&mut said).attempt(|| "hear the holder of the user's namespaces")?;
    if said == word {
        return Ok(());
    }
    said.truncate(count);
    let _ = channel.take(4096).read_to_end(&mut said);
    ensure!(!said.is_empty(), "the holder of the user's namespaces ended");
    bail!("{}", String::from_utf8_lossy(&said))
}

/// Is a holder, for as long as anybody is in its namespaces.
pub fn main(arguments: &[OsString]) -> u8 {
    let Ok(channel) = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3) else { return 1 };
    let mut channel = UnixStream::from(channel);
    match hold(arguments, &mut channel) {
        Ok(()) => 0,
        Err(error) => {
            let _ = channel.write_all(sentence(&error).as_bytes());
            1
        }
    }
}

/// Writes this process's number where it is found, in a file that it has locked as long as it lives. The file is a new one: in the one that
/// was left by who was killed there is a number that may be anybody's by now, and it must not be locked for a moment.
fn publish(path: &Path) -> Result<File> {
    let new = path.with_extension("new");
    let what = || format!("write {new:?}");
    let mut file = File::create(&new).attempt(what)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive).attempt(|| format!("lock {new:?}"))?;
    write!(file, "{}", std::process::id()).attempt(what)?;
    fs::rename(&new, path).attempt(|| format!("rename {new:?} to {path:?}"))?;
    Ok(file)
}

fn hold(arguments: &[OsString], channel: &mut UnixStream) -> Result<()> {
    let [_, _, runtime] = arguments else { bail!("not for people") };
    let runtime = Path::new(runtime);
    unshare(CloneFlags::NEWUSER | CloneFlags::NEWNS).attempt(|| {
        "make a user namespace, which containers of an ordinary user need (user.max_user_namespaces of sysctl(8) must allow it)"
    })?;
    channel.write_all(MADE).attempt(|| "tell the command")?;
    expect(channel, MAPPED)?;
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"ctn-holder");
    let path = runtime.join(FILE);
    let others_wait = join::locked(&runtime.join("publishing"), FlockOperation::LockExclusive)?;
    if join::owner(&path).is_some() {
        // Somebody else's, whose command was killed before it was ready.
        return channel.write_all(READY).attempt(|| "tell the command");
    }
    let file = publish(&path)?;
    drop(others_wait);
    channel.write_all(READY).attempt(|| "tell the command")?;
    let _ = channel.shutdown(std::net::Shutdown::Both);
    crate::engine::monitor::to_null()?;
    // What is old below /tmp is removed by systemd-tmpfiles(8), but not from a directory that somebody has locked (tmpfiles.d(5), "Age").
    let directory = File::open(runtime).attempt(|| format!("open {runtime:?}"))?;
    rustix::io::retry_on_intr(|| flock(&directory, FlockOperation::LockExclusive))
        .attempt(|| format!("lock {runtime:?}"))?;
    // Everybody who is in the namespaces has it shared.
    let _alone = join::locked(&runtime.join("members"), FlockOperation::LockExclusive)?;
    // Nobody is led here any more, for both locks don't go in the same moment.
    file.set_len(0).attempt(|| format!("write {path:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes with the test.
    struct Directory(std::path::PathBuf);

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_number_that_was_left_is_never_locked() {
        let directory = Directory(std::env::temp_dir().join(format!("ctn-holder-{}", std::process::id())));
        fs::create_dir(&directory.0).unwrap();
        let path = directory.0.join(FILE);
        fs::write(&path, "1").unwrap();
        let left = File::open(&path).unwrap();
        let file = publish(&path).unwrap();
        assert!(!crate::engine::locks::is_held_elsewhere(&left), "nobody has locked what was left");
        assert_eq!(join::owner(&path).map(|(pid, _)| pid), Some(std::process::id().cast_signed()));
        drop(file);
        assert!(join::owner(&path).is_none());
    }
}
