//! `manifest inspect` and `manifest referrers`: documents as they are, and what is said about them.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use serde_json::{Value, json};

use super::output::print;
use super::registry::Connection;
use super::{Context, Operation};
use crate::image::manifest::{Descriptor, Document, Index};
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

    /// Print each manifest with its name, digest, size and platform, those of an index as a list
    #[arg(short, long)]
    verbose: bool,

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
                Ok(image) => {
                    let document = store.document(&image.entry)?;
                    let name = image.names.first().map_or_else(|| self.image.clone(), ToString::to_string);
                    let there =
                        |below: &Descriptor| store.has_blob(&below.digest).then(|| store.document(below)).transpose();
                    return if self.verbose { verbose(&name, &image.entry, &document, there) } else { Ok(document) };
                }
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
        let repository = client.repository(&name)?;
        let (descriptor, document) = repository.manifest(&named(&name)).with_context(what)?;
        let there = |below: &Descriptor| {
            repository.manifest(&below.digest.to_string()).with_context(what).map(|(_, bytes)| Some(bytes))
        };
        if self.verbose { verbose(&name.to_string(), &descriptor, &document, there) } else { Ok(document) }
    }
}

/// docker's form of it: one object, or a list of those of an index that are there.
fn verbose(
    name: &str,
    descriptor: &Descriptor,
    document: &[u8],
    there: impl Fn(&Descriptor) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<u8>> {
    let one = |name: String, descriptor: &Descriptor, document: &[u8]| -> Result<Value> {
        let kind = if descriptor.media_type.contains("docker") { "SchemaV2Manifest" } else { "OCIManifest" };
        // Without the store's own annotations.
        let descriptor = Descriptor { annotations: Default::default(), ..descriptor.clone() };
        Ok(json!({ "Ref": name, "Descriptor": descriptor, kind: serde_json::from_slice::<Value>(document)? }))
    };
    let described = match Document::parse(document, &descriptor.media_type)? {
        Document::Manifest(_) => one(name.to_owned(), descriptor, document)?,
        Document::Index(index) => {
            let mut all = Vec::new();
            for below in &index.manifests {
                if let Some(document) = there(below)? {
                    all.push(one(format!("{name}@{}", below.digest), below, &document)?);
                }
            }
            all.into()
        }
    };
    let mut text = serde_json::to_vec_pretty(&described)?;
    text.push(b'\n');
    Ok(text)
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
