//! Stores of a test's own, images made by hand, and `ctn` as a child process.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use corten::image::digest::Digest;
use corten::image::tar::{Entry, Kind, Writer};
use serde_json::{Value, json};

#[allow(clippy::duplicate_mod, reason = "a program of tests may have both harnesses")]
#[path = "../helpers/call.rs"]
pub mod call;
pub use call::{prepare, succeeded};

pub const CTN: &str = env!("CARGO_BIN_EXE_ctn");

/// A directory that goes with the test, and a store in it.
#[derive(Debug)]
pub struct Place {
    pub path: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(rustix::process::geteuid().is_root(), "these tests set owners and mount: run them as root");
        let name = format!("ctn-tests-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Place { path }
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.join("store")
    }

    /// A call of ctn on the test's store.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CTN);
        prepare(&mut command, &self.path, arguments);
        command
    }

    pub fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints, if it succeeds.
    #[track_caller]
    pub fn ctn(&self, arguments: &[&str]) -> String {
        succeeded(&self.call(arguments), arguments)
    }

    /// What it says, if it fails.
    #[track_caller]
    pub fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded: {}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// All that is in the store, with the content of what is small.
    pub fn snapshot(&self) -> Vec<String> {
        snapshot(&self.store())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.command(&["unmount", "--all"]).output();
        // What a failed test left mounted there.
        let _ = Command::new("umount").arg("-lq").arg(self.store()).output();
        let _ = Command::new("rm").arg("-rf").arg(&self.path).status();
    }
}

/// Paths, types, owners, modes, times, links and content below a directory; not the root's own.
pub fn snapshot(root: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut wanted = vec![root.to_path_buf()];
    while let Some(directory) = wanted.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::symlink_metadata(&path).unwrap();
            let kind = data.file_type();
            let content = if kind.is_dir() {
                wanted.push(path.clone());
                String::new()
            } else if kind.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else if kind.is_file() {
                Digest::of(&fs::read(&path).unwrap()).to_string()
            } else if kind.is_char_device() || kind.is_block_device() {
                format!("device {}", data.rdev())
            } else {
                "other".into()
            };
            // A directory's time changes with what comes and goes in it.
            let time = if kind.is_dir() { 0 } else { data.mtime() };
            let name = path.strip_prefix(root).unwrap().as_os_str().as_encoded_bytes().escape_ascii().to_string();
            all.push(format!("{name} {:o} {}:{} {time} {content}", data.mode(), data.uid(), data.gid()));
        }
    }
    all.sort();
    all
}

pub fn file(path: &str, content: &str) -> (Entry, Vec<u8>) {
    let entry = Entry { size: content.len() as u64, ..Entry::new(path, Kind::File, 0o644) };
    (entry, content.into())
}

pub fn directory(path: &str, mode: u32) -> (Entry, Vec<u8>) {
    (Entry::new(path, Kind::Directory, mode), Vec::new())
}

pub fn symlink(path: &str, target: &str) -> (Entry, Vec<u8>) {
    (Entry::new(path, Kind::Symlink(target.into()), 0o777), Vec::new())
}

pub fn tar(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.entry(entry, &content[..]).unwrap();
    }
    writer.finish().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let mut compressed = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut compressed).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    compressed
}

/// A blob of a layout.
#[derive(Debug, Clone)]
pub struct Blob {
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
}

impl Blob {
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    pub fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len()})
    }
}

/// An image made by hand: wrong in whatever way a test wants.
#[derive(Debug, Clone)]
pub struct Made {
    pub layers: Vec<Blob>,
    pub config: Value,
    pub manifest: Value,
    pub index: Value,
    pub name: String,
}

pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

impl Made {
    /// An image of some layers, each compressed by gzip.
    pub fn new(name: &str, layers: &[Vec<(Entry, Vec<u8>)>]) -> Made {
        let archives: Vec<Vec<u8>> = layers.iter().map(|entries| tar(entries)).collect();
        let diff_ids: Vec<Digest> = archives.iter().map(|archive| Digest::of(archive)).collect();
        let layers = archives.iter().map(|archive| Blob { media_type: OCI_GZIP, bytes: gzip(archive) }).collect();
        let config = json!({
            "architecture": std::env::consts::ARCH, "os": "linux", "created": "2024-01-02T03:04:05Z",
            "config": {"Cmd": ["sh"], "Env": ["A=1"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let mut made = Made { layers, config, manifest: Value::Null, index: Value::Null, name: name.into() };
        made.seal();
        made
    }

    /// A small one.
    pub fn small(name: &str) -> Made {
        Made::new(
            name,
            &[
                vec![directory("./", 0o755), directory("etc/", 0o755), file("etc/one", "1"), directory("tmp/", 0o1777)],
                vec![file("etc/two", "2"), file("etc/.wh.one", ""), file("tmp/x", "x")],
            ],
        )
    }

    pub fn config_blob(&self) -> Blob {
        Blob { media_type: OCI_CONFIG, bytes: self.config.to_string().into_bytes() }
    }

    pub fn manifest_blob(&self) -> Blob {
        Blob { media_type: OCI_MANIFEST, bytes: self.manifest.to_string().into_bytes() }
    }

    /// Makes manifest and table from the rest.
    pub fn seal(&mut self) {
        let layers: Vec<Value> = self.layers.iter().map(Blob::descriptor).collect();
        let config = self.config_blob().descriptor();
        self.manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        self.index();
    }

    pub fn index(&mut self) {
        let mut entry = self.manifest_blob().descriptor();
        entry["annotations"] = json!({"io.containerd.image.name": self.name});
        self.index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
    }

    pub fn id(&self) -> String {
        self.config_blob().digest().to_string()
    }

    /// The files of an OCI layout.
    pub fn layout(&self) -> Vec<(Entry, Vec<u8>)> {
        let blobs = self.layers.iter().cloned().chain([self.config_blob(), self.manifest_blob()]);
        let blob = |blob: Blob| bytes(&format!("blobs/sha256/{}", blob.digest().hex()), blob.bytes);
        let tables = [
            bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            bytes("index.json", self.index.to_string().into_bytes()),
        ];
        blobs.map(blob).chain(tables).collect()
    }

    /// Writes an OCI archive.
    pub fn archive(&self, place: &Place, name: &str) -> String {
        place.write(name, tar(&self.layout()))
    }
}

pub fn bytes(path: &str, content: Vec<u8>) -> (Entry, Vec<u8>) {
    (Entry { size: content.len() as u64, ..Entry::new(path, Kind::File, 0o644) }, content)
}

/// Says in the output, capture or not, that a test can't show anything on this machine.
#[macro_export]
macro_rules! skip {
    ($($why:tt)+) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped {}: {}", module_path!(), format_args!($($why)+));
        return;
    }};
}

/// Runs a program of the machine.
#[track_caller]
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> String {
    let arguments: Vec<OsString> = arguments.into_iter().map(|argument| argument.as_ref().into()).collect();
    let output = Command::new(program).args(&arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    succeeded(&output, (program, arguments))
}
