//! For a program that is the container's parent itself, as an engine's monitor is: `run --detach` and `exec --detach` without the files
//! and sockets that pass descriptors to a parent elsewhere.

use std::os::fd::OwnedFd;

use anyhow::Result;

use super::create::{Making, Start};
use super::options::{CreateOptions, ExecOptions, Host};
use super::{console, directory, exec};
use crate::spec::load::Loaded;
use crate::spec::{check, load};
use crate::sys::clone::Child;

/// A process of a container, as a child of this process.
#[derive(Debug)]
pub struct Embedded {
    /// The process.
    pub child: Child,
    /// The master of its terminal, if the configuration gives it one.
    pub terminal: Option<OwnedFd>,
}

/// Makes and starts a container from a configuration. `prepared` is called with init's pid when its namespaces are there and nothing of
/// the container has run. The standard streams are the container's, unless it has a terminal. Hooks of the kind `poststart` run as in
/// `run`.
pub fn embed(
    host: &Host,
    id: &str,
    options: &CreateOptions,
    config: Vec<u8>,
    prepared: impl FnOnce(i32) -> Result<()>,
) -> Result<Embedded> {
    directory::check_id(id)?;
    let spec = load::parse(&config)?;
    check::spec(&spec)?;
    let mut making = Making::begin(host, id, options, Loaded { bytes: config, spec }, Start::AtOnce)?;
    let has_terminal = making.spec.process.as_ref().is_some_and(|process| process.terminal);
    let pair = has_terminal.then(console::own).transpose();
    let (socket, ours) = making.or_undo(pair)?.unzip();
    making.finish(socket, |making, init| {
        making.write_down(options, &init)?;
        prepared(init.init().pid.as_raw_nonzero().get())?;
        let child = init.execute()?;
        let terminal = ours.as_ref().map(console::receive).transpose()?;
        super::run::started(making, &child)?;
        Ok(Embedded { child, terminal })
    })
}

/// Runs a further process in a container, which is left to its own from then on: as `exec --detach`, for its parent.
pub fn embed_exec(host: &Host, id: &str, options: &ExecOptions) -> Result<Child> {
    exec::enter(host, id, options, false).map(|(child, _)| child)
}
