//! podman, as root and as an ordinary user.

mod exit_status;
mod isolation;
mod lifecycle;
mod limits;
mod rootful;
mod rootless;
mod systemd;

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::Trial;

use crate::harness::command::Run;
use crate::harness::host::{Host, TESTER, installed};
use crate::harness::image;
use crate::harness::trial::{Engine, Skip, trial};

/// podman with a store of its own, and the image in it.
pub(crate) struct Podman {
    host: Arc<Host>,
    directory: PathBuf,
    rootless: bool,
    /// Who makes the groups: cgroupfs or systemd.
    driver: &'static str,
}

pub(crate) fn trials(host: &Arc<Host>) -> Vec<Trial> {
    let engine = |rootless: bool, driver: &'static str| {
        let host = Arc::clone(host);
        Engine::new(move || Podman::start(&host, rootless, driver))
    };
    let (root, user, by_systemd) = (engine(false, "cgroupfs"), engine(true, "cgroupfs"), engine(false, "systemd"));
    let both = || [exit_status::cases(), lifecycle::cases(), isolation::cases()].into_iter().flatten();
    let rootful =
        both().chain(rootful::cases()).chain(limits::cases()).map(|(name, case)| trial("podman", name, &root, case));
    let rootless = both().chain(rootless::cases()).map(|(name, case)| trial("podman_rootless", name, &user, case));
    let of_systemd = limits::cases().into_iter().chain(systemd::cases());
    let of_systemd = of_systemd.map(|(name, case)| trial("podman_systemd", name, &by_systemd, case));
    rootful.chain(rootless).chain(of_systemd).collect()
}

impl Podman {
    fn start(host: &Arc<Host>, rootless: bool, driver: &'static str) -> Result<Self> {
        if driver == "systemd" {
            host.needs_systemd()?;
        }
        if !installed("podman") {
            return Err(Skip("podman is not installed".to_string()).into());
        }
        if rootless && !installed("newuidmap") {
            return Err(Skip("newuidmap is not installed (package uidmap)".to_string()).into());
        }
        let directory = host.new_directory(if rootless { "podman-rootless" } else { "podman" })?;
        let podman = Self { host: Arc::clone(host), directory, rootless, driver };
        std::fs::write(podman.directory.join("containers.conf"), podman.configuration())?;
        if rootless {
            for path in [podman.directory.as_path(), Path::new("/run/user/3000")] {
                std::fs::create_dir_all(path)?;
                chown(path, Some(TESTER), Some(TESTER)).with_context(|| format!("chown {path:?}"))?;
            }
        }
        podman.podman(&["load", "--input"]).args([&host.image]).stdout()?;
        Ok(podman)
    }

    /// A containers.conf as README shows it, and what this host needs besides.
    fn configuration(&self) -> String {
        let (name, path, driver) = (self.host.runtime_name(), self.host.runtime.display(), self.driver);
        // Without its controller, the limit that podman sets by itself would be refused.
        let limit = if self.host.has_controller("pids") { 2048 } else { 0 };
        format!(
            "[engine]\nruntime = \"{name}\"\nruntime_supports_json = [\"{name}\", \"crun\", \"runc\"]\n\
             runtime_supports_nocgroup = [\"{name}\", \"crun\"]\ncgroup_manager = \"{driver}\"\nevents_logger = \"file\"\n\
             [engine.runtimes]\n{name} = [\"{path}\"]\n\
             [containers]\npids_limit = {limit}\nlog_driver = \"k8s-file\"\n\
             [network]\nnetwork_backend = \"netavark\"\n"
        )
    }

    /// `podman ARGUMENTS`
    fn podman(&self, arguments: &[&str]) -> Run {
        Run::from(self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(if self.rootless { "setpriv" } else { "podman" });
        self.host.prepare(&mut command);
        command.env("CONTAINERS_CONF", self.directory.join("containers.conf"));
        if self.rootless {
            let id = TESTER.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "podman"]);
            command.env("XDG_RUNTIME_DIR", "/run/user/3000").env("HOME", self.host.directory.join("home"));
        }
        command.arg("--root").arg(self.directory.join("storage"));
        command.arg("--runroot").arg(self.directory.join("run")).args(["--storage-driver", "overlay"]);
        command.args(arguments);
        command
    }

    /// `podman run --rm --network none OPTIONS IMAGE PROGRAM`
    fn run(&self, options: &[&str], program: &[&str]) -> Run {
        self.podman(&["run", "--rm", "--network", "none"]).args(options).args([image::NAME]).args(program)
    }

    /// Runs a script in a new container to its good end and gives what it printed.
    fn script(&self, options: &[&str], script: &str) -> Result<String> {
        self.run(options, &["/bin/sh", "-c", script]).stdout()
    }

    /// A container of this program that runs detached until it ends or is dropped.
    fn detach(&self, options: &[&str], program: &[&str]) -> Result<Container<'_>> {
        let name = self.host.name("container");
        let container = Container { podman: self, name };
        let run = self.podman(&["run", "--detach", "--network", "none", "--name", &container.name]);
        run.args(options).args([image::NAME]).args(program).stdout()?;
        Ok(container)
    }

    /// A container that does nothing until it is dropped.
    fn sleeper(&self, options: &[&str]) -> Result<Container<'_>> {
        self.detach(options, &["/bin/sleep", "1000"])
    }

    /// Where the runtime keeps its state: podman gives it no `--root`.
    fn state(&self) -> PathBuf {
        let parent = if self.rootless { "/run/user/3000" } else { "/run" };
        Path::new(parent).join(self.host.runtime_name())
    }
}

/// A container; it is removed when this is dropped.
struct Container<'a> {
    podman: &'a Podman,
    name: String,
}

impl Container<'_> {
    /// `podman exec NAME PROGRAM`
    fn exec(&self, program: &[&str]) -> Run {
        self.podman.podman(&["exec", &self.name]).args(program)
    }

    /// A value out of `podman inspect`, by a template as `.State.Pid`.
    fn inspect(&self, template: &str) -> Result<String> {
        self.podman.podman(&["inspect", "--format", &format!("{{{{{template}}}}}"), &self.name]).stdout()
    }

    fn pid(&self) -> Result<u32> {
        let text = self.inspect(".State.Pid")?;
        text.parse().with_context(|| format!("no process identifier: {text}"))
    }

    /// Waits for the container's end: its exit status.
    fn wait(&self) -> Result<i32> {
        Ok(self.podman.podman(&["wait", &self.name]).stdout()?.parse()?)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.podman.podman(&["rm", "--force", "--time", "0", "--volumes", &self.name]).finish();
    }
}
