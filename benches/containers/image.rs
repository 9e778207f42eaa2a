//! The image: busybox alone, and a file with lines.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What `/lines` holds: a million bytes, a hundred of them a line.
pub(crate) fn lines() -> Vec<u8> {
    (0..10_000).flat_map(|number| format!("{number:<99}\n").into_bytes()).collect()
}

/// As an archive that all import.
pub(crate) fn archive(directory: &Path) -> Result<PathBuf> {
    let root = directory.join("image");
    for below in ["bin", "etc", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(below))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("copy busybox")?;
    for applet in ["true", "sleep", "sh", "cat"] {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    fs::write(root.join("lines"), lines())?;
    let archive = directory.join("image.tar");
    let status = Command::new("tar").arg("-C").arg(&root).args(["-c", "-f"]).arg(&archive).arg(".").status()?;
    ensure!(status.success(), "{archive:?} can't be made");
    Ok(archive)
}
