//! Programs that bring images in, and what each is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cost::{Cost, Meter};
use crate::daemon::Daemon;

/// Something to do, with a store that is empty.
pub(crate) enum Job {
    Pull {
        what: String,
        name: String,
    },
    Load {
        what: String,
        path: PathBuf,
    },
    /// What was loaded before the time begins.
    Save {
        what: String,
        path: PathBuf,
    },
}

impl Job {
    pub(crate) fn name(&self) -> String {
        match self {
            Job::Pull { what, .. } => format!("pull {what}"),
            Job::Load { what, .. } => format!("load {what}"),
            Job::Save { what, .. } => format!("save {what}"),
        }
    }
}

/// A program and where it works.
pub(crate) struct Engine<'m> {
    kind: Kind,
    directory: PathBuf,
    meter: &'m Meter,
}

enum Kind {
    Ctn(PathBuf),
    Podman,
    Skopeo,
    Docker(Daemon),
}

/// ctn, and those of its peers that this machine has.
pub(crate) fn installed<'m>(directory: &Path, meter: &'m Meter) -> Result<Vec<Engine<'m>>> {
    let ctn =
        std::env::var_os("CTN").map(PathBuf::from).context("CTN names no ctn to measure: see `make bench-images`")?;
    ensure!(ctn.is_file(), "there is no ctn at {ctn:?}");
    let there =
        |program: &str| Path::new("/usr/bin").join(program).exists() || Path::new("/usr/sbin").join(program).exists();
    let mut kinds = vec![Kind::Ctn(ctn)];
    if there("podman") {
        kinds.push(Kind::Podman);
    }
    if there("skopeo") && there("umoci") {
        kinds.push(Kind::Skopeo);
    }
    if there("dockerd") {
        match docker(directory) {
            Ok(daemon) => kinds.push(Kind::Docker(daemon)),
            Err(error) => println!("docker is left out: {error:#}"),
        }
    }
    let engine = |(number, kind)| {
        let directory = directory.join(format!("engine-{number}"));
        fs::create_dir(&directory).with_context(|| format!("create {directory:?}"))?;
        Ok(Engine { kind, directory, meter })
    };
    kinds.into_iter().enumerate().map(engine).collect()
}

fn docker(directory: &Path) -> Result<Daemon> {
    let mut command = Command::new("dockerd");
    let options = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2"];
    command.args(options).arg("--data-root").arg(directory.join("docker"));
    command.arg("--exec-root").arg(directory.join("docker-run")).arg("--pidfile").arg(directory.join("docker.pid"));
    command.arg("--host").arg(socket(directory));
    Daemon::start(command, "API listen on")
}

fn socket(directory: &Path) -> String {
    format!("unix://{}", directory.join("docker.sock").display())
}

impl Engine<'_> {
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Ctn(_) => "ctn",
            Kind::Podman => "podman",
            Kind::Skopeo => "skopeo, umoci",
            Kind::Docker(_) => "docker",
        }
    }

    pub(crate) fn version(&self) -> Result<String> {
        let line = |program: &Path| -> Result<String> {
            let output = Command::new(program).arg("--version").output()?;
            Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
        };
        match &self.kind {
            Kind::Ctn(program) => line(program),
            Kind::Podman => line(Path::new("podman")),
            Kind::Skopeo => Ok(format!("{}, {}", line(Path::new("skopeo"))?, line(Path::new("umoci"))?)),
            Kind::Docker(_) => line(Path::new("dockerd")),
        }
    }

    /// Does it once, with an empty store before and after.
    pub(crate) fn carry_out(&self, job: &Job) -> Result<Cost> {
        fs::create_dir(self.store())?;
        let cost = match job {
            Job::Pull { name, .. } => self.pull(name),
            Job::Load { path, .. } => self.load(path),
            Job::Save { path, .. } => self.load(path).and_then(|_| self.save(path)),
        };
        if let Kind::Docker(_) = self.kind {
            self.docker(&["image", "prune", "--all", "--force"])?;
        }
        crate::remove(&self.store())?;
        cost
    }

    fn store(&self) -> PathBuf {
        self.directory.join("store")
    }

    fn pull(&self, name: &str) -> Result<Cost> {
        match &self.kind {
            Kind::Ctn(program) => self.ctn(program, &["pull", "--quiet", name]),
            Kind::Podman => self.podman(&["pull", "--quiet", "--tls-verify=false", name]),
            Kind::Skopeo => self.unpacked(&["--src-tls-verify=false", &format!("docker://{name}")]),
            Kind::Docker(_) => self.docker(&["pull", "--quiet", name]),
        }
    }

    fn load(&self, path: &Path) -> Result<Cost> {
        let archive = path.display().to_string();
        match &self.kind {
            Kind::Ctn(program) => self.ctn(program, &["load", "--quiet", "--input", &archive]),
            Kind::Podman => self.podman(&["load", "--quiet", "--input", &archive]),
            Kind::Skopeo => self.unpacked(&[&format!("docker-archive:{archive}")]),
            Kind::Docker(_) => self.docker(&["load", "--quiet", "--input", &archive]),
        }
    }

    fn save(&self, path: &Path) -> Result<Cost> {
        let name = format!("bench/debian:{}", path.file_stem().unwrap_or_default().display());
        let saved = self.store().join("saved.tar").display().to_string();
        match &self.kind {
            Kind::Ctn(program) => self.ctn(program, &["save", "--output", &saved, &name]),
            Kind::Podman => self.podman(&["save", "--quiet", "--output", &saved, &name]),
            Kind::Skopeo => {
                let source = format!("oci:{}:x", self.store().join("layout").display());
                self.skopeo(&[&source, &format!("docker-archive:{saved}:{name}")])
            }
            Kind::Docker(_) => self.docker(&["save", "--output", &saved, &name]),
        }
    }

    fn ctn(&self, program: &Path, arguments: &[&str]) -> Result<Cost> {
        let program = program.display().to_string();
        self.meter.run(&[&[&program[..]], arguments].concat(), &[("CTN_ROOT", &self.store())])
    }

    fn podman(&self, arguments: &[&str]) -> Result<Cost> {
        let at = |name: &str| self.store().join(name).display().to_string();
        let (root, run, temporary) = (at("root"), at("run"), self.store());
        let start =
            ["podman", "--root", &root, "--runroot", &run, "--storage-driver=overlay", "--cgroup-manager=cgroupfs"];
        self.meter.run(&[&start[..], arguments].concat(), &[("TMPDIR", &temporary), ("HOME", &temporary)])
    }

    fn skopeo(&self, arguments: &[&str]) -> Result<Cost> {
        let start = ["skopeo", "--insecure-policy", "copy", "--quiet"];
        self.meter.run(&[&start[..], arguments].concat(), &[("TMPDIR", &self.store())])
    }

    /// Copied to a layout, and unpacked from there.
    fn unpacked(&self, source: &[&str]) -> Result<Cost> {
        let layout = self.store().join("layout").display().to_string();
        let copied = self.skopeo(&[source, &[&format!("oci:{layout}:x")]].concat())?;
        let bundle = self.store().join("bundle").display().to_string();
        let unpacked = self.meter.run(&["umoci", "unpack", "--image", &format!("{layout}:x"), &bundle], &[])?;
        Ok(copied + unpacked)
    }

    /// The client's cost, and what the daemon took meanwhile.
    fn docker(&self, arguments: &[&str]) -> Result<Cost> {
        let Kind::Docker(daemon) = &self.kind else { anyhow::bail!("no daemon") };
        let host = socket(self.directory.parent().unwrap_or(&self.directory));
        daemon.forget_peak();
        let before = daemon.cpu();
        let client = self.meter.run(&[&["docker", "--host", &host], arguments].concat(), &[])?;
        let cpu = client.cpu + daemon.cpu().saturating_sub(before);
        Ok(Cost { cpu, peak: client.peak + daemon.peak(), ..client })
    }
}
