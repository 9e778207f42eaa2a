//! What is run: a static program that does nothing, in the container that `spec` describes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// The programs in `programs/`, compiled.
pub(crate) struct Programs {
    nothing: PathBuf,
    forever: PathBuf,
}

impl Programs {
    pub(crate) fn build(directory: &Path) -> Result<Self> {
        let bare: &[&str] = &["-nostdlib", "-ffreestanding"];
        Ok(Self { nothing: compile(directory, "true", bare)?, forever: compile(directory, "forever", bare)? })
    }
}

fn compile(directory: &Path, name: &str, options: &[&str]) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/programs").join(name).with_extension("c");
    let program = directory.join(name);
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-static", "-s"]).args(options).arg("-o").arg(&program).arg(&source);
    let status = compiler.status().context("run cc")?;
    ensure!(status.success(), "{source:?} does not compile: {status}");
    Ok(program)
}

/// Two bundles on one root file system: one whose program ends at once, and one whose program waits.
pub(crate) struct Bundle {
    pub(crate) ending: PathBuf,
    pub(crate) waiting: PathBuf,
}

impl Bundle {
    pub(crate) fn make(directory: &Path, programs: &Programs, seccomp: bool, devices: bool) -> Result<Self> {
        let root = directory.join("rootfs");
        for name in ["dev", "proc", "sys"] {
            fs::create_dir_all(root.join(name))?;
        }
        fs::copy(&programs.nothing, root.join("true"))?;
        fs::copy(&programs.forever, root.join("forever"))?;
        let make = |name: &str, program: &str| -> Result<PathBuf> {
            let bundle = directory.join(name);
            fs::create_dir_all(&bundle)?;
            let config = config(&root, program, seccomp, devices)?;
            fs::write(bundle.join("config.json"), config.to_string())?;
            Ok(bundle)
        };
        Ok(Self { ending: make("ending", "/true")?, waiting: make("waiting", "/forever")? })
    }
}

/// The configuration that `runc spec` and `crun spec` write, with this program and without a terminal.
fn config(root: &Path, program: &str, seccomp: bool, devices: bool) -> Result<Value> {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let usual = ["nosuid", "noexec", "nodev"];
    let mut config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": [program],
            "env": ["PATH=/"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": root, "readonly": true },
        "hostname": "bench",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
              "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": usual },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
              "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] }
        ],
        "linux": {
            "resources": {},
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
                { "type": "cgroup" }
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    });
    if devices {
        config["linux"]["resources"]["devices"] = json!([{ "allow": false, "access": "rwm" }]);
    }
    if seccomp {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/seccomp-docker.json");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path:?}"))?;
        config["linux"]["seccomp"] = serde_json::from_str(&text)?;
    }
    Ok(config)
}
