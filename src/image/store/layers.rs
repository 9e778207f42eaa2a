//! Unpacked layers.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Store, file, open_directory};
use crate::error::Attempt;
use crate::image::digest::Digest;
use crate::image::layer::Stack;
use crate::image::manifest::Descriptor;

/// The unpacked tree in a layer's directory.
pub const TREE: &str = "tree";
/// The record in a layer's directory.
pub const RECORD: &str = "layer.json";

/// What a layer that is kept uncompressed became when it was pushed, in its directory.
const COMPRESSED: &str = "compressed.json";

/// What is known of an unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The digest of its content.
    pub diff_id: Digest,
    /// The chain id of the layer below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    /// Bytes of its regular files.
    pub size: u64,
}

impl Store {
    /// Where a layer is, if it is there.
    pub fn layer_path(&self, chain_id: &Digest) -> PathBuf {
        self.path("layers").join(chain_id.algorithm().name()).join(chain_id.hex())
    }

    /// Whether a layer is unpacked.
    pub fn has_layer(&self, chain_id: &Digest) -> bool {
        self.layer_path(chain_id).exists()
    }

    /// The record of an unpacked layer.
    pub fn layer(&self, chain_id: &Digest) -> Result<Record> {
        let path = self.layer_path(chain_id).join(RECORD);
        let bytes = fs::read(&path).attempt(|| format!("read {path:?}"))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{path:?} can't be read"))
    }

    /// What a layer was compressed to before; the bytes are not kept, but they would be the same.
    pub fn compressed(&self, chain_id: &Digest) -> Option<Descriptor> {
        serde_json::from_slice(&fs::read(self.layer_path(chain_id).join(COMPRESSED)).ok()?).ok()
    }

    /// Remembers what a layer was compressed to, so that a registry can be asked for it before that is done again.
    pub fn remember_compressed(&self, chain_id: &Digest, compressed: &Descriptor) -> Result<()> {
        let text = serde_json::to_vec(compressed).context("write the descriptor as JSON")?;
        file::write_whole(&self.layer_path(chain_id), COMPRESSED, &text)
    }

    /// The root directory of an unpacked layer.
    pub fn tree(&self, chain_id: &Digest) -> Result<OwnedFd> {
        open_directory(&self.layer_path(chain_id).join(TREE))
    }

    /// The merged view of a chain, the lowest first.
    pub fn stack(&self, chain: &[Digest]) -> Result<Stack> {
        let mut stack = Stack::new(self.form());
        for chain_id in chain {
            stack.push(self.tree(chain_id).with_context(|| format!("the layer {chain_id} is not unpacked"))?);
        }
        Ok(stack)
    }
}

/// Opens a tree that isn't in its place yet.
pub fn open_tree(layer: &Path) -> Result<OwnedFd> {
    open_directory(&layer.join(TREE))
}
