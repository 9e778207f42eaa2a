//! Programs that run containers, and how each is called.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::daemon::Daemon;

const IMAGE: &str = "bench";

/// A program with a store of its own that has the image.
pub(crate) struct Engine {
    kind: Kind,
    directory: PathBuf,
}

enum Kind {
    Ctn(PathBuf),
    Podman {
        /// crun loads programs for devices only with CAP_SYS_RESOURCE; where that isn't there, podman gets by without cgroups.
        without_cgroups: bool,
    },
    /// It ends with the value.
    Docker(#[allow(dead_code, reason = "held, not read")] Daemon),
}

/// ctn, and those of its peers that this machine has.
pub(crate) fn installed(directory: &Path, archive: &Path) -> Result<Vec<Engine>> {
    let ctn = std::env::var_os("CTN")
        .map(PathBuf::from)
        .context("CTN names no ctn to measure: see `make bench-containers`")?;
    ensure!(ctn.is_file(), "there is no ctn at {ctn:?}");
    let mut kinds = vec![Kind::Ctn(ctn)];
    if Path::new("/usr/bin/podman").exists() {
        kinds.push(Kind::Podman { without_cgroups: false });
    }
    if Path::new("/usr/sbin/dockerd").exists() {
        kinds.push(Kind::Docker(docker(directory)?));
    }
    let mut engines = Vec::new();
    for kind in kinds {
        let mut engine = Engine { kind, directory: directory.to_owned() };
        let output = engine.command(&["import"]).arg(archive).arg(IMAGE).output()?;
        ensure!(output.status.success(), "{}: {}", engine.name(), String::from_utf8_lossy(&output.stderr));
        let is_podman = matches!(engine.kind, Kind::Podman { .. });
        if is_podman && !engine.run(&["--network", "none"]).output()?.status.success() {
            println!("podman without cgroups: crun can't load a program for devices here");
            engine.kind = Kind::Podman { without_cgroups: true };
        }
        engines.push(engine);
    }
    Ok(engines)
}

/// With its bridge and its rules, on this host of our own.
fn docker(directory: &Path) -> Result<Daemon> {
    let mut command = Command::new("dockerd");
    command.arg("--storage-driver=overlay2").arg("--data-root").arg(directory.join("docker"));
    command.arg("--exec-root").arg(directory.join("docker-run")).arg("--pidfile").arg(directory.join("docker.pid"));
    command.arg("--host").arg(socket(directory));
    Daemon::start(command, "API listen on")
}

fn socket(directory: &Path) -> String {
    format!("unix://{}", directory.join("docker.sock").display())
}

impl Engine {
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Ctn(_) => "ctn",
            Kind::Podman { .. } => "podman",
            Kind::Docker(_) => "docker",
        }
    }

    pub(crate) fn version(&self) -> Result<String> {
        let output = self.command(&["--version"]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// `run --rm IMAGE true`.
    pub(crate) fn run(&self, flags: &[&str]) -> Command {
        let mut command = self.command(&["run", "--rm"]);
        if let Kind::Podman { without_cgroups: true } = self.kind {
            command.arg("--cgroups=disabled");
        }
        command.args(flags).args([IMAGE, "/bin/true"]);
        command
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let at = |name: &str| self.directory.join(name);
        let mut command = match &self.kind {
            Kind::Ctn(program) => Command::new(program),
            Kind::Podman { .. } => Command::new("podman"),
            Kind::Docker(_) => Command::new("docker"),
        };
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", &self.directory);
        match &self.kind {
            Kind::Ctn(_) => {
                command.env("CTN_ROOT", at("ctn"));
            }
            Kind::Podman { .. } => {
                command.arg("--root").arg(at("podman")).arg("--runroot").arg(at("podman-run"));
                command.args(["--storage-driver=overlay", "--cgroup-manager=cgroupfs", "--runtime=crun"]);
            }
            Kind::Docker(_) => {
                command.arg("--host").arg(socket(&self.directory));
            }
        }
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}
