//! `rmi`: names and images away.

use anyhow::{Result, bail};
use clap::Args;

use super::output::{complain, print};
use super::{Context, Operation};
use crate::error::sentence;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::table::name_of;

/// Remove images
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Remove an image by its id with all its names, and don't mind what is not there
    #[arg(short, long)]
    force: bool,

    /// Leave what no image needs any more to `image prune`
    #[arg(long)]
    no_prune: bool,

    /// Some platforms of an image that has several, and not the others
    #[arg(long, value_name = "OS/ARCH[/VARIANT],...", value_delimiter = ',')]
    platform: Vec<Platform>,

    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Operation for Remove {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let (mut status, mut removed) = (0, false);
        for text in &self.images {
            let gone = match &self.platform[..] {
                [] => self.check_users(context, text).and_then(|()| self.remove(&store, text)),
                platforms => remove_platforms(&store, text, platforms),
            };
            match gone {
                Ok(lines) => {
                    removed = true;
                    print(&lines)?;
                }
                Err(error) if self.force && error.to_string().starts_with("No such image") => {}
                Err(error) => {
                    complain(&format!("Error: {}\n", sentence(&error)));
                    status = 1;
                }
            }
        }
        if removed && !self.no_prune {
            let collected = store.collect()?;
            let layers = collected.layers.iter().map(|layer| format!("Deleted: {layer}\n"));
            print(&layers.collect::<String>())?;
        }
        Ok(status)
    }
}

/// docker 28's: the name and what else the image has stay.
fn remove_platforms(store: &Store, text: &str, platforms: &[Platform]) -> Result<String> {
    let image = store.resolve(text, None)?;
    if store.mounts()?.iter().any(|(id, _)| id == image.id.hex()) {
        bail!("conflict: unable to remove platforms of {} - image is mounted", image.id.short());
    }
    let gone = store.remove_platforms(&image, platforms)?;
    Ok(gone.iter().map(|manifest| format!("Deleted: {manifest}\n")).collect())
}

impl Remove {
    /// An image that a container was made of stays, unless it is forced to go: then it loses its name.
    fn check_users(&self, context: &Context, text: &str) -> Result<()> {
        if self.force || !context.has_containers() {
            return Ok(());
        }
        let engine = context.engine()?;
        let image = engine.store.resolve(text, None)?;
        let one_of_several = image.names.len() > 1
            && text.parse::<Reference>().is_ok_and(|name| image.names.contains(&name.or_latest()));
        let user = engine.all()?.into_iter().find(|container| container.record.image.as_ref() == Some(&image.id));
        match user.filter(|_| !one_of_several) {
            None => Ok(()),
            Some(user) => bail!(
                "conflict: unable to remove repository reference \"{text}\" (must force) - container {} is using its \
                 referenced image {}",
                user.record.short(),
                image.id.short()
            ),
        }
    }

    fn remove(&self, store: &Store, text: &str) -> Result<String> {
        let image = store.resolve(text, None)?;
        let asked = text.parse::<Reference>().ok().map(Reference::or_latest).filter(|name| image.names.contains(name));
        if image.names.len() > 1 && asked.is_none() && !self.force {
            let id = image.id.short();
            bail!("conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories");
        }
        let last = asked.is_none() || image.names.len() == 1;
        if last && store.mounts()?.iter().any(|(id, _)| id == image.id.hex()) {
            bail!("conflict: unable to delete {} - image is mounted", image.id.short());
        }
        store.change(|table| {
            let gone: Vec<Reference> = match &asked {
                Some(name) => table.remove(name).map(|_| name.clone()).into_iter().collect(),
                None => {
                    let own = table.entries().iter().filter(|entry| entry.digest == image.entry.digest);
                    let names = own.filter_map(name_of).collect();
                    table.forget(&image.entry.digest);
                    names
                }
            };
            let mut lines: String = gone.iter().map(|name| format!("Untagged: {}\n", name.familiar())).collect();
            if !table.entries().iter().any(|entry| entry.digest == image.entry.digest) {
                lines += &format!("Deleted: {}\n", image.id);
            }
            Ok(lines)
        })
    }
}
