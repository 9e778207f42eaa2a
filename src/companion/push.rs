//! `push`: images to a registry.

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use super::output::print;
use super::progress::{Direction, shown};
use super::registry::{Connection, tagged};
use super::trust::Trust;
use super::{Context, Operation};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::registry::client::Client;
use crate::image::registry::push::push;
use crate::image::store::Store;
use crate::image::store::table::name_of;

/// Push an image to a registry
#[derive(Debug, Args)]
pub(super) struct Push {
    /// Push all tags of the name that the store has
    #[arg(short, long)]
    all_tags: bool,

    /// One platform of an image that has several; all of them, if nothing is said
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,

    /// Print the name alone
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    trust: Trust,

    #[command(flatten)]
    connection: Connection,

    /// What is pushed, and where to
    #[arg(value_name = "NAME[:TAG]")]
    name: Reference,
}

impl Operation for Push {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let pushing = Pushing { platform: self.platform, quiet: self.quiet };
        let store = context.store()?;
        let client = self.connection.client(context)?;
        ensure!(self.name.digest().is_none(), "cannot push a digest reference");
        let names = if self.all_tags {
            ensure!(self.name.tag().is_none(), "tag can't be used with --all-tags/-a");
            let names = store.table()?.entries().iter().filter_map(name_of).collect::<Vec<_>>();
            names.into_iter().filter(|own| own.name() == self.name.name() && own.tag().is_some()).collect()
        } else {
            vec![tagged(&self.name, self.quiet)?]
        };
        ensure!(!names.is_empty(), "An image does not exist locally with the tag: {}", self.name.familiar_name());
        if !self.quiet {
            print(&format!("The push refers to repository [{}]\n", self.name.name()))?;
        }
        for name in &names {
            pushing.one(&client, &store, name)?;
        }
        Ok(0)
    }
}

struct Pushing {
    platform: Option<Platform>,
    quiet: bool,
}

impl Pushing {
    fn one(&self, client: &Client, store: &Store, name: &Reference) -> Result<()> {
        let is_there = store.table()?.entries().iter().any(|entry| name_of(entry).as_ref() == Some(name));
        ensure!(is_there, "An image does not exist locally with the tag: {}", name.familiar_name());
        let progress = shown(Direction::Push, self.quiet);
        let pushed = push(&client.repository(name)?, store, name, self.platform.as_ref(), &*progress)
            .with_context(|| format!("push {}", name.familiar()))?;
        if self.quiet {
            return print(&format!("{name}\n"));
        }
        let tag = name.tag().unwrap_or_default();
        print(&format!("{tag}: digest: {} size: {}\n", pushed.digest, pushed.size))?;
        if let Some(index) = pushed.part_of.filter(|_| self.platform.is_none()) {
            print(&format!(
                "Info -> Not all multiplatform-content is present and only the available single-platform image was pushed\n\
                 \u{20}        {index} -> {}\n",
                pushed.digest
            ))?;
        }
        Ok(())
    }
}
