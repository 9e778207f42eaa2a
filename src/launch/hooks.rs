//! Hooks (config.md, "POSIX-platform Hooks"): programs of the configuration's author, with the container's state on stdin.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use anyhow::{Context, Error, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::patience::Turn;
use crate::error::Attempt;
use crate::spec::Hook;
use crate::spec::state::State;
use crate::sys::signal;

/// Where the output of hooks goes (crun's annotations `run.oci.hooks.stdout` and `run.oci.hooks.stderr`); none is kept for the
/// message of an error only.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// An open file.
    pub stdout: Option<Arc<OwnedFd>>,
    /// An open file.
    pub stderr: Option<Arc<OwnedFd>>,
}

impl Output {
    /// The files.
    pub fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.stdout, &self.stderr].into_iter().flatten().map(|file| file.as_fd())
    }
}

/// Runs hooks one after the other, in this process's working directory; the first that fails ends it.
pub fn run(turn: &str, hooks: &[Hook], state: &State<'_>, output: &Output) -> Result<()> {
    all(turn, hooks, state, output, Around::default()).try_for_each(|result| result)
}

/// Runs hooks as [`run`] does, and says when one of them is a process, and when that has ended.
pub fn run_watched(turn: &str, hooks: &[Hook], state: &State<'_>, output: &Output, watch: &dyn Fn(Turn)) -> Result<()> {
    all(turn, hooks, state, output, Around { watch: Some(watch), ..Around::default() }).try_for_each(|result| result)
}

/// Runs hooks as [`run`] does, in a directory: runc's hooks of `create` find themselves in the bundle.
pub fn run_in(directory: &Path, turn: &str, hooks: &[Hook], state: &State<'_>, output: &Output) -> Result<()> {
    all(turn, hooks, state, output, Around { directory: Some(directory), watch: None }).try_for_each(|result| result)
}

/// Runs all hooks, whatever becomes of the others, and says what failed.
pub fn run_each(turn: &str, hooks: &[Hook], state: &State<'_>, output: &Output) -> Vec<Error> {
    all(turn, hooks, state, output, Around::default()).filter_map(Result::err).collect()
}

/// What is not the same for hooks of each turn.
#[derive(Clone, Copy, Default)]
struct Around<'a> {
    /// None for that of this process.
    directory: Option<&'a Path>,
    watch: Option<&'a dyn Fn(Turn)>,
}

/// Each hook is run when its result is asked for.
fn all<'a>(
    turn: &'a str,
    hooks: &'a [Hook],
    state: &'a State<'_>,
    output: &'a Output,
    around: Around<'a>,
) -> impl Iterator<Item = Result<()>> + 'a {
    hooks.iter().enumerate().map(move |(index, hook)| {
        let result = serde_json::to_vec(state).map_err(Error::new).and_then(|state| one(hook, &state, output, around));
        result.with_context(|| format!("{turn} hook #{index} {:?}", hook.path))
    })
}

fn one(hook: &Hook, state: &[u8], output: &Output, around: Around<'_>) -> Result<()> {
    // Files in memory instead of pipes: no hook can block on them, and nobody has to read while it runs.
    let mut input = in_memory(c"state")?;
    input.write_all(state).and_then(|()| input.rewind()).attempt(|| "write the state")?;
    let mut said = in_memory(c"output")?;
    let mut command = Command::new(&hook.path);
    if let Some((name, arguments)) = hook.args.split_first() {
        command.arg0(name).args(arguments);
    }
    if let Some(directory) = around.directory {
        command.current_dir(directory);
    }
    // The runtime itself blocks all while it looks after a container in the foreground.
    signal::unblock_in(&mut command);
    command.env_clear();
    for variable in &hook.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        if !name.is_empty() {
            command.env(name, value);
        }
    }
    let kept = |own: &Option<Arc<OwnedFd>>| -> Result<Stdio> {
        let file: OwnedFd = match own {
            Some(file) => file.try_clone().attempt(|| "duplicate the hooks' output")?,
            None => said.try_clone().attempt(|| "duplicate the hooks' output")?.into(),
        };
        Ok(file.into())
    };
    command.stdin(input).stdout(kept(&output.stdout)?).stderr(kept(&output.stderr)?);
    let mut child = command.spawn().attempt(|| "execute")?;
    let watch = |turn| around.watch.iter().for_each(|watch| watch(turn));
    watch(Turn::HookBegins);
    let status = wait(&mut child, hook.timeout)?;
    watch(Turn::HookEnds);
    if status.success() {
        return Ok(());
    }
    let how = match status.signal() {
        Some(number) => format!("killed by signal {number}"),
        None => format!("exit status {}", status.code().unwrap_or_default()),
    };
    bail!("{how}{}", quoted(&mut said));
}

fn in_memory(name: &std::ffi::CStr) -> Result<File> {
    Ok(memfd_create(name, MemfdFlags::CLOEXEC).attempt(|| "make a file in memory")?.into())
}

/// The last of what a hook said.
fn quoted(said: &mut File) -> String {
    let mut text = Vec::new();
    if said.rewind().is_err() || said.take(2048).read_to_end(&mut text).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&text);
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn wait(child: &mut Child, timeout: Option<i64>) -> Result<ExitStatus> {
    if let Some(seconds) = timeout
        && !ended_within(child, seconds)?
    {
        let _ = child.kill();
        let _ = child.wait();
        bail!("killed after its timeout of {seconds} s");
    }
    child.wait().attempt(|| "wait")
}

fn ended_within(child: &Child, seconds: i64) -> Result<bool> {
    let Some(pid) = Pid::from_raw(child.id() as i32) else { return Ok(true) };
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).attempt(|| "open a pidfd")?;
    let timeout = Timespec { tv_sec: seconds, tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).attempt(|| "poll"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::sentence;
    use crate::spec::state::Identity;

    fn try_one(script: &str, timeout: Option<i64>) -> std::result::Result<(), String> {
        let hook = Hook {
            path: "/bin/sh".into(),
            args: vec!["sh".into(), "-c".into(), script.into()],
            env: vec!["A=b".into()],
            timeout,
        };
        let identity = Identity { id: "web".into(), bundle: "/b".into(), ..Identity::default() };
        run("createRuntime", &[hook], &identity.at("creating", 7), &Output::default()).map_err(|error| sentence(&error))
    }

    #[test]
    fn the_state_is_on_stdin_and_the_environment_is_the_hooks_own() {
        let expected = r#"{"ociVersion":"1.3.0","id":"web","status":"creating","pid":7,"bundle":"/b"}"#;
        let script = format!("test \"$(cat)\" = '{expected}' && test \"$A\" = b && test -z \"$HOME\"");
        assert_eq!(try_one(&script, None), Ok(()));
    }

    #[test]
    fn a_failure_says_which_hook_and_what_it_said() {
        let text = try_one("echo no >&2; exit 3", None).unwrap_err();
        assert_eq!(text, "createRuntime hook #0 \"/bin/sh\": exit status 3: no");
    }

    #[test]
    fn a_hook_that_does_not_end_is_killed() {
        let text =
            try_one("while :; do read x < /proc/self/fd/9 || sleep 100; done 9<>/dev/null", Some(1)).unwrap_err();
        assert_eq!(text, "createRuntime hook #0 \"/bin/sh\": killed after its timeout of 1 s");
    }
}
