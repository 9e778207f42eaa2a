//! Notes below `/run`, of what a command is about to do to a container's name: where it is killed, the next one finds the note and sees to the
//! rest.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Result;

use super::Engine;
use crate::error::Attempt;

/// Notes of one kind: what their names begin with; then comes the container's id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notes(pub &'static str);

impl Notes {
    /// The container whose note a file is.
    pub(super) fn id_of(self, file: &str) -> Option<&str> {
        file.strip_prefix(self.0)
    }

    fn path(self, engine: &Engine, id: &str) -> PathBuf {
        engine.run.join(format!("{}{id}", self.0))
    }

    pub(super) fn write(self, engine: &Engine, id: &str, content: &[u8]) -> Result<()> {
        let path = self.path(engine, id);
        fs::write(&path, content).attempt(|| format!("write {path:?}"))
    }

    pub(super) fn read(self, engine: &Engine, id: &str) -> Option<Vec<u8>> {
        fs::read(self.path(engine, id)).ok()
    }

    /// Removes one, if it is there.
    pub(super) fn remove(self, engine: &Engine, id: &str) -> Result<()> {
        let path = self.path(engine, id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).attempt(|| format!("remove {path:?}")),
            _ => Ok(()),
        }
    }
}
