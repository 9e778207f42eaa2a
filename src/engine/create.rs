//! `create`: a container on the disk, before anything runs.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::FlockOperation;

use super::record::{self, Record};
use super::{
    Container, Engine, group, links, locks, make_directory, network, now, options, quota, specification,
    user_namespace, volume,
};
use crate::error::Attempt;
use crate::image::store::file;
use crate::image::store::table::Image;

/// What a container is to be made from.
#[derive(Debug)]
pub struct Wanted {
    /// Everything but id, name and image.
    pub record: Record,
    /// The name, or one that is made up.
    pub name: Option<String>,
    /// The image; none with a root directory of the caller's.
    pub image: Option<Image>,
    /// Whether it takes the place of who has its name.
    pub replaces: bool,
    /// Whether it is started at once, so that its ports must be free by now.
    pub starts: bool,
}

impl Engine {
    /// Makes a container. Its record is written last: killed before that, it isn't there, and the next command removes the rest. Whom it
    /// replaces is removed after that.
    pub fn create(&self, wanted: Wanted) -> Result<Container<'_>> {
        let Wanted { mut record, name, image, replaces, starts } = wanted;
        record.id = new_id()?;
        record.created = now();
        if let Some(image) = &image {
            record.image = Some(image.id.clone());
            record.manifest = Some(image.entry.digest.clone());
            record.layers = image.config.chain();
            ensure!(!record.layers.is_empty(), "the image {} has no layers", image.id);
        }
        volume::inherit(self, &mut record)?;
        specification::check(&record)?;
        volume::check_sources(self, &record)?;
        group::Place::of(self, &record)?;
        network::settle(self, &mut record)?;
        let _nobody_else_chooses = user_namespace::settle(self, &mut record)?;
        self.name_joined(&mut record)?;
        let replaced = if replaces { self.replaced(name.as_deref(), &record)? } else { None };
        if let Some(replaced) = replaced.as_ref().filter(|_| starts) {
            network::ensure_free(self, &record, replaced)?;
        }
        let directory = self.directory(&record.id);
        let _making = self.make(&directory)?;
        let made = self.fill(&directory, &mut record, name.as_deref(), replaced.as_ref());
        if let Err(error) = made {
            super::remove::remains(self, &record.id);
            return Err(error);
        }
        self.happened(&record, "create", &[]);
        Ok(Container { engine: self, record })
    }

    /// Whose namespaces are joined is kept by id, as docker does: a name may be another container's by the time of a start.
    fn name_joined(&self, record: &mut Record) -> Result<()> {
        let host = &mut record.host_config;
        for mode in [&mut host.network_mode, &mut host.pid_mode, &mut host.ipc_mode, &mut host.userns_mode] {
            if let Some(name) = mode.strip_prefix("container:") {
                *mode = format!("container:{}", self.find(name)?.id());
            }
        }
        Ok(())
    }

    /// Who has a name: it must be the whole name, for a part of an id is nobody's.
    fn replaced(&self, name: Option<&str>, record: &Record) -> Result<Option<Container<'_>>> {
        let other = name.and_then(|name| self.find(name).ok().filter(|other| other.record.name == name));
        if let Some(other) = &other {
            let host = &record.host_config;
            let joined = format!("container:{}", other.id());
            let modes = [&host.network_mode, &host.pid_mode, &host.ipc_mode, &host.userns_mode];
            ensure!(
                !modes.into_iter().any(|mode| *mode == joined),
                "conflicting options: --replace removes the container {}, whose namespace is to be joined",
                other.record.name
            );
        }
        Ok(other)
    }

    /// A directory that is locked from the moment on in which others may see it.
    fn make(&self, directory: &Path) -> Result<locks::Lock> {
        let containers = self.containers();
        if !containers.is_dir() {
            make_directory(&containers)?;
        }
        // Who removes what was left half-made holds this lock alone.
        let _no_removal = locks::wait(&containers, FlockOperation::LockShared)?;
        fs::DirBuilder::new().mode(0o700).create(directory).attempt(|| format!("make the directory {directory:?}"))?;
        locks::wait(directory, FlockOperation::LockExclusive)
    }

    fn fill(
        &self,
        directory: &Path,
        record: &mut Record,
        name: Option<&str>,
        replaced: Option<&Container<'_>>,
    ) -> Result<()> {
        record.name = match (replaced, name) {
            (Some(_), Some(name)) => name.into(),
            _ => self.claim(&record.id, name)?,
        };
        if let Some(manifest) = &record.manifest {
            self.store.pin(&record.id, manifest, &record.layers)?;
        }
        volume::take(self, record)?;
        volume::make_room(directory, record)?;
        links::note(self, record)?;
        if record.rootfs.is_none() {
            for name in ["upper", "work", "rootfs"] {
                let path = directory.join(name);
                // The root directory's mode becomes that of the image's when it is mounted for the first time.
                fs::DirBuilder::new().mode(0o755).create(&path).attempt(|| format!("make the directory {path:?}"))?;
            }
            if let Some(size) = options::storage(&record.host_config.storage_opt)? {
                let all = ["upper", "work", volume::COVERS].map(|name| directory.join(name));
                let all: Vec<&Path> = all.iter().map(|path| &**path).filter(|path| path.exists()).collect();
                quota::limit(directory, &all, &record.id, size, "--storage-opt")?;
            }
        }
        let write = || write(directory, record, !record.host_config.auto_remove);
        match replaced {
            Some(replaced) => replaced.give_way(record, write),
            None => write(),
        }
    }
}

/// Writes a record, to a temporary name first. It is synced for a container that is to outlive a crash of the machine.
pub(super) fn write(directory: &Path, record: &Record, synced: bool) -> Result<()> {
    let bytes = serde_json::to_vec(record).context("write the record as JSON")?;
    if synced {
        return file::write_whole(directory, record::FILE, &bytes);
    }
    let path = directory.join(record::FILE);
    let temporary = file::temporary(&path);
    let written = fs::File::create(&temporary).and_then(|mut file| file.write_all(&bytes));
    written.and_then(|()| fs::rename(&temporary, &path)).attempt(|| format!("write {path:?}"))
}

/// 64 hexadecimal digits of the kernel's randomness. Twelve that are all decimal would be taken for a number by some programs, as
/// docker knows.
pub(super) fn new_id() -> Result<String> {
    loop {
        let mut bytes = [0u8; 32];
        rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()).attempt(|| "make an id")?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if id[..12].parse::<u64>().is_err() {
            return Ok(id);
        }
    }
}
