//! A busybox image that comes from no registry.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use serde_json::json;

use super::command::Run;

/// The image's name in every engine.
pub(crate) const NAME: &str = "localhost/busybox:latest";

/// An ordinary user in the image; the number says who it is from outside as well.
pub(crate) const WORKER: u32 = 1234;

/// Makes a root file system of busybox and the few files that programs look for.
pub(crate) fn root(directory: &Path) -> Result<()> {
    for name in ["bin", "dev", "etc", "home/worker", "proc", "root", "run", "sys", "tmp", "var"] {
        fs::create_dir_all(directory.join(name)).with_context(|| format!("create {name} in {directory:?}"))?;
    }
    let busybox = Path::new("/bin/busybox");
    install(busybox, &directory.join("bin/busybox")).context("copy busybox (package busybox-static)")?;
    for applet in Run::new("/bin/busybox").args(["--list"]).stdout()?.lines() {
        match symlink("busybox", directory.join("bin").join(applet)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    let files = [
        (
            "etc/passwd",
            format!("root:x:0:0:root:/root:/bin/sh\nworker:x:{WORKER}:{WORKER}:worker:/home/worker:/bin/sh\n"),
        ),
        ("etc/group", format!("root:x:0:\nworker:x:{WORKER}:\nextra:x:{}:worker\n", WORKER + 1)),
        ("etc/nothing-to-run", "no program\n".to_string()),
    ];
    for (name, text) in files {
        fs::write(directory.join(name), text).with_context(|| format!("write {name} in {directory:?}"))?;
    }
    std::os::unix::fs::chown(directory.join("home/worker"), Some(WORKER), Some(WORKER))?;
    Ok(())
}

/// Makes a file that may be executed and that execve(2) refuses with ENOEXEC.
pub(crate) fn program_in_no_format(path: &Path) -> Result<()> {
    let zeros = path.with_extension("zeros");
    fs::write(&zeros, [0; 64])?;
    install(&zeros, path)
}

/// Copies a program. Another process does it: a child that is started meanwhile would inherit a descriptor that writes to
/// the copy, and with that open the kernel refuses to execute it (ETXTBSY).
fn install(program: &Path, place: &Path) -> Result<()> {
    Run::new("install").args(["--mode=755"]).args([program, place]).stdout()?;
    Ok(())
}

/// Makes an image with a program as an archive that is both an OCI layout and what `docker save` writes.
pub(crate) fn archive(directory: &Path, name: &str, program: &[&str]) -> Result<PathBuf> {
    let (tree, layout) = (directory.join("root"), directory.join("layout"));
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    fs::create_dir(&tree)?;
    root(&tree)?;
    let tar = directory.join("layer.tar");
    pack(&tree, &tar)?;
    let layer = digest(&tar)?;
    fs::rename(&tar, blobs.join(&layer))?;

    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": machine,
        "os": "linux",
        "created": "2026-01-02T03:04:05Z",
        "config": { "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": program, "WorkingDir": "/tmp" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
        "history": [{ "created": "2026-01-02T03:04:05Z", "created_by": "busybox" }],
    });
    let config = blob(&blobs, &config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(&blobs, "application/vnd.oci.image.config.v1+json", &config)?,
        "layers": [descriptor(&blobs, "application/vnd.oci.image.layer.v1.tar", &layer)?],
    });
    let manifest = blob(&blobs, &manifest)?;
    let mut entry = descriptor(&blobs, "application/vnd.oci.image.manifest.v1+json", &manifest)?;
    entry["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": "latest" });
    fs::write(layout.join("index.json"), json!({ "schemaVersion": 2, "manifests": [entry] }).to_string())?;
    fs::write(layout.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
    let saved = json!([{
        "Config": format!("blobs/sha256/{config}"),
        "RepoTags": [name],
        "Layers": [format!("blobs/sha256/{layer}")],
    }]);
    fs::write(layout.join("manifest.json"), saved.to_string())?;

    let archive = directory.join("busybox.tar");
    pack(&layout, &archive)?;
    Ok(archive)
}

fn pack(tree: &Path, archive: &Path) -> Result<()> {
    let options = ["--sort=name", "--mtime=@0", "--numeric-owner", "--create", "--file"];
    Run::new("tar").args(options).args([archive, Path::new("--directory"), tree, Path::new(".")]).stdout()?;
    Ok(())
}

/// Writes a document as a blob and gives its digest.
fn blob(blobs: &Path, document: &serde_json::Value) -> Result<String> {
    let path = blobs.join("new");
    fs::write(&path, document.to_string())?;
    let digest = digest(&path)?;
    fs::rename(path, blobs.join(&digest))?;
    Ok(digest)
}

fn descriptor(blobs: &Path, media: &str, digest: &str) -> Result<serde_json::Value> {
    let size = fs::metadata(blobs.join(digest))?.len();
    Ok(json!({ "mediaType": media, "digest": format!("sha256:{digest}"), "size": size }))
}

fn digest(path: &Path) -> Result<String> {
    let printed = Run::new("sha256sum").args([path]).stdout()?;
    Ok(printed.split_whitespace().next().unwrap_or_default().to_string())
}
