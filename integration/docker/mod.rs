//! dockerd, with the runtime as its default one.

mod exit_status;
mod isolation;
mod lifecycle;
mod limits;
mod process;
mod sharing;
mod systemd;
mod terminal;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::containerd;
use crate::harness::command::Run;
use crate::harness::daemon::Daemon;
use crate::harness::host::{Host, REMAPPED, installed};
use crate::harness::image;
use crate::harness::trial::{Engine, Skip, trial};

/// A dockerd of our own, with the image in it.
pub(crate) struct Docker {
    // Dropped first of all, with the files still there.
    _daemon: Daemon,
    _containerd: Daemon,
    host: Arc<Host>,
    directory: PathBuf,
    by_systemd: bool,
}

pub(crate) fn trials(host: &Arc<Host>) -> Vec<Trial> {
    let engine = {
        let host = Arc::clone(host);
        Engine::new(move || Docker::start(&host, "docker", "", &json!({})))
    };
    let by_systemd = {
        let host = Arc::clone(host);
        let options = json!({ "exec-opts": ["native.cgroupdriver=systemd"], "bridge": "none", "iptables": false });
        Engine::new(move || {
            host.needs_systemd()?;
            Docker::start(&host, "docker-systemd", "", &options)
        })
    };
    let remapping = {
        let host = Arc::clone(host);
        // A bridge of its own, for two daemons can't share one.
        let options = json!({ "userns-remap": REMAPPED.0, "bridge": "none", "iptables": false });
        Engine::new(move || Docker::start(&host, "docker-remap", &remapped_directory(), &options))
    };
    let cases = [
        exit_status::cases(),
        lifecycle::cases(),
        terminal::cases(),
        process::cases(),
        isolation::cases(),
        sharing::cases(),
        limits::cases(),
    ];
    let usual = cases.into_iter().flatten().map(|(name, case)| trial("docker", name, &engine, case));
    let remapped = isolation::remapped_cases();
    let remapped = remapped.into_iter().map(|(name, case)| trial("docker_remap", name, &remapping, case));
    let of_systemd = limits::cases().into_iter().chain(systemd::cases());
    let of_systemd = of_systemd.map(|(name, case)| trial("docker_systemd", name, &by_systemd, case));
    usual.chain(remapped).chain(of_systemd).collect()
}

/// With `userns-remap`, dockerd keeps everything in a directory for the mapping.
fn remapped_directory() -> String {
    format!("{}.{}", REMAPPED.1, REMAPPED.1)
}

impl Docker {
    pub(crate) fn start(host: &Arc<Host>, name: &str, inner: &str, options: &Value) -> Result<Self> {
        if !installed("dockerd") {
            return Err(Skip("dockerd is not installed".to_string()).into());
        }
        let directory = host.new_directory(name)?;
        let mut config = json!({
            "runtimes": { "corten": { "path": host.runtime } },
            "default-runtime": "corten",
            "data-root": directory.join("data"),
            "exec-root": directory.join("exec"),
            "pidfile": directory.join("docker.pid"),
            "hosts": [format!("unix://{}", directory.join("docker.sock").display())],
            "storage-driver": "overlay2",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
        });
        for (key, value) in options.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        // Its own one dockerd waits for no longer than 15 s.
        let (containerd, socket) = containerd::daemon(host, &directory)?;
        config["containerd"] = json!(socket);
        let file = directory.join("daemon.json");
        std::fs::write(&file, config.to_string())?;
        let mut command = Command::new("dockerd");
        host.prepare(&mut command);
        command.arg("--config-file").arg(&file);
        let daemon = Daemon::start(command, &directory, "dockerd")?;
        let directory = directory.join(inner);
        let by_systemd = config["exec-opts"][0] == "native.cgroupdriver=systemd";
        let docker = Self { _daemon: daemon, _containerd: containerd, host: Arc::clone(host), directory, by_systemd };
        docker.docker(&["load", "--input"]).args([&host.image]).stdout()?;
        Ok(docker)
    }

    /// `docker ARGUMENTS`
    pub(crate) fn docker(&self, arguments: &[&str]) -> Run {
        Run::from(self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        self.host.prepare(&mut command);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display())).args(arguments);
        command
    }

    /// The daemon's socket.
    fn socket(&self) -> PathBuf {
        let found = self.directory.ancestors().map(|parent| parent.join("docker.sock")).find(|path| path.exists());
        found.unwrap_or_default()
    }

    /// Creates a container as the client does, by the daemon's HTTP API, for what the client does not pass on.
    fn create(&self, configuration: &Value) -> Result<Container<'_>> {
        let container = Container { docker: self, name: self.host.name("container") };
        let body = configuration.to_string();
        let mut socket = UnixStream::connect(self.socket()).context("reach dockerd")?;
        write!(
            socket,
            "POST /containers/create?name={} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            container.name,
            body.len()
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        ensure!(answer.lines().next().is_some_and(|line| line.contains(" 201 ")), "{answer}");
        Ok(container)
    }

    /// A name that no other case uses for a group above a container's.
    fn parent(&self) -> String {
        self.host.name("parent") + if self.by_systemd { ".slice" } else { "" }
    }

    /// `docker run --rm OPTIONS IMAGE PROGRAM`
    fn run(&self, options: &[&str], program: &[&str]) -> Run {
        self.docker(&["run", "--rm"]).args(options).args([image::NAME]).args(program)
    }

    /// Runs a script in a new container to its good end and gives what it printed.
    fn script(&self, options: &[&str], script: &str) -> Result<String> {
        self.run(options, &["/bin/sh", "-c", script]).stdout()
    }

    /// A container of this program that runs detached until it ends or is dropped.
    fn detach(&self, options: &[&str], program: &[&str]) -> Result<Container<'_>> {
        let name = self.host.name("container");
        let container = Container { docker: self, name };
        let run = self.docker(&["run", "--detach", "--name", &container.name]);
        run.args(options).args([image::NAME]).args(program).stdout()?;
        Ok(container)
    }

    /// A container that does nothing until it is dropped.
    fn sleeper(&self, options: &[&str]) -> Result<Container<'_>> {
        self.detach(options, &["/bin/sleep", "1000"])
    }
}

/// A container; it is removed when this is dropped.
struct Container<'a> {
    docker: &'a Docker,
    name: String,
}

impl Container<'_> {
    /// `docker exec NAME PROGRAM`
    fn exec(&self, program: &[&str]) -> Run {
        self.docker.docker(&["exec", &self.name]).args(program)
    }

    /// A value out of `docker inspect`, by a template as `.State.Pid`.
    fn inspect(&self, template: &str) -> Result<String> {
        self.docker.docker(&["inspect", "--format", &format!("{{{{{template}}}}}"), &self.name]).stdout()
    }

    fn pid(&self) -> Result<u32> {
        let text = self.inspect(".State.Pid")?;
        text.parse().with_context(|| format!("no process identifier: {text}"))
    }

    /// Waits for the container's end: its exit status.
    fn wait(&self) -> Result<i32> {
        Ok(self.docker.docker(&["wait", &self.name]).stdout()?.parse()?)
    }

    /// What it wrote, both streams.
    fn logs(&self) -> Result<(String, String)> {
        let finished = self.docker.docker(&["logs", &self.name]).finish()?.success()?;
        Ok((finished.stdout, finished.stderr))
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.docker.docker(&["rm", "--force", "--volumes", &self.name]).finish();
    }
}
