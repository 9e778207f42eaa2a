//! `--rootfs`: a root directory of the host, alone or in a bundle (bundle.md of the runtime's specification).

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::image::config::Execution;
use crate::spec::load;

/// What is there in place of an image.
#[derive(Debug, Default)]
pub(super) struct Root {
    /// The root directory.
    pub path: String,
    /// What a bundle says of its process, in an image's words.
    pub execution: Execution,
    /// The further groups of its user.
    pub groups: Vec<String>,
    /// Whether a bundle has its root read-only.
    pub is_read_only: bool,
}

impl Root {
    /// Of a directory's path.
    pub(super) fn of(path: &str) -> Result<Root> {
        let directory = std::path::absolute(path)?;
        ensure!(directory.is_dir(), "the root directory {directory:?} is not there");
        let configuration = directory.join("config.json");
        if is_bundle(&configuration) {
            return Root::of_bundle(&directory, &configuration).with_context(|| format!("the bundle {directory:?}"));
        }
        Ok(Root { path: directory.to_string_lossy().into_owned(), ..Root::default() })
    }

    fn of_bundle(directory: &Path, configuration: &Path) -> Result<Root> {
        let spec = load::config(configuration)?.spec;
        let root = spec.root.context("its config.json has no root")?;
        let path = directory.join(&root.path);
        ensure!(path.is_dir(), "its root directory {path:?} is not there");
        let process = spec.process.unwrap_or_default();
        let user = &process.user;
        let execution = Execution {
            user: format!("{}:{}", user.uid, user.gid),
            env: process.env,
            cmd: process.args,
            working_dir: process.cwd,
            ..Execution::default()
        };
        Ok(Root {
            path: path.to_string_lossy().into_owned(),
            execution,
            groups: user.additional_gids.iter().map(u32::to_string).collect(),
            is_read_only: root.readonly,
        })
    }
}

/// Whether a file is a bundle's. A root directory may have a `config.json` of whatever kind.
fn is_bundle(configuration: &Path) -> bool {
    let read = load::read(configuration).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    read.is_some_and(|value| value["ociVersion"].is_string())
}
