//! `network reload`.

use anyhow::Result;
use clap::Args;

use super::{Context, Operation, at_networks};
use crate::companion::output::warn;
use crate::network::Networks;

/// Make all rules anew, after somebody has flushed the ruleset
///
/// Bridges that are gone are made, and containers put back to them. What others' firewalls do to containers is said.
#[derive(Debug, Args)]
pub(in crate::companion) struct Reload {}

impl Operation for Reload {
    fn carry_out(self, context: &Context) -> Result<u8> {
        warn(&at_networks(context, Networks::reload)?.into_iter().collect());
        Ok(0)
    }
}
