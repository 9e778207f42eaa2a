//! `pull`: images from a registry.

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use super::output::{print, remark, warn};
use super::progress::{Direction, shown};
use super::registry::{Connection, tagged};
use super::trust::Trust;
use super::{Context, Operation};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::registry::client::Client;
use crate::image::registry::pull::{Wanted, pull};
use crate::image::store::Store;

/// Pull an image from a registry
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// Pull all tags of the repository
    #[arg(short, long)]
    all_tags: bool,

    /// Pull all platforms of an image that has several
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,

    /// The platform of an image that has several; this machine's, if nothing is said
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,

    /// Print the id alone
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    trust: Trust,

    #[command(flatten)]
    connection: Connection,

    /// What is pulled
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: Reference,
}

impl Operation for Pull {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let pulling = Pulling { platform: self.platform, all: self.all_platforms, quiet: self.quiet };
        let store = context.store()?;
        let client = self.connection.client(context)?;
        if !self.all_tags {
            let name = tagged(&self.name, self.quiet)?;
            pulling.one(&client, &store, &name)?;
            if !self.quiet {
                print(&format!("{name}\n"))?;
            }
            return Ok(0);
        }
        ensure!(self.name.tag().is_none() && self.name.digest().is_none(), "tag can't be used with --all-tags/-a");
        let tags =
            client.repository(&self.name)?.tags().with_context(|| format!("the tags of {}", self.name.familiar()))?;
        ensure!(!tags.is_empty(), "{} has no tags", self.name.familiar());
        for tag in tags {
            pulling.one(&client, &store, &self.name.with_tag(&tag)?)?;
        }
        if !self.quiet {
            print(&format!("{}\n", self.name))?;
        }
        Ok(0)
    }
}

struct Pulling {
    platform: Option<Platform>,
    all: bool,
    quiet: bool,
}

impl Pulling {
    fn one(&self, client: &Client, store: &Store, name: &Reference) -> Result<()> {
        if !self.quiet {
            let digest = name.digest().map(ToString::to_string);
            let what = digest.unwrap_or_else(|| name.tag().unwrap_or_default().to_owned());
            print(&format!("{what}: Pulling from {}\n", name.path()))?;
        }
        let progress = shown(Direction::Pull, self.quiet);
        let wanted = if self.all { Wanted::All } else { Wanted::One(self.platform.as_ref()) };
        let pulled =
            pull(client, store, name, wanted, &*progress).with_context(|| format!("pull {}", name.familiar()))?;
        warn(&pulled.warnings);
        let host = Platform::host();
        if let Some(platform) = pulled.platform.filter(|own| self.platform.is_none() && host.distance(own).is_none()) {
            remark(&format!("{} is for {platform}, and this machine is {host}", name.familiar()));
        }
        if self.quiet {
            return print(&format!("{}\n", pulled.id));
        }
        let status = if pulled.is_new { "Downloaded newer image for" } else { "Image is up to date for" };
        print(&format!("Digest: {}\nStatus: {status} {}\n", pulled.digest, pulled.name.familiar()))
    }
}
