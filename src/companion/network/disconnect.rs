//! `network disconnect`.

use std::os::fd::AsFd;

use anyhow::Result;
use clap::Args;

use super::container::find;
use super::{Context, Operation, open};

/// Disconnect a container from a network
#[derive(Debug, Args)]
pub(in crate::companion) struct Disconnect {
    /// Also if the container doesn't run; it is named by its whole id then
    #[arg(short, long)]
    force: bool,

    /// The network
    network: String,

    /// The container
    container: String,
}

impl Operation for Disconnect {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let networks = open(context)?;
        match find(context, &self.container) {
            Ok(found) => networks.disconnect(&found.id, &self.network, found.namespace.as_fd())?,
            Err(_) if self.force => networks.detach(&self.container, Some(&self.network))?,
            Err(error) => return Err(error),
        }
        Ok(0)
    }
}
