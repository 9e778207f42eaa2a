//! What is on disk: definitions below ROOT, and what goes with the machine's running below RUN; see the table of [`super`].

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::endpoint::Endpoint;
use super::{Network, Networks};
use crate::error::Attempt;
use crate::image::store::file::{temporary, write_whole};
use crate::image::store::lock::Lock;

impl Networks {
    pub(super) fn make_directories(&self) -> Result<()> {
        let below = ["endpoints", "leases", "ports", "taps"].map(|name| self.run.join(name));
        for directory in below.iter().chain([&self.root]) {
            make_directory(directory)?;
        }
        Ok(())
    }

    /// Keeps others from making and removing networks. What one who was killed had half-written goes.
    pub(super) fn lock_definitions(&self) -> Result<Lock> {
        let lock = Lock::take(&self.root.join("lock"), FlockOperation::LockExclusive)?;
        let what = || format!("read the directory {:?}", self.root);
        for entry in fs::read_dir(&self.root).attempt(what)? {
            let path = entry.attempt(what)?.path();
            if path.extension().is_some_and(|end| end == "new") {
                remove(&path)?;
            }
        }
        Ok(lock)
    }

    /// Keeps others from changing endpoints, links and rules.
    pub(super) fn lock(&self) -> Result<Lock> {
        Lock::take(&self.run.join("lock"), FlockOperation::LockExclusive)
    }

    /// All networks that were made.
    pub(super) fn definitions(&self) -> Result<Vec<Network>> {
        let files = names(&self.root)?;
        files
            .iter()
            .filter(|name| name.ends_with(".json"))
            .filter_map(|name| read(&self.root.join(name)).transpose())
            .collect()
    }

    pub(super) fn write_definition(&self, network: &Network) -> Result<()> {
        let text = serde_json::to_vec_pretty(network).context("write a network as JSON")?;
        write_whole(&self.root, &format!("{}.json", network.id), &text)
    }

    /// Whether a network is still there.
    pub(super) fn is_defined(&self, network: &Network) -> bool {
        self.root.join(format!("{}.json", network.id)).exists()
    }

    pub(super) fn remove_definition(&self, network: &Network) -> Result<()> {
        remove(&self.root.join(format!("{}.json", network.id)))
    }

    /// Everything below RUN that is of one network.
    pub(super) fn endpoint_directory(&self, network: &str) -> PathBuf {
        self.run.join("endpoints").join(network)
    }

    pub(super) fn lease_directory(&self, network: &str) -> PathBuf {
        self.run.join("leases").join(network)
    }

    pub(super) fn tap_directory(&self) -> PathBuf {
        self.run.join("taps")
    }

    pub(super) fn port_directory(&self) -> PathBuf {
        self.run.join("ports")
    }

    /// The endpoints of a network.
    pub fn endpoints(&self, network: &Network) -> Result<Vec<Endpoint>> {
        let directory = self.endpoint_directory(&network.id);
        names(&directory)?.iter().filter_map(|name| read(&directory.join(name)).transpose()).collect()
    }

    /// The endpoints of a container, in the order in which they were made.
    pub fn endpoints_of(&self, container: &str) -> Result<Vec<Endpoint>> {
        let directory = self.run.join("endpoints");
        let networks = names(&directory)?;
        let found = networks.iter().filter_map(|network| read(&directory.join(network).join(container)).transpose());
        let mut endpoints: Vec<Endpoint> = found.collect::<Result<_>>()?;
        endpoints.sort_by(|one, other| (one.order, &one.network).cmp(&(other.order, &other.network)));
        Ok(endpoints)
    }

    /// Whether there is anything to be given back of a container: an endpoint, or what was to become one.
    pub fn has_records(&self, container: &str) -> Result<bool> {
        let directory = self.run.join("endpoints");
        let is_there = |network: &String| {
            let path = directory.join(network).join(container);
            path.exists() || temporary(&path).exists()
        };
        Ok(names(&directory)?.iter().any(is_there))
    }

    pub(super) fn write_endpoint(&self, endpoint: &Endpoint) -> Result<()> {
        let directory = self.endpoint_directory(&endpoint.network);
        make_directory(&directory)?;
        let path = directory.join(&endpoint.container);
        // Half of one is of no use to anybody.
        write(&path, endpoint).inspect_err(|_| drop(remove(&temporary(&path))))
    }

    /// Gives a container another name in all its networks.
    pub fn rename(&self, container: &str, name: &str) -> Result<()> {
        let _alone = self.lock()?;
        let rename = |endpoint| self.write_endpoint(&Endpoint { name: name.to_owned(), ..endpoint });
        self.endpoints_of(container)?.into_iter().try_for_each(rename)
    }

    pub(super) fn remove_endpoint(&self, endpoint: &Endpoint) -> Result<()> {
        remove(&self.endpoint_directory(&endpoint.network).join(&endpoint.container))
    }

    /// Removes what was to become an endpoint's record.
    pub(super) fn remove_unwritten(&self, container: &str) -> Result<()> {
        let directory = self.run.join("endpoints");
        names(&directory)?.iter().try_for_each(|network| remove(&temporary(&directory.join(network).join(container))))
    }
}

pub(super) fn make_directory(directory: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.attempt(|| format!("make the directory {directory:?}"))
}

/// Names in a directory, sorted, without those that begin with a dot: files that are being written.
pub(super) fn names(directory: &Path) -> Result<Vec<String>> {
    let what = || format!("read the directory {directory:?}");
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.attempt(what)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.attempt(what)?.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort();
    Ok(names)
}

/// Reads a file of JSON; none is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        bytes => {
            let bytes = bytes.attempt(|| format!("read {path:?}"))?;
            serde_json::from_slice(&bytes).map(Some).with_context(|| format!("read {path:?}"))
        }
    }
}

/// Writes a file of JSON on a tmpfs: whole or not at all, and nothing to be synced.
fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let what = || format!("write {path:?}");
    let text = serde_json::to_vec(value).with_context(what)?;
    let temporary = temporary(path);
    let written = File::create(&temporary).and_then(|mut file| file.write_all(&text));
    written.and_then(|()| fs::rename(&temporary, path)).attempt(what)
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.attempt(|| format!("remove {path:?}")),
    }
}

/// Claims a name for a container: a symlink to its id. Says whose it is if it is another's.
pub(super) fn claim(path: &Path, container: &str) -> Result<Option<String>> {
    match std::os::unix::fs::symlink(container, path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Ok(owner(path).filter(|owner| owner != container))
        }
        made => made.attempt(|| format!("make the link {path:?}")).map(|()| None),
    }
}

/// Whose a name is.
pub(super) fn owner(path: &Path) -> Option<String> {
    fs::read_link(path).ok()?.into_os_string().into_string().ok()
}

/// Gives a name back if it is the container's own; says whether it was.
pub(super) fn release(path: &Path, container: &str) -> Result<bool> {
    if owner(path).as_deref() != Some(container) {
        return Ok(false);
    }
    remove(path).map(|()| true)
}

/// Removes a directory of files that may be gone already.
pub(super) fn remove_directory(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.attempt(|| format!("remove the directory {directory:?}")),
    }
}
