//! `run`: a container from nothing, and unless detached its life long.

use anyhow::Result;
use clap::Args;

use super::super::output::{complain, print, remark};
use super::super::{Context, Operation};
use super::create::create;
use super::flags::Flags;
use crate::engine::protocol::Streams;
use crate::engine::terminal::{self, Outcome, Session, Signals};
use crate::engine::{Attached, Container};
use crate::error::sentence;

/// Create a container and run a command in it
#[derive(Debug, Args)]
#[command(disable_help_flag = true, override_usage = "ctn run [OPTIONS] IMAGE [COMMAND [ARGUMENT]...]")]
pub(in crate::companion) struct Run {
    /// Attach to stdin, stdout or stderr alone
    #[arg(short, long, value_name = "STREAM")]
    attach: Vec<Stream>,

    /// Print the container's id, and leave it running
    #[arg(short, long)]
    detach: bool,

    /// The keys that detach
    #[arg(long, value_name = "KEYS", default_value = terminal::KEYS)]
    detach_keys: String,

    /// Pass signals on to the process
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,

    #[command(flatten)]
    flags: Flags,
}

/// A standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::companion) enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

impl Operation for Run {
    fn carry_out(self, context: &Context) -> Result<u8> {
        anyhow::ensure!(!self.detach || self.attach.is_empty(), "Conflicting options: -a and -d");
        let (session, streams) = self.session()?;
        match self.run(context, &session, streams) {
            Ok(status) => Ok(status),
            // docker's status for what is not the program's own.
            Err(error) => {
                complain(&format!("ctn: Error: {}\n", sentence(&error)));
                Ok(125)
            }
        }
    }
}

impl Run {
    /// What the caller has of it.
    fn session(&self) -> Result<(Session, Streams)> {
        let attaches = |stream| self.attach.is_empty() || self.attach.contains(&stream);
        let session = Session {
            // Whatever --attach says: docker's --interactive attaches it, too.
            stdin: !self.detach && self.flags.interactive,
            terminal: self.flags.tty,
            keys: terminal::keys(&self.detach_keys)?,
            signals: self.sig_proxy && !self.flags.tty,
        };
        let streams =
            Streams { stdin: session.stdin, stdout: attaches(Stream::Stdout), stderr: attaches(Stream::Stderr) };
        if !self.detach {
            session.check()?;
        }
        Ok((session, streams))
    }

    fn run(self, context: &Context, session: &Session, streams: Streams) -> Result<u8> {
        let engine = context.engine()?;
        let container = match create(context, &engine, self.flags, &self.attach, !self.detach, true) {
            Ok(container) => container,
            Err(error) => {
                complain(&format!("ctn: Error: {}\nSee 'ctn run --help'.\n", sentence(&error)));
                return Ok(125);
            }
        };
        if self.detach {
            return Ok(match container.start(None, remark)? {
                Attached::Runs(_) => {
                    print(&format!("{}\n", container.id()))?;
                    0
                }
                Attached::Failed(status, text) => failed(status, &text),
            });
        }
        foreground(&container, session, streams)
    }
}

fn failed(status: u8, text: &str) -> u8 {
    complain(&format!("ctn: Error: {text}\n"));
    status
}

/// Starts a container and stays attached: its exit status.
pub(super) fn foreground(container: &Container<'_>, session: &Session, streams: Streams) -> Result<u8> {
    let signals = Signals::block()?;
    let channel = match container.start(Some(streams), remark)? {
        Attached::Runs(channel) => channel,
        Attached::Failed(status, text) => return Ok(failed(status, &text)),
    };
    Ok(match session.attend(container, &channel, &signals)? {
        Outcome::Ended(status) => status,
        Outcome::Detached => 0,
        Outcome::Lost => {
            drop(container.state());
            failed(137, "the container's monitor was killed")
        }
    })
}
