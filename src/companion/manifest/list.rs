//! `manifest create`, `annotate`, `push`, `rm`: a list that is put together here.

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::json;

use super::super::output::{complain, print, remark};
use super::super::registry::Connection;
use super::super::{Context, Operation};
use crate::error::sentence;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::registry::list;
use crate::image::store::lists::List;

/// Put a list of manifests together, which a push makes an index of a registry
#[derive(Debug, Args)]
pub(in crate::companion) struct Create {
    /// Add to a list that is there
    #[arg(short, long)]
    amend: bool,

    /// Take plain HTTP, and whoever answers
    #[arg(long)]
    insecure: bool,

    #[command(flatten)]
    connection: Connection,

    /// The list's name, which is where it is pushed to
    #[arg(value_name = "LIST")]
    list: Reference,

    /// Images in the list's registry
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<Reference>,
}

impl Operation for Create {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let (store, name) = (context.store()?, self.list.or_latest());
        let client = self.connection.insecure_if(self.insecure).client(context)?;
        let may_be = |there: Option<&List>| {
            ensure!(self.amend || there.is_none(), "refusing to amend an existing manifest list with no --amend flag");
            Ok(())
        };
        // Before the registry is asked, for it may be far away.
        may_be(store.list(&name)?.as_ref())?;
        let member = |source: &Reference| {
            let source = source.clone().or_latest();
            list::member(&client, &source).with_context(|| format!("the manifest of {}", source.familiar()))
        };
        let members = self.manifests.iter().map(member).collect::<Result<Vec<_>>>()?;
        store.change_list(&name, |there| {
            may_be(there.as_ref())?;
            let mut list = there.unwrap_or_default();
            members.into_iter().for_each(|member| list.add(member));
            Ok((list, ()))
        })?;
        print(&format!("Created manifest list {name}\n"))?;
        Ok(0)
    }
}

/// Say whom an image of a list is for
#[derive(Debug, Args)]
pub(in crate::companion) struct Annotate {
    /// Its processor's architecture
    #[arg(long)]
    arch: Option<String>,

    /// Its operating system
    #[arg(long)]
    os: Option<String>,

    /// What it needs of its operating system
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    os_features: Vec<String>,

    /// The version of its operating system
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,

    /// The variant of its architecture
    #[arg(long)]
    variant: Option<String>,

    /// The list
    #[arg(value_name = "LIST")]
    list: Reference,

    /// An image of the list
    #[arg(value_name = "MANIFEST")]
    manifest: Reference,
}

impl Operation for Annotate {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let (name, source) = (self.list.clone().or_latest(), self.manifest.clone().or_latest());
        context.store()?.change_list(&name, |there| {
            let mut list = there.with_context(|| missing(&name))?;
            let member = list.member(&source).with_context(|| {
                format!("manifest for image {} does not exist in {}", source.familiar(), name.familiar())
            })?;
            self.annotate(member.descriptor.platform.get_or_insert_default());
            Ok((list, ()))
        })?;
        Ok(0)
    }
}

impl Annotate {
    fn annotate(&self, platform: &mut Platform) {
        let fields = [
            (&mut platform.architecture, &self.arch),
            (&mut platform.os, &self.os),
            (&mut platform.variant, &self.variant),
        ];
        for (field, said) in fields {
            if let Some(said) = said {
                field.clone_from(said);
            }
        }
        if let Some(version) = &self.os_version {
            platform.rest.insert("os.version".into(), json!(version));
        }
        if !self.os_features.is_empty() {
            platform.rest.insert("os.features".into(), json!(self.os_features));
        }
    }
}

/// Push a list to its registry, with all images of it that are in other repositories there
#[derive(Debug, Args)]
pub(in crate::companion) struct Push {
    /// Take plain HTTP, and whoever answers
    #[arg(long)]
    insecure: bool,

    /// Forget the list afterwards
    #[arg(short, long)]
    purge: bool,

    #[command(flatten)]
    connection: Connection,

    /// The list
    #[arg(value_name = "LIST")]
    list: Reference,
}

impl Operation for Push {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let (store, name) = (context.store()?, self.list.or_latest());
        let list = store.list(&name)?.with_context(|| missing(&name))?;
        let client = self.connection.insecure_if(self.insecure).client(context)?;
        let digest = list::push(&client, &store, &name, &list).with_context(|| format!("push {}", name.familiar()))?;
        if self.purge && !store.forget_list_as(&name, &list)? {
            remark(&format!("the list {} was changed meanwhile, and is kept", name.familiar()));
        }
        print(&format!("{digest}\n"))?;
        Ok(0)
    }
}

/// Forget lists; what was pushed of them stays
#[derive(Debug, Args)]
pub(in crate::companion) struct Remove {
    /// The lists
    #[arg(required = true, value_name = "LIST")]
    lists: Vec<Reference>,
}

impl Operation for Remove {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let mut status = 0;
        for name in self.lists.into_iter().map(Reference::or_latest) {
            match store.forget_list(&name).and_then(|was| was.then_some(()).with_context(|| missing(&name))) {
                Ok(()) => {}
                Err(error) => {
                    complain(&format!("Error: {}\n", sentence(&error)));
                    status = 1;
                }
            }
        }
        Ok(status)
    }
}

pub(super) fn missing(name: &Reference) -> String {
    format!("No such manifest: {name}")
}
