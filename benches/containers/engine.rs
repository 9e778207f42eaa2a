//! Programs that run containers, and how each is called.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::daemon::Daemon;
use crate::job::Job;

const IMAGE: &str = "bench";

/// A program with a store of its own that has the image.
pub(crate) struct Engine {
    pub(crate) kind: Kind,
    directory: PathBuf,
}

pub(crate) enum Kind {
    Ctn(PathBuf),
    Podman {
        /// crun loads programs for devices only with CAP_SYS_RESOURCE; where that isn't there, podman gets by without cgroups.
        without_cgroups: bool,
    },
    /// It ends with the value.
    Docker(#[allow(dead_code, reason = "held, not read")] Daemon),
    /// ctr, with runc.
    Containerd {
        #[allow(dead_code, reason = "held, not read")]
        daemon: Daemon,
        number: Cell<usize>,
    },
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
    if Path::new("/usr/bin/ctr").exists() && Path::new("/usr/bin/containerd").exists() {
        kinds.push(Kind::Containerd { daemon: containerd(directory)?, number: Cell::new(0) });
    }
    let mut engines: Vec<Engine> = Vec::new();
    for kind in kinds {
        let mut engine = Engine { kind, directory: directory.to_owned() };
        let output = match (&engine.kind, engines.first()) {
            // It knows no archives but those of images: ctn makes one of its own.
            (Kind::Containerd { .. }, Some(ctn)) => {
                let saved = directory.join("saved.tar");
                let made = ctn.command(&["save", "--output"]).arg(&saved).arg(IMAGE).output()?;
                ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
                engine.command(&["images", "import"]).arg(saved).output()?
            }
            _ => engine.command(&["import"]).arg(archive).arg(IMAGE).output()?,
        };
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

fn containerd(directory: &Path) -> Result<Daemon> {
    let configuration = directory.join("containerd.toml");
    std::fs::write(&configuration, "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")?;
    let mut command = Command::new("containerd");
    command.arg("--root").arg(directory.join("containerd")).arg("--state").arg(directory.join("containerd-run"));
    command.arg("--address").arg(directory.join("containerd.sock")).arg("--config").arg(configuration);
    Daemon::start(command, "containerd successfully booted")
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
            Kind::Containerd { .. } => "ctr",
        }
    }

    pub(crate) fn can(&self, job: &Job) -> bool {
        job.is_for(&self.kind)
    }

    pub(crate) fn version(&self) -> Result<String> {
        let output = self.command(&["--version"]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// `run --rm IMAGE true`.
    pub(crate) fn run(&self, flags: &[&str]) -> Command {
        if let Kind::Containerd { number, .. } = &self.kind {
            number.set(number.get() + 1);
            // Limits of the processor can't be had on a machine that keeps the controllers elsewhere.
            let mut command = self.command(&["run", "--rm", "--cpu-shares", "0"]);
            command.arg(format!("docker.io/library/{IMAGE}:latest")).arg(format!("bench-{}", number.get()));
            command.arg("/bin/true");
            return command;
        }
        let mut command = self.command(&["run", "--rm"]);
        command.args(self.usual_flags()).args(flags).args([IMAGE, "/bin/true"]);
        command
    }

    /// `create`, or `run --detach`, of one that stays, without a network, and is killed when it is stopped.
    pub(crate) fn made(&self, command: &str, name: &str, program: &[&str]) -> Command {
        let mut made = self.command(&[command]);
        if command == "run" {
            made.arg("--detach");
        }
        made.args(self.usual_flags()).args(["--network", "none", "--stop-signal", "KILL", "--name", name]);
        if let Kind::Podman { .. } = self.kind {
            // Its file; without journald it would be so anyway.
            made.args(["--log-driver", "k8s-file"]);
        }
        made.arg(IMAGE).args(program);
        made
    }

    fn usual_flags(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Podman { without_cgroups: true } => &["--cgroups=disabled"],
            _ => &[],
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let at = |name: &str| self.directory.join(name);
        let mut command = match &self.kind {
            Kind::Ctn(program) => Command::new(program),
            Kind::Podman { .. } => Command::new("podman"),
            Kind::Docker(_) => Command::new("docker"),
            Kind::Containerd { .. } => Command::new("ctr"),
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
            Kind::Containerd { .. } => {
                command.arg("--address").arg(at("containerd.sock"));
            }
        }
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}
