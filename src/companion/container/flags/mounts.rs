//! What is mounted, of the flags and of the image.

use anyhow::{Result, ensure};

use super::Flags;
use crate::engine::options::mounts;
use crate::engine::record::{HostConfig, Mounted};

impl Flags {
    /// Those of the image come last, where nothing else is mounted.
    pub(super) fn mounts<'a>(
        &self,
        of_image: impl Iterator<Item = &'a String>,
        host: &HostConfig,
    ) -> Result<Vec<Mounted>> {
        let mut all = self.volume.iter().map(|text| mounts::volume(text)).collect::<Result<Vec<_>>>()?;
        for mounted in &self.mount {
            if mounted.kind == "bind" {
                let there = std::path::Path::new(&mounted.source).exists();
                ensure!(
                    there,
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    mounted.source
                );
            }
            all.push(mounted.clone());
        }
        for path in of_image {
            let mounted = mounts::volume(path)?;
            let taken = all.iter().any(|other| other.destination == mounted.destination);
            if !taken && !host.tmpfs.contains_key(&mounted.destination) {
                all.push(mounted);
            }
        }
        Ok(all)
    }
}
