//! Volumes: directories of the host that outlive containers, `ROOT/volumes/NAME/`, and what is mounted there ([`options`]) while
//! containers run that have it ([`mounts`]).
//!
//! | file | what |
//! | --- | --- |
//! | `volume.json` | the record |
//! | `_data/` | what containers see |
//! | `users/ID` | an empty file for each container that has it |
//!
//! It comes and goes as a whole: until it is made, and from when it is removed, its name is `.stray-ID`. What has another name and
//! no record was put there by somebody, and is left alone.

mod covered;
mod label;
mod mounts;
pub mod options;
mod owner;
mod source;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, FlockOperation, RenameFlags, renameat_with as rename_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::options::mounts::volumes_from;
use super::record::{Mounted, Record};
use super::{Engine, locks, make_directory, now, quota, root};
use crate::error::Attempt;
use crate::image::layer::attributes::Warnings;
use crate::image::layer::copy::{self, IdMaps};
use crate::image::layer::stack::Found;
use crate::image::layer::{Stack, tree};
use crate::image::store::file;

pub(super) use covered::{DIRECTORY as COVERS, make_room};
pub(super) use label::is_enabled as has_labels;
pub(super) use mounts::{Until, unmount, unmount_strays};

const RECORD: &str = "volume.json";
const STRAY: &str = ".stray-";

/// What is known of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Volume {
    /// Unique in the store.
    pub name: String,
    /// RFC 3339.
    pub created_at: String,
    /// What people attach to it.
    pub labels: BTreeMap<String, String>,
    /// Whether nobody named it.
    pub anonymous: bool,
    /// What is mounted there, if it is not just a directory: `type`, `o`, `device`.
    pub options: BTreeMap<String, String>,
}

/// What is wanted of a volume that isn't there.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// None for one that is made up.
    pub name: Option<String>,
    /// What people attach to it.
    pub labels: BTreeMap<String, String>,
    /// What is mounted there.
    pub options: BTreeMap<String, String>,
}

/// Refuses what docker refuses, too.
pub fn check(name: &str) -> Result<()> {
    ensure!(name.len() != 1, "volume name is too short, names should be at least two alphanumeric characters");
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let good =
        name.len() >= 2 && name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && name.chars().all(fits);
    ensure!(
        good && name.len() <= 255,
        "{name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. \
         If you intended to pass a host directory, use absolute path"
    );
    Ok(())
}

impl Engine {
    fn volumes(&self) -> PathBuf {
        self.store.root().join("volumes")
    }

    fn volume_directory(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    /// What containers see of a volume.
    pub fn volume_data(&self, name: &str) -> PathBuf {
        self.volume_directory(name).join("_data")
    }

    /// Makes a volume, unless it is there.
    pub fn create_volume(&self, wanted: Wanted) -> Result<Volume> {
        self.volume_for(None, wanted)
    }

    /// As [`Engine::create_volume`], for a container, which has it from the beginning: there is no moment at which it is nobody's.
    fn volume_for(&self, user: Option<&str>, wanted: Wanted) -> Result<Volume> {
        let Wanted { name, labels, options } = wanted;
        let anonymous = name.is_none();
        let name = name.map_or_else(super::create::new_id, Ok)?;
        check(&name)?;
        options::check(&options).with_context(|| format!("create {name}"))?;
        let directory = self.volume_directory(&name);
        if !self.volumes().is_dir() {
            make_directory(&self.volumes())?;
        }
        let _no_removal_of_strays = locks::wait(&self.volumes(), FlockOperation::LockShared)?;
        if !directory.exists() {
            let stray = self.stray()?;
            let volume = Volume { name: name.clone(), created_at: now(), labels, anonymous, options: options.clone() };
            if let Err(error) = lay_out(&stray, &volume).and_then(|()| have(&stray, user)) {
                let _ = self.erase_stray(&stray);
                return Err(error);
            }
            match rename_with(CWD, &stray, CWD, &directory, RenameFlags::NOREPLACE) {
                // Somebody else was faster.
                Err(Errno::EXIST) => self.erase_stray(&stray)?,
                made => {
                    made.attempt(|| format!("make the volume {directory:?}"))?;
                    file::sync_directory(&self.volumes())?;
                }
            }
        } else if !directory.join(RECORD).exists() {
            let options = options.clone();
            lay_out(&directory, &Volume { name: name.clone(), created_at: now(), labels, anonymous, options })?;
        }
        have(&directory, user)?;
        let volume = self.volume(&name)?;
        let is_as_wanted = options.is_empty() || volume.options == options;
        ensure!(is_as_wanted, "create {name}: the volume is there, with other options");
        Ok(volume)
    }

    /// Finds a volume.
    pub fn volume(&self, name: &str) -> Result<Volume> {
        let missing = || format!("get {name}: no such volume");
        check(name).ok().with_context(missing)?;
        let bytes = fs::read(self.volume_directory(name).join(RECORD)).ok().with_context(missing)?;
        serde_json::from_slice(&bytes).with_context(|| format!("the record of volume {name} can't be read"))
    }

    /// All volumes, by name.
    pub fn all_volumes(&self) -> Vec<Volume> {
        let entries = fs::read_dir(self.volumes()).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut all: Vec<Volume> = names.filter_map(|name| self.volume(&name).ok()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// The containers that have it.
    pub fn users_of(&self, name: &str) -> Vec<String> {
        let users = self.volume_directory(name).join("users");
        let entries = fs::read_dir(&users).into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().into_string().ok());
        ids.filter(|id| {
            let there = self.directory(id).exists();
            if !there {
                let _ = fs::remove_file(users.join(id));
            }
            there
        })
        .collect()
    }

    /// Removes a volume that no container has.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        self.volume(name)?;
        self.erase_volume(name, None)
    }

    /// Removes a volume that nobody has but perhaps who gives it back.
    fn erase_volume(&self, name: &str, giver: Option<&str>) -> Result<()> {
        let _no_removal_of_strays = locks::wait(&self.volumes(), FlockOperation::LockShared)?;
        // Who comes to have it from now on can't mount what it is before it is gone: what is mounted would be removed with it.
        let _no_mount = locks::wait(&self.volume_directory(name), FlockOperation::LockExclusive)?;
        let users: Vec<String> = self.users_of(name).into_iter().filter(|user| Some(&**user) != giver).collect();
        ensure!(users.is_empty(), "remove {name}: volume is in use - [{}]", users.join(", "));
        // What is mounted there is somebody else's.
        root::unmount(&self.volume_data(name))?;
        let stray = self.stray()?;
        fs::rename(self.volume_directory(name), &stray).attempt(|| format!("remove the volume {name}"))?;
        self.erase_stray(&stray)
    }

    /// A name for what is no volume yet, or no longer.
    fn stray(&self) -> Result<PathBuf> {
        Ok(self.volumes().join(format!("{STRAY}{}", super::create::new_id()?)))
    }

    fn erase_stray(&self, stray: &Path) -> Result<()> {
        let volumes = self.volumes();
        let parent = File::open(&volumes).attempt(|| format!("open {volumes:?}"))?;
        let project = quota::of(stray);
        let removed = tree::remove(parent, stray.file_name().unwrap_or_default().as_encoded_bytes());
        quota::lift(&volumes, project);
        removed
    }

    /// A container has it no longer; one that was made for it goes, unless another has it, too. It goes as a whole, for a volume that
    /// nobody named and nobody has would be found by nobody.
    fn give_back(&self, id: &str, name: &str, anonymous: bool) {
        if anonymous && self.users_of(name).iter().all(|user| user == id) {
            let _ = self.erase_volume(name, Some(id));
        } else {
            let _ = fs::remove_file(self.volume_directory(name).join("users").join(id));
        }
    }

    /// Removes what a command left that was killed while it made or removed a volume.
    pub(super) fn remove_strays(&self) {
        let entries = fs::read_dir(self.volumes()).into_iter().flatten().flatten();
        let is_stray =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(STRAY.as_bytes()));
        let strays: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_stray).collect();
        if strays.is_empty() {
            return;
        }
        // Whoever makes or removes one has this lock, and whoever comes after it makes one of another name.
        let Some(_alone) = locks::try_alone(&self.volumes()) else { return };
        for stray in strays {
            let _ = self.erase_stray(&stray);
        }
    }
}

/// Makes what a volume consists of.
fn lay_out(directory: &Path, volume: &Volume) -> Result<()> {
    make_directory(&directory.join("users"))?;
    let data = directory.join("_data");
    let made = DirBuilder::new().recursive(true).mode(0o755).create(&data);
    made.attempt(|| format!("make the directory {data:?}"))?;
    if let Some(size) = options::size(&volume.options)? {
        quota::limit(directory, &[&data], &super::create::new_id()?, size, "the option size")?;
    }
    file::write_whole(directory, RECORD, &serde_json::to_vec(volume)?)
}

/// Notes that a container has the volume.
fn have(directory: &Path, user: Option<&str>) -> Result<()> {
    let Some(user) = user.map(|user| directory.join("users").join(user)) else { return Ok(()) };
    File::create(&user).attempt(|| format!("make {user:?}")).map(drop)
}

/// `--volumes-from`: what others have mounted is mounted in this container, too, in place of the volumes that its image wants, and not
/// where it has something of its own.
pub(super) fn inherit(engine: &Engine, record: &mut Record) -> Result<()> {
    for text in record.host_config.volumes_from.clone() {
        let (name, writable) = volumes_from(&text)?;
        let other = engine.find(name)?;
        for mounted in other.record.mounts.iter().filter(|mounted| mounted.kind != "tmpfs") {
            let of_image = |own: &Mounted| own.anonymous && record.config.volumes.contains_key(&own.destination);
            let destination = &mounted.destination;
            let is_own = record.mounts.iter().any(|own| own.destination == *destination && !of_image(own));
            if is_own || record.host_config.tmpfs.contains_key(destination) {
                continue;
            }
            record.mounts.retain(|own| own.destination != *destination);
            let writable = mounted.writable && writable;
            let source = if mounted.covered.is_empty() { &mounted.source } else { &mounted.covered };
            record.mounts.push(Mounted { writable, copies: false, source: source.clone(), ..mounted.clone() });
        }
    }
    Ok(())
}

/// Refuses to change or cover what may not be, before anything is made.
pub(super) fn check_sources(engine: &Engine, record: &Record) -> Result<()> {
    for mounted in &record.mounts {
        if !mounted.covered.is_empty() {
            ensure!(
                Path::new(&mounted.source).is_dir(),
                "the directory {:?} to mount over is not there",
                mounted.source
            );
        }
        source::check(engine, mounted)?;
    }
    Ok(())
}

/// Makes the volumes that a container wants, and notes that it has them; says where other sources will be.
pub(super) fn take(engine: &Engine, record: &mut Record) -> Result<()> {
    let id = record.id.clone();
    for (number, mounted) in record.mounts.iter_mut().enumerate().filter(|(_, mounted)| !mounted.covered.is_empty()) {
        mounted.source = mounts::subpaths(engine, &id).join(number.to_string()).to_string_lossy().into_owned();
    }
    let volumes = record.mounts.iter_mut().enumerate().filter(|(_, mounted)| mounted.kind == "volume");
    for (number, mounted) in volumes {
        let name = Some(mounted.name.clone()).filter(|name| !name.is_empty());
        let wanted = Wanted { name, options: std::mem::take(&mut mounted.options), ..Wanted::default() };
        let volume = engine.volume_for(Some(&record.id), wanted)?;
        let source = match mounted.subpath.is_empty() {
            true => engine.volume_data(&volume.name),
            false => mounts::subpaths(engine, &record.id).join(number.to_string()),
        };
        mounted.source = source.to_string_lossy().into_owned();
        mounted.name = volume.name;
    }
    Ok(())
}

/// Whether a container has a quota, of its own or by one of its volumes.
pub(super) fn has_quota(engine: &Engine, record: &Record) -> bool {
    let limited = |volume: &Volume| volume.options.contains_key("size");
    let mut volumes = record.mounts.iter().filter(|mounted| mounted.kind == "volume");
    !record.host_config.storage_opt.is_empty()
        || volumes.any(|mounted| engine.volume(&mounted.name).is_ok_and(|volume| limited(&volume)))
}

/// Gives the volumes of a container back; those that were made for it go.
pub(super) fn release(engine: &Engine, record: &Record) {
    for mounted in record.mounts.iter().filter(|mounted| mounted.kind == "volume") {
        engine.give_back(&record.id, &mounted.name, mounted.anonymous);
    }
}

/// As [`release`], of a container that has no record.
pub(super) fn release_of(engine: &Engine, id: &str) {
    for volume in engine.all_volumes() {
        if engine.volume_directory(&volume.name).join("users").join(id).exists() {
            engine.give_back(id, &volume.name, volume.anonymous);
        }
    }
}

/// Makes what is mounted: directories for binds that aren't there, as docker does, what volumes are, and their first content.
pub(super) fn prepare(engine: &Engine, record: &Record, files: &Stack, until: Until) -> Result<()> {
    mounts::mount(engine, record, until)?;
    covered::mount(engine, record)?;
    let seen = files;
    // Where the mount of a volume maps ids, the volume has those of the image, as the layers have.
    let layers = match (&record.ids, &engine.user) {
        (Some(_), None) => Some(engine.store.stack(&record.layers)?),
        _ => None,
    };
    let files = layers.as_ref().unwrap_or(files);
    let own = record.ids.as_ref().filter(|_| engine.user.is_some());
    for mounted in &record.mounts {
        let is_new = mounted.covered.is_empty() && mounted.mode != "must-exist" && !Path::new(&mounted.source).exists();
        match mounted.kind.as_str() {
            "bind" if is_new => {
                let made = fs::create_dir_all(&mounted.source);
                made.attempt(|| format!("make the directory {:?}", mounted.source))?;
            }
            "volume" => {
                if let Some(ids) = &own {
                    give_to_somebody(mounted, ids)?;
                }
                fill(engine, mounted, files)?;
            }
            _ => {}
        }
        if until == Until::End {
            label::change(engine, record, mounted)?;
            owner::change(engine, record, mounted, seen)?;
        }
    }
    Ok(())
}

/// A new volume is the user's, whom not every container of the user has: then it is its root's.
fn give_to_somebody(mounted: &Mounted, ids: &IdMaps) -> Result<()> {
    let data = Path::new(&mounted.source);
    let found = fs::metadata(data).attempt(|| format!("look at {data:?}"))?;
    let is_empty = fs::read_dir(data).attempt(|| format!("read {data:?}"))?.next().is_none();
    if is_empty && !ids.has_owner(found.uid(), found.gid()) {
        let (uid, gid) = ids.root();
        chown(data, Some(uid), Some(gid)).attempt(|| format!("change the owner of {data:?}"))?;
    }
    Ok(())
}

/// Copies what the image has at a volume's place into the volume, if that is empty: a program finds there what it was built with.
fn fill(engine: &Engine, mounted: &Mounted, files: &Stack) -> Result<()> {
    let data = Path::new(&mounted.source);
    if !mounted.subpath.is_empty() || !mounted.copies {
        return Ok(());
    }
    // Who comes second doesn't begin with half of it.
    let _alone = locks::wait(&engine.volume_directory(&mounted.name), FlockOperation::LockExclusive)?;
    let mut inside = fs::read_dir(data).attempt(|| format!("read {data:?}"))?;
    if inside.next().is_some() {
        return Ok(());
    }
    let Some(Found::Directory(directory)) = files.resolve(mounted.destination.as_bytes())? else { return Ok(()) };
    let target = File::open(data).attempt(|| format!("open {data:?}"))?;
    copy::tree(&directory.stack(), target.into(), &IdMaps::default(), &mut Warnings::new())
        .with_context(|| format!("fill the volume {}", mounted.name))
}
