//! `network`: a file for each command: parse, call [`crate::network`], print.

mod connect;
mod create;
mod disconnect;
mod filter;
mod inspect;
mod list;
mod prune;
mod reload;
mod remove;

use anyhow::{Result, ensure};
use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::pruned::{Condition, Pruned};
use super::{Context, Operation};
use crate::network::Networks;

#[derive(Debug, Subcommand)]
pub(super) enum Network {
    Create(create::Create),
    #[command(visible_alias = "list")]
    Ls(list::List),
    #[command(visible_alias = "remove")]
    Rm(remove::Remove),
    Inspect(inspect::Inspect),
    Connect(connect::Connect),
    Disconnect(disconnect::Disconnect),
    Prune(prune::Prune),
    Reload(reload::Reload),
}

impl Operation for Network {
    fn carry_out(self, context: &Context) -> Result<u8> {
        match self {
            Network::Create(create) => create.carry_out(context),
            Network::Ls(list) => list.carry_out(context),
            Network::Rm(remove) => remove.carry_out(context),
            Network::Inspect(inspect) => inspect.carry_out(context),
            Network::Connect(connect) => connect.carry_out(context),
            Network::Disconnect(disconnect) => disconnect.carry_out(context),
            Network::Prune(prune) => prune.carry_out(context),
            Network::Reload(reload) => reload.carry_out(context),
        }
    }
}

/// The networks of the store that is meant.
fn open(context: &Context) -> Result<Networks> {
    if context.user.is_some() {
        return context.engine()?.networks();
    }
    ensure!(
        context.has_containers(),
        "networks need root of the machine, or an ordinary user: root of a user namespace has none"
    );
    Networks::of_store(&context.root)
}

/// Does something where their links and rules are.
fn at_networks<T: Serialize + DeserializeOwned + Send>(
    context: &Context,
    work: impl FnOnce(&Networks) -> Result<T> + Send,
) -> Result<T> {
    match &context.user {
        Some(_) => context.engine()?.at_networks(work),
        None => work(&open(context)?),
    }
}

/// Removes all networks that nobody is in.
pub(super) fn pruned(context: &Context, conditions: &[Condition]) -> Result<Pruned> {
    prune::networks(context, conditions)
}

/// What `inspect` shows of the network of a name or id.
pub(super) fn described(context: &Context, text: &str) -> Result<serde_json::Value> {
    let networks = open(context)?;
    inspect::described(&networks, &networks.get(text)?)
}
