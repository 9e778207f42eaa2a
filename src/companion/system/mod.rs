//! `system df` and `system prune`.

mod df;
mod prune;

use anyhow::Result;
use clap::Subcommand;

use super::{Context, Operation};

#[derive(Debug, Subcommand)]
pub(super) enum System {
    Df(df::Df),
    Events(super::events::Events),
    Info(super::info::Info),
    Prune(prune::Prune),
}

impl Operation for System {
    fn carry_out(self, context: &Context) -> Result<u8> {
        match self {
            System::Df(df) => df.carry_out(context),
            System::Events(events) => events.carry_out(context),
            System::Info(info) => info.carry_out(context),
            System::Prune(prune) => prune.carry_out(context),
        }
    }
}
