//! A container that has been created, seen from the host.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::host::unique;
use super::wait::Process;
use super::{Bundle, Call, Ran};

#[derive(Debug)]
pub struct Container {
    pub id: String,
    pub process: Process,
    directory: PathBuf,
    state: PathBuf,
    output: PathBuf,
}

impl Container {
    /// The container that a successful call of `create` or `run --detach` has made.
    #[track_caller]
    pub fn made(bundle: &Bundle, id: &str, ran: Ran) -> Container {
        // Not from `state`, which forgets the process when it has ended.
        let pid = fs::read_to_string(bundle.pid_file()).expect("read the pid file");
        Container {
            id: id.to_owned(),
            process: Process::watch(pid.parse().expect("a pid file is a number and nothing else")),
            directory: bundle.directory.clone(),
            state: bundle.state.clone(),
            output: ran.output,
        }
    }

    /// A call of the runtime, without the id.
    pub fn call(&self, command: &str) -> Call {
        Call::new(&self.directory).arg("--root").arg(&self.state).arg(command)
    }

    /// Calls a command that needs the id and nothing else.
    #[track_caller]
    pub fn run(&self, command: &str) -> Ran {
        self.call(command).arg(&self.id).run()
    }

    /// The same, and it must succeed.
    #[track_caller]
    pub fn ok(&self, command: &str) -> Ran {
        self.call(command).arg(&self.id).ok()
    }

    #[track_caller]
    pub fn start(&self) -> &Container {
        self.ok("start");
        self
    }

    /// Starts it, waits for its end and returns its exit status.
    #[track_caller]
    pub fn start_and_wait(&self) -> i32 {
        self.start();
        self.process.wait()
    }

    #[track_caller]
    pub fn state(&self) -> Value {
        self.ok("state").json()
    }

    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status is text").to_owned()
    }

    #[track_caller]
    pub fn kill(&self, signal: &str) -> &Container {
        self.call("kill").args([&self.id, signal]).ok();
        self
    }

    /// Kills it and waits for its end.
    #[track_caller]
    pub fn stop(&self) -> i32 {
        self.kill("KILL");
        self.process.wait()
    }

    #[track_caller]
    pub fn delete(&self) {
        self.ok("delete");
    }

    /// What the container has printed so far.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.output).expect("read the container's output")
    }

    /// Runs a program in the container and returns how it ended.
    #[track_caller]
    pub fn exec<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(&self, args: I) -> Ran {
        self.call("exec").arg(&self.id).args(args).run()
    }

    /// Starts a program in the container and does not wait for it. The caller must wait for its end before that of the
    /// container: a pid namespace ends when its last process has been reaped, and this one is the tests' to reap.
    #[track_caller]
    pub fn exec_detached<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(&self, args: I) -> Process {
        let file = self.directory.join(unique("exec-pid"));
        self.call("exec").arg("--detach").arg("--pid-file").arg(&file).arg(&self.id).args(args).ok();
        let pid = fs::read_to_string(file).expect("read the pid file");
        Process::watch(pid.parse().expect("a pid file is a number and nothing else"))
    }

    /// Runs a shell script in the container and returns what it printed; it must end well.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        let ran = self.exec(["sh", "-euc", script]);
        assert_eq!(ran.code, 0, "{ran}");
        ran.stdout
    }

    /// A file of /proc for the container's first process.
    #[track_caller]
    pub fn proc_file(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.process.pid);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"))
    }

    /// The cgroup2 group of the container's first process, from the root of the tests' cgroup namespace.
    #[track_caller]
    pub fn group(&self) -> String {
        let groups = self.proc_file("cgroup");
        // A hybrid host has a line for each hierarchy of version 1 as well.
        let line = groups.lines().find_map(|line| line.strip_prefix("0::"));
        line.unwrap_or_else(|| panic!("no cgroup2 in {groups}")).to_owned()
    }

    /// The identity of a namespace of the container's first process, as `/proc/PID/ns` shows it.
    #[track_caller]
    pub fn namespace(&self, file: &str) -> String {
        let path = self.namespace_path(file);
        let link = fs::read_link(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
        link.to_str().expect("a namespace's name is text").to_owned()
    }

    pub fn namespace_path(&self, file: &str) -> String {
        format!("/proc/{}/ns/{file}", self.process.pid)
    }
}

/// The identity of a namespace of the test's own thread, which every process it starts is in.
pub fn own_namespace(file: &str) -> String {
    let link = fs::read_link(format!("/proc/thread-self/ns/{file}")).expect("read the test's own namespace");
    link.to_str().expect("a namespace's name is text").to_owned()
}
