//! `network rm`.

use anyhow::Result;
use clap::Args;

use super::{Context, Operation, at_networks};
use crate::companion::output::{complain, print};
use crate::error::sentence;

/// Remove networks that nobody is in
#[derive(Debug, Args)]
pub(in crate::companion) struct Remove {
    /// Don't mind what is not there
    #[arg(short, long)]
    force: bool,

    /// Names or ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Operation for Remove {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let mut status = 0;
        for text in &self.networks {
            match at_networks(context, |networks| networks.remove(text)) {
                Ok(_) => print(&format!("{text}\n"))?,
                Err(error) if self.force && error.to_string().ends_with("not found") => {}
                Err(error) => {
                    complain(&format!("Error: {}\n", sentence(&error)));
                    status = 1;
                }
            }
        }
        Ok(status)
    }
}
