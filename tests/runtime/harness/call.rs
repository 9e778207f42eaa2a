//! One call of the runtime: its arguments, its environment, what it printed and how it ended.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::host::{SPAWNING, unique};
use super::wait::{LIMIT, readable};

/// The program under test: this package's own, or another OCI runtime that the tests themselves are checked with.
pub fn program() -> PathBuf {
    std::env::var_os("CORTEN_TEST_RUNTIME").map_or_else(|| env!("CARGO_BIN_EXE_corten").into(), PathBuf::from)
}

/// Whether the program under test is another runtime, whose error texts are its own.
pub fn foreign() -> bool {
    program().file_name() != Some(OsStr::new("corten"))
}

/// A call that is being put together.
#[derive(Debug)]
pub struct Call {
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    stdin: Stdio,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    user: Option<(u32, u32)>,
    /// Where the output goes: files, so that a container that keeps them open does not keep the call from ending.
    output: PathBuf,
    errors: PathBuf,
}

impl Call {
    /// A call of the runtime whose output is kept in files under `directory`.
    pub fn new(directory: &Path) -> Call {
        Call::of(program(), directory)
    }

    /// A call of any program.
    pub fn of(program: impl Into<OsString>, directory: &Path) -> Call {
        let name = unique("call");
        Call {
            command: vec![program.into()],
            environment: vec![("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into())],
            directory: directory.into(),
            stdin: Stdio::null(),
            stdout: None,
            stderr: None,
            user: None,
            output: directory.join(format!("{name}.out")),
            errors: directory.join(format!("{name}.err")),
        }
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Call {
        self.command.push(argument.as_ref().into());
        self
    }

    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Call {
        self.command.extend(arguments.into_iter().map(|argument| argument.as_ref().into()));
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call {
        self.environment.push((name.into(), value.as_ref().into()));
        self
    }

    pub fn without_environment(mut self) -> Call {
        self.environment.clear();
        self
    }

    /// Runs in another directory; the output files stay where they are.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Call {
        self.directory = directory.into();
        self
    }

    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Call {
        self.stdin = stdin.into();
        self
    }

    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Call {
        self.stdout = Some(stdout.into());
        self
    }

    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Call {
        self.stderr = Some(stderr.into());
        self
    }

    /// Gives the call a text to read.
    pub fn input(self, text: &str) -> Call {
        let path = self.output.with_extension("in");
        fs::write(&path, text).expect("write the input");
        self.stdin(File::open(&path).expect("open the input"))
    }

    /// Runs as an ordinary user.
    pub fn user(mut self, uid: u32, gid: u32) -> Call {
        self.user = Some((uid, gid));
        self
    }

    /// Runs behind another program (`setsid --ctty`, a shell that opens descriptors), which starts what follows it.
    pub fn through<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, prefix: I) -> Call {
        let prefix = prefix.into_iter().map(|word| word.as_ref().into());
        self.command = prefix.chain(std::mem::take(&mut self.command)).collect();
        self
    }

    /// Runs behind a shell that first does what `script` says (a redirection, a trap) and then becomes the call.
    pub fn after(self, script: &str) -> Call {
        self.through(["/bin/sh", "-ec", &format!("{script}\nexec \"$@\""), "sh"])
    }

    #[track_caller]
    pub fn spawn(self) -> Running {
        let text = self.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            Stdio::from(file.unwrap_or_else(|error| panic!("open {}: {error}", path.display())))
        };
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .env_clear()
            .envs(self.environment)
            .current_dir(&self.directory)
            .stdin(self.stdin)
            .stdout(self.stdout.unwrap_or_else(|| open(&self.output)))
            .stderr(self.stderr.unwrap_or_else(|| open(&self.errors)));
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        let _no_program_is_written = SPAWNING.read();
        let child = command.spawn().unwrap_or_else(|error| panic!("start {text}: {error}"));
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("watch the call");
        Running { child, pidfd, text, output: self.output, errors: self.errors, waited: false }
    }

    /// Runs to the end.
    #[track_caller]
    pub fn run(self) -> Ran {
        self.spawn().wait()
    }

    /// Runs to the end, which must be success.
    #[track_caller]
    pub fn ok(self) -> Ran {
        let ran = self.run();
        assert_eq!(ran.code, 0, "{ran}");
        ran
    }
}

/// A call that has not ended yet; one that is dropped is killed.
#[derive(Debug)]
pub struct Running {
    pub child: Child,
    pidfd: OwnedFd,
    text: String,
    output: PathBuf,
    errors: PathBuf,
    waited: bool,
}

impl Running {
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("send the runtime a signal");
    }

    /// Waits for the end, whatever it is: for the clearing away after a test.
    pub fn finish(mut self) {
        if readable(&self.pidfd, Instant::now() + LIMIT) {
            self.waited = self.child.wait().is_ok();
        }
    }

    #[track_caller]
    pub fn wait(mut self) -> Ran {
        let in_time = readable(&self.pidfd, Instant::now() + LIMIT);
        if !in_time {
            let _ = self.child.kill();
        }
        let status = self.child.wait().expect("wait for the call");
        self.waited = true;
        let read =
            |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let ran = Ran {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            signal: status.signal(),
            stdout: read(&self.output),
            stderr: read(&self.errors),
            output: self.output.clone(),
            text: self.text.clone(),
        };
        assert!(in_time, "the call did not end within {LIMIT:?} and was killed: {ran}");
        assert!(!ran.stderr.contains("panicked at"), "the runtime panicked: {ran}");
        ran
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.waited {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A call that has ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code, or 128+n when the program itself was killed by signal n.
    pub code: i32,
    /// The signal that killed the program itself.
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The file behind `stdout`, which a detached container goes on writing to.
    pub output: PathBuf,
    text: String,
}

impl Ran {
    /// The call must have failed as an error of the runtime, with exit code 1 and one message that holds each of
    /// `needles`. Another runtime's words are its own, so there only the failure counts.
    #[track_caller]
    pub fn refused(self, needles: &[&str]) -> Ran {
        self.failed(1, needles)
    }

    #[track_caller]
    pub fn failed(self, code: i32, needles: &[&str]) -> Ran {
        if foreign() {
            assert_ne!(self.code, 0, "{self}");
            return self;
        }
        assert_eq!(self.code, code, "{self}");
        // The message stands in quotes in a text log.
        let text = self.stderr.replace("\\\"", "\"");
        for needle in needles {
            assert!(text.contains(needle), "no {needle:?} in the error: {self}");
        }
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\nexit code {}\nstdout: {}\nstderr: {}", self.text, self.code, self.stdout, self.stderr)
    }
}
