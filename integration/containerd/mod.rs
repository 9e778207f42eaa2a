//! containerd, through its own client: `ctr`.

mod isolation;
mod lifecycle;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use libtest_mimic::Trial;

use crate::harness::command::Run;
use crate::harness::daemon::Daemon;
use crate::harness::host::{Host, installed};
use crate::harness::image;
use crate::harness::terminal::Terminal;
use crate::harness::trial::{Engine, Skip, trial};

/// A containerd of our own, with the image in it.
pub(crate) struct Containerd {
    // Dropped first of all, with the files still there.
    _daemon: Daemon,
    host: Arc<Host>,
    socket: PathBuf,
}

pub(crate) fn trials(host: &Arc<Host>) -> Vec<Trial> {
    let host = Arc::clone(host);
    let engine = Engine::new(move || Containerd::start(&host));
    let cases = [lifecycle::cases(), isolation::cases()].into_iter().flatten();
    cases.map(|(name, case)| trial("containerd", name, &engine, case)).collect()
}

/// Starts a containerd that keeps everything in the directory: the daemon and its socket.
pub(crate) fn daemon(host: &Host, directory: &Path) -> Result<(Daemon, PathBuf)> {
    let socket = directory.join("containerd.sock");
    let mut command = Command::new("containerd");
    host.prepare(&mut command);
    command.arg("--root").arg(directory.join("root")).arg("--state").arg(directory.join("state"));
    command.arg("--address").arg(&socket);
    let config = directory.join("config.toml");
    std::fs::write(&config, "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")?;
    command.arg("--config").arg(&config);
    Ok((Daemon::start(command, directory, "containerd")?, socket))
}

impl Containerd {
    fn start(host: &Arc<Host>) -> Result<Self> {
        if !installed("containerd") {
            return Err(Skip("containerd is not installed".to_string()).into());
        }
        let (daemon, socket) = daemon(host, &host.new_directory("containerd")?)?;
        let containerd = Self { _daemon: daemon, host: Arc::clone(host), socket };
        containerd.ctr(&["images", "import"]).args([&host.image]).stdout()?;
        Ok(containerd)
    }

    /// `ctr ARGUMENTS`
    fn ctr(&self, arguments: &[&str]) -> Run {
        Run::from(self.command(arguments))
    }

    /// `ctr run OPTIONS IMAGE NAME PROGRAM`, with the runtime under test.
    fn run(&self, options: &[&str], name: &str, program: &[&str]) -> Run {
        Run::from(self.run_command(options, name, program))
    }

    /// Runs a program that prints something to its good end, and gives what it printed.
    ///
    /// A FIFO that ctr has not opened yet when the container has ended is given up (containerd's Task.Delete cancels it), so that on a
    /// busy machine the words of a short container can be lost, whatever the runtime: where there are none, they are asked for again.
    fn printed(&self, options: &[&str], program: &[&str]) -> Result<String> {
        for _ in 0..4 {
            let printed = self.run(&[&["--rm"], options].concat(), &self.host.name("printed"), program).stdout()?;
            if !printed.is_empty() {
                return Ok(printed);
            }
            eprintln!("nothing was heard of {program:?}");
        }
        bail!("{program:?} printed nothing")
    }

    /// `ctr run --tty OPTIONS IMAGE NAME PROGRAM` on a terminal of 30 rows and 100 columns.
    fn run_on_terminal(&self, options: &[&str], name: &str, program: &[&str]) -> Result<Terminal> {
        Terminal::start(&self.run_command(&[&["--tty"], options].concat(), name, program), 30, 100)
    }

    fn run_command(&self, options: &[&str], name: &str, program: &[&str]) -> Command {
        let mut command = self.command(&["run", "--runc-binary"]);
        command.arg(&self.host.runtime).args(self.without_limits()).args(options);
        command.args([image::NAME, name]).args(program);
        command
    }

    /// `ctr run` asks for a CPU weight by itself, which can't be had on a machine that keeps its controllers elsewhere.
    fn without_limits(&self) -> &'static [&'static str] {
        if self.host.has_controller("cpu") { &[] } else { &["--cpu-shares", "0"] }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        self.host.prepare(&mut command);
        command.arg("--address").arg(&self.socket).args(arguments);
        command
    }

    /// Starts a container that goes on until it is ended.
    fn start_sleeper(&self, options: &[&str]) -> Result<Sleeper<'_>> {
        let name = self.host.name("sleeper");
        let sleeper = Sleeper { containerd: self, name };
        self.run(&[&["--detach"], options].concat(), &sleeper.name, &["/bin/sleep", "1000"]).stdout()?;
        Ok(sleeper)
    }

    /// A task's status in `ctr task list`: RUNNING, PAUSED, STOPPED, or nothing.
    fn status(&self, name: &str) -> Result<Option<String>> {
        let table = self.ctr(&["task", "list"]).stdout()?;
        let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| row[0] == name);
        Ok(row.and_then(|row| row.get(2).map(|status| status.to_string())))
    }

    /// The process identifier of a task's first process.
    fn pid(&self, name: &str) -> Result<u32> {
        let table = self.ctr(&["task", "list"]).stdout()?;
        let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| row[0] == name);
        let row = row.with_context(|| format!("no task {name} in\n{table}"))?;
        Ok(row[1].parse()?)
    }
}

/// A container that does nothing; it is removed when this is dropped.
struct Sleeper<'a> {
    containerd: &'a Containerd,
    name: String,
}

impl Sleeper<'_> {
    /// `ctr task exec NAME PROGRAM`
    fn exec(&self, program: &[&str]) -> Run {
        let process = self.containerd.host.name("exec");
        self.containerd.ctr(&["task", "exec", "--exec-id", &process, &self.name]).args(program)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let _ = self.containerd.ctr(&["task", "delete", "--force", &self.name]).finish();
        let _ = self.containerd.ctr(&["container", "delete", &self.name]).finish();
    }
}
