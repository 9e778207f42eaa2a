//! `create`: a container that waits for `start`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Parser};

use super::{Context, Operation, absolute, bundle};
use crate::container::{self, CreateOptions, Inherited};

/// Create a container
///
/// Sets the container up and leaves its process waiting: nothing of the container runs until `corten start ID`.
#[derive(Debug, Parser)]
pub(super) struct Create {
    #[command(flatten)]
    flags: Flags,

    /// A name for the container, unique on this host: letters, digits, `_`, `+`, `-` and `.`
    #[arg(value_name = "ID")]
    id: String,
}

/// The flags that `create` and `run` have in common.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// The bundle: a directory with config.json and the root file system
    #[arg(short, long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    bundle: PathBuf,

    /// Another file than the bundle's config.json
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Send the master side of the container's terminal to the Unix socket FILE
    #[arg(long, value_name = "FILE")]
    console_socket: Option<PathBuf>,

    /// Send a pidfd of the container's process to the Unix socket FILE
    #[arg(long, value_name = "FILE")]
    pidfd_socket: Option<PathBuf>,

    /// Write the pid of the container's process to FILE
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Move the root file system into place instead of using pivot_root(2)
    ///
    /// For root file systems on a ramdisk, which can't be pivoted away from. It is the weaker wall.
    #[arg(long)]
    no_pivot: bool,

    /// Leave the container in the caller's session keyring
    #[arg(long)]
    no_new_keyring: bool,

    /// Pass N more file descriptors to the container, after stdio and $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u32,
}

impl Flags {
    /// As the runtime takes them.
    pub(super) fn options(&self, inherited: Inherited) -> Result<CreateOptions> {
        Ok(CreateOptions {
            bundle: bundle(&self.bundle)?,
            config: self.config.as_deref().map(absolute).transpose()?,
            console_socket: self.console_socket.as_deref().map(absolute).transpose()?,
            pidfd_socket: self.pidfd_socket.as_deref().map(absolute).transpose()?,
            pid_file: self.pid_file.as_deref().map(absolute).transpose()?,
            no_pivot: self.no_pivot,
            opens_root: false,
            no_new_keyring: self.no_new_keyring,
            passed: inherited.passed(self.preserve_fds)?,
        })
    }
}

impl Operation for Create {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let create = || {
            context.globals.make_root()?;
            container::create(&context.host, &self.id, &self.flags.options(context.inherited)?)
        };
        create().context("corten create failed")?;
        Ok(0)
    }
}
