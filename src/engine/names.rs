//! Names of containers: a symlink to the id for each, so that whoever makes it first has the name.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use rustix::fs::FlockOperation;

use super::{Engine, locks, make_directory, record};
use crate::error::Attempt;

/// Half of a name that is made up; the colours that Corten steel takes on.
const COLOURS: [&str; 32] = [
    "amber", "auburn", "beige", "bronze", "brown", "burnt", "carmine", "chestnut", "cinnabar", "copper", "coral",
    "crimson", "dusky", "ember", "ferrous", "garnet", "ginger", "golden", "hazel", "henna", "mahogany", "maroon",
    "ochre", "orange", "russet", "rusty", "saffron", "scarlet", "sepia", "sienna", "tawny", "umber",
];
/// The other half: what is seen in a port.
const THINGS: [&str; 32] = [
    "anchor", "barge", "beacon", "berth", "bollard", "bow", "bridge", "buoy", "cabin", "canal", "capstan", "cargo",
    "crane", "deck", "derrick", "dock", "ferry", "freight", "galley", "harbour", "hatch", "hull", "jetty", "keel",
    "lock", "mast", "pier", "quay", "rudder", "sluice", "tug", "wharf",
];

/// Refuses what docker refuses, too.
pub(super) fn check(name: &str) -> Result<()> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let good =
        name.len() >= 2 && name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && name.chars().all(fits);
    ensure!(good && name.len() <= 128, "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
    Ok(())
}

/// Some name for an id, another one for each attempt.
fn made_up(id: &str, attempt: usize) -> String {
    let byte = |at: usize| usize::from_str_radix(id.get(at..at + 2).unwrap_or("0"), 16).unwrap_or(0);
    let name = format!("{}_{}", COLOURS[byte(2 * attempt % 60) % 32], THINGS[byte(2 * attempt % 60 + 2) % 32]);
    // A few hundred names are soon taken.
    if attempt < 3 { name } else { format!("{name}{}", byte(2 * attempt % 56 + 4)) }
}

impl Engine {
    fn names(&self) -> PathBuf {
        self.store.root().join("names")
    }

    pub(super) fn name_path(&self, name: &str) -> PathBuf {
        self.names().join(name)
    }

    /// The id that has a name, if there is one.
    pub(super) fn id_of_name(&self, name: &str) -> Option<String> {
        if check(name).is_err() {
            return None;
        }
        fs::read_link(self.name_path(name)).ok()?.into_os_string().into_string().ok()
    }

    /// Gives a name to a container, or one that is made up.
    pub(super) fn claim(&self, id: &str, wanted: Option<&str>) -> Result<String> {
        if let Some(name) = wanted {
            check(name)?;
            if !self.claim_one(id, name)? {
                // Nobody's perhaps: of a command that was killed.
                self.release_stray_names();
                ensure!(self.claim_one(id, name)?, self.conflict(name));
            }
            return Ok(name.into());
        }
        for attempt in 0..64 {
            let name = made_up(id, attempt);
            if self.claim_one(id, &name)? {
                return Ok(name);
            }
        }
        let name = record::short(id).to_owned();
        ensure!(self.claim_one(id, &name)?, self.conflict(&name));
        Ok(name)
    }

    /// Whether the name is the container's now; else somebody has it.
    fn claim_one(&self, id: &str, name: &str) -> Result<bool> {
        let path = self.name_path(name);
        let mut made = symlink(id, &path);
        if made.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            make_directory(&self.names())?;
            made = symlink(id, &path);
        }
        match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(self.id_of_name(name).as_deref() == Some(id)),
            made => made.attempt(|| format!("make the symlink {path:?}")).map(|()| true),
        }
    }

    fn conflict(&self, name: &str) -> String {
        let owner = self.id_of_name(name).unwrap_or_default();
        format!(
            "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove (or rename) that \
             container to be able to reuse that name."
        )
    }

    /// Gives a name back, if it is this container's.
    pub(super) fn release(&self, id: &str, name: &str) {
        if self.id_of_name(name).as_deref() == Some(id) {
            let _ = fs::remove_file(self.name_path(name));
        }
    }

    /// Names of containers that are not there any more, and names that a container had before: given back.
    pub(super) fn release_stray_names(&self) {
        // Two who find the same name: the second one would give back what somebody has claimed since.
        let Ok(_alone) = locks::wait(&self.names(), FlockOperation::LockExclusive) else { return };
        for entry in fs::read_dir(self.names()).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Some(id) = self.id_of_name(&name) else { continue };
            let directory = self.directory(&id);
            let has_another = || self.record(&id).map(|record| record.name != name);
            match has_another() {
                Ok(false) => {}
                // Whoever renames it has it locked, and may have been done before that was asked.
                Ok(true) => {
                    let locked = locks::try_alone(&directory);
                    if locked.is_some() && has_another().is_ok_and(|has_another| has_another) {
                        self.release(&id, &name);
                    }
                }
                Err(_) if !directory.exists() => self.release(&id, &name),
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_docker_takes() {
        for good in ["web", "a1", "a_b.c-d", "0x"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "-a", "_a", "a/b", "a b", "../x", "ü1"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let id = "00112233445566778899aabbccddeeff".repeat(2);
        for attempt in 0..64 {
            assert!(check(&made_up(&id, attempt)).is_ok());
        }
        assert_ne!(made_up(&id, 0), made_up(&id, 1));
    }
}
