//! `rm`.

use anyhow::Result;
use clap::Args;

use super::super::output::{complain, print, remark};
use super::super::{Context, Operation};
use crate::error::sentence;

/// Remove containers
#[derive(Debug, Args)]
pub(in crate::companion) struct Remove {
    /// Kill what runs, and don't mind what is not there
    #[arg(short, long)]
    force: bool,

    /// Remove links instead of containers, named /CONTAINER/ALIAS
    #[arg(short, long)]
    link: bool,

    /// Remove the volumes that were made for it, too
    #[arg(short, long)]
    volumes: bool,

    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Operation for Remove {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let mut status = 0;
        for name in &self.containers {
            let removed = match self.link {
                true => engine.unlink(name, remark),
                false => engine.find(name).and_then(|container| container.remove(self.force, self.volumes)),
            };
            match removed {
                Ok(()) => print(&format!("{name}\n"))?,
                Err(error) => {
                    let missing = error.chain().any(|cause| cause.to_string().starts_with("No such container"));
                    complain(&format!("Error: {}\n", sentence(&error)));
                    status = u8::from(!(self.force && missing)).max(status);
                }
            }
        }
        Ok(status)
    }
}
