//! `state.json`: what can't be read from the kernel or the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Attempt;
use crate::spec::resources::LinuxResources;

/// A container's record, written when its process is prepared. What exists before is found without it: the cgroup by its symlink,
/// the process by the cgroup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) oci_version: String,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    /// RFC 3339, with nanoseconds.
    pub(super) created: String,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) init: Init,
    /// The limits in force, which `update` changes.
    pub(super) resources: Option<LinuxResources>,
    /// The resctrl group to remove.
    pub(super) resctrl: Option<PathBuf>,
    /// Whether the container is its own pid namespace's: killing init kills all of it.
    pub(super) own_pids: bool,
    /// `--no-new-keyring`, which holds for `exec` too.
    pub(super) new_keyring: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Init {
    #[serde(deserialize_with = "pid")]
    pub(super) pid: i32,
    /// In clock ticks since boot (proc_pid_stat(5), field 22): tells init from a later process of the same pid.
    pub(super) start_time: u64,
}

/// Reads a record, and proves that it says the same when it is written and read again.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_and_written(bytes: &[u8]) -> Result<()> {
    let record: Record = crate::spec::load::parse(bytes)?;
    let written = serde_json::to_vec(&record).expect("what was read from text can be written as text");
    let again: Record = crate::spec::load::parse(&written).expect("what was written can be read");
    assert_eq!(serde_json::to_vec(&again).ok(), Some(written));
    Ok(())
}

/// A process's id is above 0: numbers below stand for groups of processes in system calls.
fn pid<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<i32, D::Error> {
    let number = i32::deserialize(from)?;
    if number > 0 { Ok(number) } else { Err(D::Error::custom(format!("{number} is not the id of a process"))) }
}

/// What /proc/PID/stat says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) start_time: u64,
    /// Bytes of address space; 0 once the process has none any more, because it is ending (proc_pid_stat(5), vsize).
    pub(super) address_space: u64,
}

/// Reads /proc/PID/stat; none if there is no such process.
pub(super) fn stat(pid: i32) -> Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    match std::fs::read(&path) {
        Ok(bytes) => Ok(parse_stat(&bytes)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error).attempt(|| format!("read {path:?}")),
    }
}

/// The second field, the process's name, is whatever it wants it to be, not even text (prctl(2), PR_SET_NAME): a container must not
/// get out of reach by it. What follows the last parenthesis is numbers.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let end = bytes.windows(2).rposition(|pair| pair == b") ")?;
    let rest = std::str::from_utf8(&bytes[end + 2..]).ok()?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    let address_space = fields.next()?.parse().ok()?;
    Some(Stat { state, start_time, address_space })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_named_anything() {
        let names: [&[u8]; 4] = [b"sh", b"a) S (b", b"\xff\xfe", b"\n) "];
        for name in names {
            let rest = b") R 1 7 7 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 123456 1000 200";
            let line = [b"7 (", name, rest.as_slice()].concat();
            let expected = Stat { state: 'R', start_time: 123_456, address_space: 1000 };
            assert_eq!(parse_stat(&line), Some(expected), "{name:?}");
        }
    }

    #[test]
    fn a_process_has_an_id_above_0() {
        let read = |pid: i32| serde_json::from_str::<Init>(&format!(r#"{{"pid":{pid},"start_time":1}}"#));
        assert_eq!(read(7).unwrap(), Init { pid: 7, start_time: 1 });
        for pid in [0, -1, i32::MIN] {
            assert!(read(pid).unwrap_err().to_string().starts_with(&format!("{pid} is not the id of a process")));
        }
    }
}
