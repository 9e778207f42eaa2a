//! `manifest`: documents as they are, what is said about them, and lists that are put together here.

mod list;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use serde_json::{Value, json};

use super::output::print;
use super::registry::Connection;
use super::{Context, Operation};
use crate::image::manifest::{Descriptor, Document, Index};
use crate::image::reference::Reference;
use crate::image::store::Store;

#[derive(Debug, Subcommand)]
pub(super) enum Manifest {
    Annotate(list::Annotate),
    Create(list::Create),
    Inspect(Inspect),
    Push(list::Push),
    Referrers(Referrers),
    #[command(visible_alias = "remove")]
    Rm(list::Remove),
}

/// Print a manifest or index, byte for byte: that of a list put together here, the store's, or else the registry's
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// Ask the registry even if the store has it
    #[arg(long)]
    remote: bool,

    /// Take plain HTTP, and whoever answers
    #[arg(long)]
    insecure: bool,

    /// Print each manifest with its name, digest, size and platform, those of an index as a list
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    connection: Connection,

    /// A name, or an id of the store; behind a list's name, that of an image of it
    #[arg(required = true, num_args = 1..=2, value_name = "[LIST] MANIFEST")]
    names: Vec<String>,
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
            Manifest::Annotate(annotate) => return annotate.carry_out(context),
            Manifest::Create(create) => return create.carry_out(context),
            Manifest::Push(push) => return push.carry_out(context),
            Manifest::Rm(remove) => return remove.carry_out(context),
            Manifest::Inspect(inspect) => inspect.text(context)?,
            Manifest::Referrers(referrers) => referrers.text(context)?,
        };
        print(&String::from_utf8_lossy(&text))?;
        Ok(0)
    }
}

impl Inspect {
    fn text(mut self, context: &Context) -> Result<Vec<u8>> {
        let image = self.names.pop().unwrap_or_default();
        if let Some(list) = self.names.pop() {
            return self.of_list(context, &list, &image);
        }
        if !self.remote
            && !self.verbose
            && let Some(index) = listed(&context.store()?, &image)?
        {
            return Ok(index);
        }
        self.of_image(context, &image)
    }

    /// The manifest of an image of a list that is put together here.
    fn of_list(self, context: &Context, list: &str, image: &str) -> Result<Vec<u8>> {
        let (name, source) = (list.parse::<Reference>()?.or_latest(), image.parse::<Reference>()?.or_latest());
        let mut list = context.store()?.list(&name)?.with_context(|| list::missing(&name))?;
        let member = list.member(&source).cloned().with_context(|| list::missing(&source))?;
        let repository = source.clone();
        let client = self.connection.insecure_if(self.insecure).client(context)?;
        let (_, document) = client.repository(&repository)?.manifest(&member.descriptor.digest.to_string())?;
        if self.verbose {
            verbose(&source.to_string(), &member.descriptor, &document, |_| Ok(None))
        } else {
            Ok(document)
        }
    }

    fn of_image(self, context: &Context, image: &str) -> Result<Vec<u8>> {
        let missing = if self.remote {
            None
        } else {
            let store = context.store()?;
            match store.resolve(image, None) {
                Ok(found) => {
                    let document = store.document(&found.entry)?;
                    let name = found.names.first().map_or_else(|| image.to_owned(), ToString::to_string);
                    let there =
                        |below: &Descriptor| store.has_blob(&below.digest).then(|| store.document(below)).transpose();
                    return if self.verbose { verbose(&name, &found.entry, &document, there) } else { Ok(document) };
                }
                Err(error) => Some(error),
            }
        };
        let name = match (image.parse::<Reference>(), missing) {
            (Ok(name), _) => name.or_latest(),
            // An id that there is not.
            (Err(_), Some(missing)) => return Err(missing),
            (Err(error), None) => return Err(error),
        };
        let client = self.connection.insecure_if(self.insecure).client(context)?;
        let what = || format!("the manifest of {}", name.familiar());
        let repository = client.repository(&name)?;
        let (descriptor, document) = repository.manifest(&name.in_registry()).with_context(what)?;
        let there = |below: &Descriptor| {
            repository.manifest(&below.digest.to_string()).with_context(what).map(|(_, bytes)| Some(bytes))
        };
        if self.verbose { verbose(&name.to_string(), &descriptor, &document, there) } else { Ok(document) }
    }
}

/// The index that a list put together here would be.
fn listed(store: &Store, name: &str) -> Result<Option<Vec<u8>>> {
    let Ok(name) = name.parse::<Reference>() else { return Ok(None) };
    store.list(&name.or_latest())?.map(|list| Ok([list.index()?.1, b"\n".to_vec()].concat())).transpose()
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
            None => repository.manifest(&name.in_registry()).with_context(what)?.0.digest,
        };
        let manifests = repository.referrers(&subject).with_context(what)?;
        let mut text = serde_json::to_vec_pretty(&Index { manifests, ..Index::default() })?;
        text.push(b'\n');
        Ok(text)
    }
}
