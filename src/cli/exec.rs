//! `exec`: a further process in a container.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Parser;

use super::{Context, Operation, absolute, arguments};
use crate::container::{self, ExecOptions, Inherited, ProcessArguments, ProcessSource};

/// Run a further process in a running container
///
/// Without --process it is the process of the container's config.json with another command, without a terminal unless
/// --tty asks for one. Its exit status becomes corten's; 255 says that it could not be run. What stands behind ID belongs
/// to COMMAND, whatever it looks like.
#[derive(Debug, Parser)]
pub(super) struct Exec {
    /// Take the process from a file: the JSON of `process` in config.json
    #[arg(short, long, value_name = "FILE")]
    #[arg(conflicts_with_all = ["command", "cwd", "env", "user", "additional_gids", "process_label", "apparmor",
        "no_new_privs", "cap"])]
    process: Option<PathBuf>,

    /// Return once the process runs, and leave it running
    #[arg(short, long)]
    detach: bool,

    /// Give the process a terminal
    #[arg(short, long)]
    tty: bool,

    /// Send the master side of the process' terminal to the Unix socket FILE
    #[arg(long, value_name = "FILE")]
    console_socket: Option<PathBuf>,

    /// Send a pidfd of the process to the Unix socket FILE
    #[arg(long, value_name = "FILE")]
    pidfd_socket: Option<PathBuf>,

    /// Write the pid of the process to FILE
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Start in DIR, a directory in the container
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,

    /// Add a variable to the environment; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Run as a user: numbers, as the container has them
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,

    /// Add a group; may be repeated
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,

    /// Add a capability to the bounding, permitted and effective sets; may be repeated
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,

    /// Set no_new_privs for the process
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = arguments::boolean)]
    no_new_privs: Option<bool>,

    /// The SELinux label of the process
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,

    /// The AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,

    /// Pass N more file descriptors to the process, after stdio and $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u32,

    /// Run in a cgroup that exists below the container's
    #[arg(long, value_name = "PATH", value_parser = cgroup)]
    cgroup: Option<String>,

    /// Don't refuse a paused container; the process runs once that is resumed
    #[arg(long)]
    ignore_paused: bool,

    /// The container
    #[arg(value_name = "ID")]
    id: String,

    /// The program and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<String>,
}

impl Operation for Exec {
    const FAILURE: u8 = 255;

    fn carry_out(self, context: &Context) -> Result<u8> {
        let id = self.id.clone();
        let exec = || container::exec(&context.host, &id, &self.options(context.inherited)?);
        exec().context("exec failed")
    }
}

impl Exec {
    fn options(self, inherited: Inherited) -> Result<ExecOptions> {
        Ok(ExecOptions {
            console_socket: self.console_socket.as_deref().map(absolute).transpose()?,
            pidfd_socket: self.pidfd_socket.as_deref().map(absolute).transpose()?,
            pid_file: self.pid_file.as_deref().map(absolute).transpose()?,
            detach: self.detach,
            leaves_holder: false,
            holders_group: None,
            passed: inherited.passed(self.preserve_fds)?,
            cgroup: self.cgroup.clone(),
            ignore_paused: self.ignore_paused,
            detach_keys: Vec::new(),
            process: self.source()?,
        })
    }

    fn source(self) -> Result<ProcessSource> {
        if let Some(file) = &self.process {
            return Ok(ProcessSource::File { path: absolute(file)?, tty: self.tty });
        }
        if self.command.is_empty() {
            bail!("process args cannot be empty");
        }
        let named = self.user.as_deref().map(user).transpose().map_err(|reason| anyhow::anyhow!("--user: {reason}"))?;
        // An empty text is as good as none, as runc has it.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(ProcessSource::Arguments(ProcessArguments {
            args: self.command,
            cwd: given(self.cwd),
            env: self.env,
            tty: self.tty,
            user: named.map(|user| (user.uid, user.gid)),
            additional_gids: self.additional_gids,
            no_new_privs: self.no_new_privs,
            caps: self.cap,
            process_label: given(self.process_label),
            apparmor: given(self.apparmor),
        }))
    }
}

/// Who to run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: Option<u32>,
}

/// Reads `UID` or `UID:GID`. Names are refused: they would be looked up in a file of the container (CVE-2016-3697).
fn user(text: &str) -> Result<User, String> {
    let number = |text: &str, what: &str| {
        text.parse::<u32>().map_err(|_| format!("parsing {text} as int for {what} failed: a number is needed"))
    };
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(number(gid, "gid")?)),
        None => (text, None),
    };
    Ok(User { uid: number(uid, "uid")?, gid })
}

/// Reads the path of `--cgroup`. cgroup v1's `CONTROLLER:PATH` has no meaning in the one tree of cgroup v2.
fn cgroup(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some((controllers, _)) if !controllers.contains('/') => {
            Err(format!("there are no hierarchies by controller ({controllers}) in cgroup v2; give the path alone"))
        }
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::error::sentence;

    fn options(line: &str) -> Result<ExecOptions> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let exec: Exec =
            super::super::read("exec", &words).map_err(|error| anyhow::anyhow!("{}", super::super::mistake(&error)))?;
        exec.options(Inherited::of(2))
    }

    fn arguments(line: &str) -> ProcessArguments {
        match options(line).unwrap().process {
            ProcessSource::Arguments(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_stands_behind_the_id_is_the_command_s() {
        let arguments = arguments("-t -e A=1 -e B=2 c1 sh -c --tty=false -- -p");
        assert_eq!(arguments.args, ["sh", "-c", "--tty=false", "--", "-p"]);
        assert_eq!(arguments.env, ["A=1", "B=2"]);
        assert!(arguments.tty);
        assert_eq!(self::arguments("c1 -x").args, ["-x"]);
    }

    #[test]
    fn engines_calls_are_read() {
        let containerd =
            options("--process /tmp/runc-process1 --console-socket /s --detach --pid-file /b/e.pid c1").unwrap();
        assert!(
            matches!(&containerd.process, ProcessSource::File { path, tty: false } if path == std::path::Path::new("/tmp/runc-process1"))
        );
        assert!(containerd.detach && containerd.console_socket.is_some() && containerd.pid_file.is_some());
        let conmon = options("-d --console-socket=/s --tty --pid-file=/f c1 ls -la").unwrap();
        assert!(
            matches!(&conmon.process, ProcessSource::Arguments(arguments) if arguments.tty && arguments.args == ["ls", "-la"])
        );
        assert!(options("--preserve-fds 2 --cgroup /sub --ignore-paused c1 ls").is_ok());
    }

    #[test]
    fn users_are_numbers() {
        assert_eq!(user("0"), Ok(User { uid: 0, gid: None }));
        assert_eq!(user("1000:100"), Ok(User { uid: 1000, gid: Some(100) }));
        for text in ["root", "", ":", "1:", ":1", "-1", "1:-1", "1:2:3", "4294967296", "1:wheel"] {
            assert!(user(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cgroup_is_a_path() {
        assert_eq!(cgroup("/sub"), Ok("/sub".into()));
        assert_eq!(cgroup("a/b:c"), Ok("a/b:c".into()));
        assert!(cgroup("cpu,memory:/sub").is_err());
    }

    #[test]
    fn no_new_privs_is_set_unset_or_left() {
        assert_eq!(arguments("c1 ls").no_new_privs, None);
        assert_eq!(arguments("--no-new-privs c1 ls").no_new_privs, Some(true));
        assert_eq!(arguments("-no-new-privs=false c1 ls").no_new_privs, Some(false));
    }

    #[test]
    fn contradictions_are_refused() {
        let text = |line| sentence(&options(line).unwrap_err());
        assert_eq!(text("c1"), "process args cannot be empty");
        assert!(text("-p /f --cwd / c1").contains("cannot be used with"), "{}", text("-p /f --cwd / c1"));
        assert!(text("-p /f c1 ls").contains("cannot be used with"));
        assert!(text("").contains("required arguments were not provided: <ID>"), "{}", text(""));
        assert!(text("-u me c1 ls").contains("parsing me as int for uid failed"));
    }
}
