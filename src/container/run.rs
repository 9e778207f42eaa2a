//! `run`: `create` and `start` in one, and unless detached the container's life long.

use anyhow::{Context, Result};

use super::create::{Making, Start, configuration};
use super::detach::Leaving;
use super::foreground::{self, Foreground};
use super::options::{Host, RunOptions};
use super::start::{poststart, stop};
use super::{console, delete, notify_socket, out_of_memory};
use crate::error::Attempt;
use crate::sys::clone::Child;

/// Makes a container, starts it, and unless detached waits for its end: 0 to 255, or 128 + the signal that ended it.
pub fn run(host: &Host, id: &str, options: &RunOptions) -> Result<u8> {
    if options.detach {
        detached(host, id, options)?;
        return Ok(0);
    }
    if !options.no_subreaper {
        let own = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(own)).attempt(|| "become the subreaper")?;
    }
    if options.create.console_socket.is_some() {
        console::check_detached(None, true)?;
    }
    let foreground = Foreground::prepare()?;
    let config = configuration(id, &options.create)?;
    let mut making = Making::begin(host, id, &options.create, config, Start::AtOnce)?;
    let has_terminal = making.spec.process.as_ref().is_some_and(|process| process.terminal);
    making.plan.size_terminal(foreground::terminal_size());
    let notify = notify_socket::listen(making.directory.path());
    let notify = making.or_undo(notify)?;
    let pair = has_terminal.then(console::own).transpose();
    let (socket, relay) = making.or_undo(pair)?.unzip();
    let (init, master) = making.finish(socket, |making, prepared| {
        making.write_down(&options.create, &prepared)?;
        let init = prepared.execute()?;
        let master = relay.as_ref().map(console::receive).transpose()?;
        started(making, &init)?;
        Ok((init, master))
    })?;
    let status = foreground.attend(&init, master, notify, Leaving::default())?;
    if !options.keep {
        delete::remove_ended(host, id, &making.spec)
            .with_context(|| format!("the container ended with status {status}"))?;
    }
    Ok(status)
}

fn detached(host: &Host, id: &str, options: &RunOptions) -> Result<()> {
    let config = configuration(id, &options.create)?;
    let console = console::for_detached(&options.create, &config.spec)?;
    let mut making = Making::begin(host, id, &options.create, config, Start::AtOnce)?;
    let notify = notify_socket::listen(making.directory.path());
    let notify = making.or_undo(notify)?;
    let init = making.finish(console, |making, prepared| {
        making.write_down(&options.create, &prepared)?;
        let init = prepared.execute()?;
        started(making, &init).map(|()| init)
    })?;
    notify.map_or(Ok(()), |socket| socket.forward_until_ready(&init))
}

/// The program runs: `poststart` hooks. One that fails stops the container (runtime-spec 1.3, runtime.md, "Lifecycle" 10).
pub(super) fn started(making: &mut Making, init: &Child) -> Result<()> {
    out_of_memory::check_executed(&making.record, making.group(), init).inspect_err(|_| stop(making.group(), init))?;
    // What follows may take long, and a hook may call this program.
    making.unlock();
    poststart(&making.spec, &making.record, making.group(), init)
}
