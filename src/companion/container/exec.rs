//! `exec`: a further program in a container that runs.

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;

use super::super::output::complain;
use super::super::{Context, Operation};
use crate::container::{self, ExecOptions, Passed, ProcessSource};
use crate::engine::options::environment;
use crate::engine::specification::Further;
use crate::engine::state::Status;
use crate::engine::terminal;
use crate::engine::{Container, Engine, exit_status};
use crate::error::{Attempt, sentence};
use crate::image::bundle::User;
use crate::security::sealed_executable;

/// Run a command in a container that runs
#[derive(Debug, Args)]
#[command(override_usage = "ctn exec [OPTIONS] CONTAINER COMMAND [ARGUMENT]...")]
pub(in crate::companion) struct Exec {
    /// Leave it running
    #[arg(short, long)]
    detach: bool,

    /// The keys that detach from its terminal
    #[arg(long, value_name = "KEYS", default_value = terminal::KEYS)]
    detach_keys: String,

    /// Set a variable (NAME=VALUE, or NAME for the caller's value)
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<String>,

    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<std::path::PathBuf>,

    /// Keep the standard input open
    #[arg(short, long)]
    interactive: bool,

    /// Give all privileges
    #[arg(long)]
    privileged: bool,

    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,

    /// Whom it runs as (USER[:GROUP])
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// The working directory
    #[arg(short, long, value_name = "DIRECTORY")]
    workdir: Option<String>,

    /// A name or id, the program and its arguments
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, value_name = "CONTAINER COMMAND [ARGUMENT]...")]
    what: Vec<String>,
}

/// docker's status for a program that is there, perhaps, and can't be run so.
const CANNOT_RUN: u8 = 126;

/// A container in which a program can be run.
fn running<'e>(engine: &'e Engine, name: &str) -> Result<Container<'e>> {
    let container = engine.find(name)?;
    match container.state()?.status {
        Status::Running => Ok(container),
        Status::Paused => bail!("Container {name} is paused, unpause the container before exec"),
        Status::Restarting => bail!("Container {name} is restarting, wait until the container is running"),
        _ => bail!("Container {} is not running", container.id()),
    }
}

impl Exec {
    fn environment(&self) -> Result<Vec<String>> {
        let mut env = Vec::new();
        for path in &self.env_file {
            env.extend(environment::file(path)?);
        }
        env.extend(self.env.iter().map(|text| environment::variable(text)).collect::<Result<Vec<_>>>()?);
        if self.tty && !env.iter().any(|variable| variable.starts_with("TERM=")) {
            env.push("TERM=xterm".into());
        }
        Ok(env)
    }

    fn further(&self, args: &[String], env: Vec<String>, user: User) -> Further {
        Further {
            args: args.to_vec(),
            env,
            cwd: self.workdir.clone().filter(|path| !path.is_empty()),
            terminal: self.tty,
            privileged: self.privileged,
            user,
        }
    }

    /// Those that the program is not to have.
    fn close_streams(&self) -> Result<()> {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null");
        let null = null.attempt(|| "open \"/dev/null\"")?;
        if !self.interactive || self.detach {
            rustix::stdio::dup2_stdin(&null).attempt(|| "close the standard input")?;
        }
        if self.detach {
            let both = rustix::stdio::dup2_stdout(&null).and_then(|()| rustix::stdio::dup2_stderr(&null));
            both.attempt(|| "close the standard output")?;
        }
        Ok(())
    }
}

impl Operation for Exec {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let Some((name, args)) = self.what.split_first() else { bail!("a container and a program are required") };
        if context.user.is_some() {
            // Started again, the program finds an ordinary user's namespace by those who are in it.
            running(&context.engine()?, name)?;
        }
        sealed_executable::ensure(std::env::args_os())?;
        let detach_keys = terminal::keys(&self.detach_keys)?;
        let engine = context.engine()?;
        let container = running(&engine, name)?;
        let has_terminal = rustix::termios::isatty(rustix::stdio::stdin());
        anyhow::ensure!(
            !(self.tty && self.interactive) || has_terminal || self.detach,
            "the input device is not a TTY"
        );
        let env = self.environment()?;
        let user = self.user.as_deref().filter(|user| !user.is_empty());
        let process = match container.process(user, |user| self.further(args, env, user)) {
            Ok(process) => process,
            Err(error) => {
                complain(&format!("Error: {}\n", sentence(&error)));
                return Ok(CANNOT_RUN);
            }
        };
        // For what is to be said here: the program doesn't get it.
        let own = rustix::stdio::stderr().try_clone_to_owned().ok().map(std::fs::File::from);
        self.close_streams()?;
        let holders_group = container.enter_group()?;
        let options = ExecOptions {
            process: ProcessSource::Process(Box::new(process)),
            console_socket: None,
            pidfd_socket: None,
            pid_file: None,
            detach: self.detach,
            leaves_holder: self.detach && self.tty,
            holders_group,
            passed: Passed::default(),
            cgroup: None,
            ignore_paused: false,
            detach_keys,
        };
        engine.happened(&container.record, &format!("exec_start: {}", args.join(" ")), &[]);
        match container::exec(&engine.host(), container.id(), &options) {
            Ok(status) => Ok(status),
            Err(error) => {
                let text = format!("OCI runtime exec failed: {}\n", sentence(&error));
                // Without any there is nobody to tell.
                own.and_then(|mut own| own.write_all(text.as_bytes()).ok());
                Ok(if self.detach { 1 } else { exit_status(&error).unwrap_or(CANNOT_RUN) })
            }
        }
    }
}
