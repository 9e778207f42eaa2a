//! `port`.

use anyhow::{Result, ensure};
use clap::Args;

use super::super::output::print;
use super::super::{Context, Operation};

/// List how a container's ports are published
#[derive(Debug, Args)]
pub(in crate::companion) struct Port {
    /// A name or id
    container: String,

    /// A port of the container, alone
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
}

impl Operation for Port {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        let wanted = self.port.map(|port| if port.contains('/') { port } else { port + "/tcp" });
        let mut lines = String::new();
        for (port, host) in engine.published(&container)? {
            match &wanted {
                None => lines += &format!("{port} -> {host}\n"),
                Some(wanted) if *wanted == port => lines += &format!("{host}\n"),
                Some(_) => {}
            }
        }
        if let Some(wanted) = &wanted {
            ensure!(!lines.is_empty(), "No public port '{wanted}' published for {}", self.container);
        }
        print(&lines)?;
        Ok(0)
    }
}
