//! `manifest inspect` and `manifest referrers`: documents as they are, and what is said about them.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use super::output::print;
use super::registry::Connection;
use super::{Context, Operation};
use crate::image::manifest::Index;
use crate::image::reference::{LATEST, Reference};

#[derive(Debug, Subcommand)]
pub(super) enum Manifest {
    Inspect(Inspect),
    Referrers(Referrers),
}

/// Print a manifest or index, byte for byte: the store's, or else the registry's
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// Ask the registry even if the store has it
    #[arg(long)]
    remote: bool,

    #[command(flatten)]
    connection: Connection,

    /// A name, or an id of the store
    image: String,
}

/// Print the index of what refers to a manifest in a registry: signatures and the like
#[derive(Debug, Args)]
pub(super) struct Referrers {
    #[command(flatten)]
    connection: Connection,

    /// What is referred to
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    image: Reference,
}

impl Operation for Manifest {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let text = match self {
            Manifest::Inspect(inspect) => inspect.text(context)?,
            Manifest::Referrers(referrers) => referrers.text(context)?,
        };
        print(&String::from_utf8_lossy(&text))?;
        Ok(0)
    }
}

impl Inspect {
    fn text(self, context: &Context) -> Result<Vec<u8>> {
        let missing = if self.remote {
            None
        } else {
            let store = context.store()?;
            match store.resolve(&self.image, None) {
                Ok(image) => return store.document(&image.entry),
                Err(error) => Some(error),
            }
        };
        let name = match (self.image.parse::<Reference>(), missing) {
            (Ok(name), _) => name.or_latest(),
            // An id that there is not.
            (Err(_), Some(missing)) => return Err(missing),
            (Err(error), None) => return Err(error),
        };
        let client = self.connection.client(context)?;
        let what = || format!("the manifest of {}", name.familiar());
        client.repository(&name)?.manifest(&named(&name)).with_context(what).map(|(_, bytes)| bytes)
    }
}

impl Referrers {
    fn text(self, context: &Context) -> Result<Vec<u8>> {
        let name = self.image.or_latest();
        let what = || format!("the referrers of {}", name.familiar());
        let client = self.connection.client(context)?;
        let repository = client.repository(&name)?;
        let subject = match name.digest() {
            Some(digest) => digest.clone(),
            None => repository.manifest(&named(&name)).with_context(what)?.0.digest,
        };
        let manifests = repository.referrers(&subject).with_context(what)?;
        let mut text = serde_json::to_vec_pretty(&Index { manifests, ..Index::default() })?;
        text.push(b'\n');
        Ok(text)
    }
}

/// What a registry knows it by.
fn named(name: &Reference) -> String {
    let digest = name.digest().map(ToString::to_string);
    digest.unwrap_or_else(|| name.tag().unwrap_or(LATEST).to_owned())
}
