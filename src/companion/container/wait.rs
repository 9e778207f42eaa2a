//! `wait`.

use anyhow::Result;
use clap::Args;

use super::super::output::{complain, print};
use super::super::{Context, Operation};
use crate::error::sentence;

/// Wait until containers have ended, and print their exit statuses
#[derive(Debug, Args)]
pub(in crate::companion) struct Wait {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Operation for Wait {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let mut status = 0;
        for name in &self.containers {
            match engine.find(name).and_then(|container| container.wait()) {
                Ok(code) => print(&format!("{code}\n"))?,
                Err(error) => {
                    complain(&format!("Error: {}\n", sentence(&error)));
                    status = 1;
                }
            }
        }
        Ok(status)
    }
}
