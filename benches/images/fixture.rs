//! What is brought in: Debian's smallest tree, as one layer and as twenty, by gzip and by zstd, in a registry and as archives.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use corten::image::digest::{Algorithm, Digest, Hasher};
use serde_json::{Value, json};

use crate::daemon::Daemon;

/// An image in the registry.
pub(crate) struct Image {
    pub(crate) what: String,
    pub(crate) name: String,
}

/// All that is measured with. The registry goes with it.
pub(crate) struct Fixture {
    pub(crate) images: Vec<Image>,
    /// Archives as `docker save` writes them, layers uncompressed, by what is in them.
    pub(crate) archives: BTreeMap<String, PathBuf>,
    size: u64,
    entries: usize,
    _registry: Daemon,
}

/// The tree is as many bytes, in as many files.
impl fmt::Display for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "A tree of {} entries, {} MiB as an archive.", self.entries, self.size >> 20)
    }
}

impl Fixture {
    pub(crate) fn make(directory: &Path) -> Result<Fixture> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/debian");
        ensure!(root.join("usr").is_dir(), "there is no Debian in {root:?}: scripts/debian-root makes it");
        let registry = registry(directory)?;
        let (_, address) = registry.ready.split_once("listening on ").context("the registry has no address")?;
        let address = address[..address.find([',', '"']).unwrap_or(address.len())].to_owned();
        let mut fixture =
            Fixture { images: Vec::new(), archives: BTreeMap::new(), size: 0, entries: 0, _registry: registry };
        let layout = directory.join("layout");
        fixture.make_layout(&root, &layout, directory, &address)?;
        fixture.copy(&layout, directory)?;
        Ok(fixture)
    }

    /// Makes all images in a layout.
    fn make_layout(&mut self, root: &Path, layout: &Path, directory: &Path, address: &str) -> Result<()> {
        fs::create_dir_all(layout.join("blobs/sha256"))?;
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let lists = lists(root, directory)?;
        self.entries = fs::read(&lists[0])?.iter().filter(|byte| **byte == 0).count();
        let mut index = Vec::new();
        for (count, lists) in [(1, &lists[..1]), (20, &lists[1..])] {
            for compression in ["gzip", "zstd"] {
                let (mut manifest, size) = image(root, layout, lists, compression)?;
                let tag = format!("{count}-{compression}");
                manifest["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
                index.push(manifest);
                let what = format!("{}, {compression}", layers(count));
                self.images.push(Image { what, name: format!("{address}/debian:{tag}") });
                self.size = self.size.max(size);
            }
        }
        let table = json!({"schemaVersion": 2, "manifests": index});
        Ok(fs::write(layout.join("index.json"), table.to_string())?)
    }

    /// Copies them to where they are brought in from.
    fn copy(&mut self, layout: &Path, directory: &Path) -> Result<()> {
        for image in &self.images {
            let tag = image.name.rsplit(':').next().unwrap_or_default();
            let source = format!("oci:{}:{tag}", layout.display());
            skopeo(&["--dest-tls-verify=false", &source, &format!("docker://{}", image.name)])?;
            // Layers in archives are as they are unpacked, however they were compressed.
            if let Some(count) = tag.strip_suffix("-gzip") {
                let path = directory.join(format!("{count}.tar"));
                skopeo(&[&source, &format!("docker-archive:{}:bench/debian:{count}", path.display())])?;
                self.archives.insert(layers(count.parse()?), path);
            }
        }
        Ok(())
    }
}

fn layers(count: usize) -> String {
    format!("{count} layer{}", if count == 1 { "" } else { "s" })
}

fn skopeo(arguments: &[&str]) -> Result<()> {
    let output = Command::new("skopeo").args(["--insecure-policy", "copy", "-q"]).args(arguments).output()?;
    ensure!(output.status.success(), "skopeo copy {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn registry(directory: &Path) -> Result<Daemon> {
    let storage = json!({"filesystem": {"rootdirectory": directory.join("registry")}});
    let config = json!({"version": 0.1, "storage": storage, "http": {"addr": "127.0.0.1:0"}, "log": {"level": "info"}});
    let path = directory.join("registry.yml");
    fs::write(&path, config.to_string())?;
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(path);
    Daemon::start(command, "listening on ")
}

/// Lists of files, for tar: all of them, and then as twenty parts of about the same number.
fn lists(root: &Path, directory: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("find").args([".", "-xdev", "-print0"]).current_dir(root).output()?;
    let names: Vec<&[u8]> = output.stdout.split_inclusive(|byte| *byte == 0).collect();
    let parts = names.chunks(names.len().div_ceil(20));
    let mut lists = Vec::new();
    for (number, part) in [&names[..]].into_iter().chain(parts).enumerate() {
        let path = directory.join(format!("list-{number}"));
        fs::write(&path, part.concat())?;
        lists.push(path);
    }
    Ok(lists)
}

/// Makes an image of a layer for each of the lists: its descriptor, and the bytes that it is unpacked to.
fn image(root: &Path, layout: &Path, lists: &[PathBuf], compression: &str) -> Result<(Value, u64)> {
    let (mut layers, mut diff_ids, mut sum) = (Vec::new(), Vec::new(), 0);
    for list in lists {
        let mut tar = Command::new("tar");
        tar.args(["--null", "--no-recursion", "--numeric-owner", "--xattrs", "-cf", "-", "-T"]).arg(list);
        let mut child = tar.current_dir(root).stdout(Stdio::piped()).spawn()?;
        let mut content = Vec::new();
        child.stdout.take().context("its output is a pipe")?.read_to_end(&mut content)?;
        ensure!(child.wait()?.success(), "tar failed");
        diff_ids.push(Digest::of(&content));
        sum += content.len() as u64;
        let blob = compressed(&content, compression)?;
        layers.push(blob_of(layout, &format!("application/vnd.oci.image.layer.v1.tar+{compression}"), &blob)?);
    }
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({"architecture": machine, "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = blob_of(layout, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
    Ok((blob_of(layout, media_type, manifest.to_string().as_bytes())?, sum))
}

fn compressed(content: &[u8], compression: &str) -> Result<Vec<u8>> {
    if compression == "zstd" {
        return Ok(zstd::encode_all(content, 3)?);
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

fn blob_of(layout: &Path, media_type: &str, bytes: &[u8]) -> Result<Value> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    let digest = hasher.finish();
    File::create(layout.join("blobs/sha256").join(digest.hex()))?.write_all(bytes)?;
    Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
}
