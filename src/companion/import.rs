//! `import`: an image of one layer from an archive of files.

use std::fs::File;
use std::io::Read;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;

use super::commit::{Packed, created, packed, source_date_epoch};
use super::instruction::change;
use super::output::{print, warn};
use super::registry::Connection;
use super::{Context, Operation};
use crate::error::Attempt;
use crate::image::layer::compression::decoder;
use crate::image::manifest::Manifest;
use crate::image::media_type;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::registry::file;
use crate::image::store::intake::Intake;

/// Make an image of one layer from an archive of files
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Change the configuration by an instruction, such as `CMD ["sh"]`, `ENV A=1`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,

    /// Say where it is from
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,

    /// The platform that it is for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,

    /// A file, an address of the web, or - for the standard input
    #[arg(value_name = "FILE|URL|-")]
    archive: String,

    /// The name that the image gets
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<Reference>,
}

impl Operation for Import {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let mut intake = Intake::new(&store)?;
        let input: Box<dyn Read + Send> = match self.archive.as_str() {
            "-" => Box::new(std::io::stdin()),
            address if file::is_address(address) => {
                Box::new(file::open(&Connection::default().client(context)?, address)?)
            }
            path => Box::new(File::open(path).attempt(|| format!("open {path:?}"))?),
        };
        let (_, mut content) = decoder(input).with_context(|| format!("read {:?}", self.archive))?;
        let (layer, diff_id) = packed(&intake, media_type::OCI_CONFIG, Packed::Gzip, |mut output| {
            std::io::copy(&mut content, &mut output).map(drop).with_context(|| format!("read {:?}", self.archive))
        })?;
        let platform = self.platform.clone().unwrap_or_else(Platform::host);
        let created = created(source_date_epoch()?);
        let mut config = json!({
            "created": created,
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": created, "created_by": "ctn import", "comment": self.message}],
        });
        if !platform.variant.is_empty() {
            config["variant"] = platform.variant.into();
        }
        for instruction in &self.change {
            change(&mut config["config"], instruction)?;
        }
        let config = intake.bytes(media_type::OCI_CONFIG, &serde_json::to_vec(&config)?)?;
        let id = config.digest.clone();
        let manifest = serde_json::to_vec(&Manifest::new(config, vec![layer]))?;
        let entry = intake.bytes(media_type::OCI_MANIFEST, &manifest)?;
        let names: Vec<Reference> = self.name.clone().map(Reference::or_latest).into_iter().collect();
        intake.image(&store, &entry, &names).with_context(|| format!("import {:?}", self.archive))?;
        warn(&intake.commit()?);
        print(&format!("{id}\n"))?;
        Ok(0)
    }
}
