//! The probe: a small static C program that prints, inside a container, what busybox can't show.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

const SOURCE: &str = include_str!("../../helpers/probe.c");

/// The compiled probe on the host, made on first use and kept for the next run.
pub fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| compile("probe", SOURCE));
    &PROGRAM
}

/// Compiles a program of the tests, unless an earlier run has kept it, or `CORTEN_TEST_HELPERS` names a directory of them
/// where there is no compiler.
pub fn compile(name: &str, text: &str) -> PathBuf {
    if let Some(directory) = std::env::var_os("CORTEN_TEST_HELPERS") {
        return Path::new(&directory).join(name);
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = directory.join(format!("{name}-{:016x}", hasher.finish()));
    if path.exists() {
        return path;
    }
    let source = directory.join(format!("{name}-{}.c", std::process::id()));
    let fresh = source.with_extension("new");
    fs::write(&source, text).unwrap_or_else(|error| panic!("write the source of {name}: {error}"));
    let _no_program_is_written = super::host::SPAWNING.read();
    let output = Command::new("cc")
        .args(["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&fresh)
        .arg(&source)
        .output()
        .expect("run cc: apt-get install gcc libc6-dev");
    assert!(output.status.success(), "cc refuses {name}: {}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&fresh, &path).unwrap_or_else(|error| panic!("put {name} in place: {error}"));
    fs::remove_file(&source).unwrap_or_else(|error| panic!("remove the source of {name}: {error}"));
    path
}

/// The capabilities that the tests have and can so give away, in the order of their numbers.
pub fn own_capabilities() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").expect("read the tests' own status");
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).expect("a status has capabilities");
    let set = u64::from_str_radix(line.trim(), 16).expect("a capability set is hexadecimal");
    let names = CAPABILITIES.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
    names.map(|(_, name)| format!("CAP_{name}")).collect()
}

/// The set that /proc/PID/status shows for some capabilities.
pub fn capability_set(names: &[&str]) -> String {
    let bit = |name: &&str| {
        let number = CAPABILITIES.iter().position(|known| name.strip_prefix("CAP_") == Some(known));
        1u64 << number.unwrap_or_else(|| panic!("{name} is no capability"))
    };
    format!("{:016x}", names.iter().map(bit).fold(0, |set, bit| set | bit))
}

/// capabilities(7), by number.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
