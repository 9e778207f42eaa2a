//! `network disconnect`.

use anyhow::{Result, ensure};
use clap::Args;

use super::{Context, Operation, open};
use crate::companion::output::remark;

/// Disconnect a container from a network
#[derive(Debug, Args)]
pub(in crate::companion) struct Disconnect {
    /// Also what is left of a container that is gone; it is named by its whole id then
    #[arg(short, long)]
    force: bool,

    /// The network
    network: String,

    /// The container
    container: String,
}

impl Operation for Disconnect {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        match engine.find(&self.container) {
            Ok(mut found) => found.disconnect(&self.network, remark)?,
            Err(_) if self.force => {
                let networks = open(context)?;
                let network = networks.get(&self.network)?;
                let is_in = networks.endpoints(&network)?.iter().any(|endpoint| endpoint.container == self.container);
                ensure!(is_in, "endpoint {} not found in the network {}", self.container, network.name);
                engine.at_networks(|networks| networks.detach(&self.container, Some(&self.network)))?;
            }
            Err(error) => return Err(error),
        }
        Ok(0)
    }
}
