//! `export`: the files of a container or an image as one archive.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::commit::source_date_epoch;
use super::output::whole_file;
use super::{Context, Operation};
use crate::engine::files_of;
use crate::error::Attempt;
use crate::image::layer::Stack;
use crate::image::layer::changes::between;
use crate::image::layer::pack::pack;
use crate::image::platform::Platform;
use crate::image::store::lease::{Lease, What};

/// Write the files of a container or an image, all layers together, as one archive
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Write to a file instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The platform of an image that has several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,

    /// The name or id of a container or an image
    #[arg(value_name = "CONTAINER|IMAGE")]
    what: String,
}

impl Operation for Export {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let lease = Lease::new(&store)?;
        let files = match context.engine_with(&self.what)? {
            Some(engine) => {
                let container = engine.find(&self.what)?;
                files_of(&container)?.1
            }
            None => {
                let image = store.resolve(&self.what, self.platform.as_ref())?;
                let chain = image.config.chain();
                for chain_id in &chain {
                    lease.pin(What::Layer, chain_id)?;
                }
                store.stack(&chain)?
            }
        };
        let changes = between(&Stack::new(store.form()), &files, |_| false)?;
        let write = |output: &mut dyn Write| -> Result<()> {
            let output = BufWriter::with_capacity(128 << 10, output);
            pack(&changes, &files, source_date_epoch()?, output)?.flush().attempt(|| "write the archive")
        };
        match &self.output {
            Some(path) => whole_file(path, |mut file| write(&mut file))?,
            None => {
                let stdout = std::io::stdout();
                ensure!(
                    !rustix::termios::isatty(&stdout),
                    "cowardly refusing to export to a terminal: give --output or redirect it"
                );
                write(&mut stdout.lock())?;
            }
        }
        Ok(0)
    }
}
