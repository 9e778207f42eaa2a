//! The commands for containers: a file for each.

mod attach;
mod copy;
mod create;
mod exec;
mod flags;
mod hello;
mod inspect;
mod kill;
mod logs;
mod pause;
mod port;
mod ports;
mod prune;
mod ps;
mod pull;
mod remove;
mod rename;
mod restart;
mod run;
mod start;
mod stats;
mod stop;
mod top;
mod update;
mod wait;

use anyhow::Result;
use clap::Subcommand;

use super::output::{complain, print};
use super::{Context, Operation};
use crate::engine::Engine;
use crate::error::sentence;

pub(super) use inspect::described;
pub(super) use prune::containers as containers_pruned;
pub(super) use ps::{Ps, size_of_image};
pub(super) use stats::binary as binary_size;

/// Commands that are docker's with and without `container` before them.
#[derive(Debug, Subcommand)]
pub(in crate::companion) enum Command {
    Attach(attach::Attach),
    Cp(copy::Copy),
    Create(Box<create::Create>),
    Exec(exec::Exec),
    Kill(kill::Kill),
    Logs(logs::Logs),
    Pause(pause::Pause),
    Port(port::Port),
    Ps(ps::Ps),
    Rename(rename::Rename),
    Restart(restart::Restart),
    Rm(remove::Remove),
    Run(Box<run::Run>),
    Start(start::Start),
    Stats(stats::Stats),
    Stop(stop::Stop),
    Top(top::Top),
    Unpause(pause::Unpause),
    Update(update::Update),
    Wait(wait::Wait),
}

impl Operation for Command {
    fn carry_out(self, context: &Context) -> Result<u8> {
        match self {
            Command::Attach(command) => command.carry_out(context),
            Command::Cp(command) => command.carry_out(context),
            Command::Create(command) => command.carry_out(context),
            Command::Exec(command) => command.carry_out(context),
            Command::Kill(command) => command.carry_out(context),
            Command::Logs(command) => command.carry_out(context),
            Command::Pause(command) => command.carry_out(context),
            Command::Port(command) => command.carry_out(context),
            Command::Ps(command) => command.carry_out(context),
            Command::Rename(command) => command.carry_out(context),
            Command::Restart(command) => command.carry_out(context),
            Command::Rm(command) => command.carry_out(context),
            Command::Run(command) => command.carry_out(context),
            Command::Start(command) => command.carry_out(context),
            Command::Stats(command) => command.carry_out(context),
            Command::Stop(command) => command.carry_out(context),
            Command::Top(command) => command.carry_out(context),
            Command::Unpause(command) => command.carry_out(context),
            Command::Update(command) => command.carry_out(context),
            Command::Wait(command) => command.carry_out(context),
        }
    }
}

/// `ctn container …`.
#[derive(Debug, Subcommand)]
pub(in crate::companion) enum Group {
    #[command(flatten)]
    Common(Command),
    #[command(visible_aliases = ["list"])]
    Ls(ps::Ps),
    Prune(prune::Prune),
    Inspect(super::inspect::Inspect),
    Diff(super::diff::Diff),
    Commit(super::commit::Commit),
    Export(super::export::Export),
}

impl Operation for Group {
    fn carry_out(self, context: &Context) -> Result<u8> {
        match self {
            Group::Common(command) => command.carry_out(context),
            Group::Ls(command) => command.carry_out(context),
            Group::Prune(command) => command.carry_out(context),
            Group::Inspect(command) => command.of_containers().carry_out(context),
            Group::Diff(command) => command.carry_out(context),
            Group::Commit(command) => command.carry_out(context),
            Group::Export(command) => command.carry_out(context),
        }
    }
}

/// Does the same to several containers, and says each name as it was given; what fails for one is said, and the others follow.
fn each(engine: &Engine, names: &[String], mut action: impl FnMut(&Engine, &str) -> Result<()>) -> Result<u8> {
    let mut status = 0;
    for name in names {
        match action(engine, name) {
            Ok(()) => print(&format!("{name}\n"))?,
            Err(error) => {
                complain(&format!("Error: {}\n", sentence(&error)));
                status = 1;
            }
        }
    }
    Ok(status)
}
