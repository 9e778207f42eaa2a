//! `update`: other limits, and another restart policy.

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::super::{Context, Operation};
use super::each;
use super::flags::limits::Limits;
use crate::engine::options;
use crate::engine::record::HostConfig;

/// Change the limits of containers, running or not
#[derive(Debug, Args)]
pub(in crate::companion) struct Update {
    #[command(flatten)]
    limits: Limits,

    /// What to do at its end: no, on-failure[:COUNT], always, unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,

    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Operation for Update {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let is_given = self.limits.are_given() || self.restart.is_some();
        ensure!(is_given, "you must provide one or more flags when using this command");
        each(&context.engine()?, &self.containers, |engine, name| engine.find(name)?.update(|host| self.apply(host)))
    }
}

impl Update {
    /// Changes what is asked for; says whether limits are among it.
    fn apply(&self, host: &mut HostConfig) -> Result<bool> {
        let before = host.clone();
        if let Some(policy) = &self.restart {
            if host.auto_remove {
                bail!("Restart policy cannot be updated because AutoRemove is enabled for the container");
            }
            host.restart_policy = options::restart(policy)?;
        }
        let policy = host.restart_policy.clone();
        self.limits.apply(host);
        Ok(HostConfig { restart_policy: policy, ..before } != *host)
    }
}
