//! What holds for every archive, manifest and name, whoever wrote it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde_json::Value;

use crate::error::sentence;
use crate::image::archive::Archive;
use crate::image::archive::files::Files;
use crate::image::config::Config;
use crate::image::layer::{Form, Outcome, apply, tree};
use crate::image::manifest::{Document, Manifest};
use crate::image::reference::Reference;
use crate::image::store::intake::Source;
use crate::image::tar::header::sign;
use crate::image::tar::{BLOCK, Entry, Kind, Reader, Writer};

/// Content that is read of one entry: sizes are cheap to claim.
const MOST_CONTENT: u64 = 1 << 20;

/// A tar archive → its entries, which are the same when they are written and read again.
pub fn tar(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), signed(bytes)] {
        let entries = entries(&bytes);
        let mut writer = Writer::new(Vec::new());
        for (entry, content) in &entries {
            writer.entry(entry, &content[..]).expect("nothing is refused that was read");
        }
        let written = writer.finish().expect("memory takes everything");
        assert_eq!(self::entries(&written), entries);
    }
}

/// The archive with all checksums right, for chance doesn't find them.
fn signed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(BLOCK).filter(|block| block[257..262] == *b"ustar") {
        sign(block.try_into().expect("chunks are of this length"));
    }
    bytes
}

/// All entries up to the first error, those that can be written again: whole, not sparse.
fn entries(bytes: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    loop {
        match reader.next_entry() {
            Ok(None) => return all,
            Err(error) => {
                assert!(!sentence(&error).is_empty());
                return all;
            }
            Ok(Some(entry)) => {
                assert!(!entry.path.is_empty() && !entry.path.contains(&0), "the name {}", entry.name());
                let mut content = Vec::new();
                let whole = (&mut reader).take(MOST_CONTENT).read_to_end(&mut content).is_ok();
                let fits = entry.kind != Kind::File || content.len() as u64 == entry.size;
                if whole && fits && entry.sparse.is_none() && is_plain(&entry) {
                    all.push((entry, content));
                }
            }
        }
    }
}

/// What our own writer keeps: whole seconds, and no content but of files.
fn is_plain(entry: &Entry) -> bool {
    let named_as_directory = entry.kind == Kind::File && entry.path.ends_with(b"/");
    entry.modified.nanoseconds == 0 && !named_as_directory && (entry.kind == Kind::File || entry.size == 0)
}

/// A layer → a directory, outside of which nothing changes.
pub fn layer(bytes: &[u8]) {
    let place = Place::new();
    let layer = place.0.join("layer");
    let other = place.0.join("other");
    std::fs::create_dir(&layer).expect("the directory is ours");
    std::fs::create_dir(&other).expect("the directory is ours");
    std::fs::write(other.join("file"), "untouched").expect("the directory is ours");
    let before = looks(&place.0);
    let bytes = signed(bytes);
    let mut archive = Reader::new(&bytes[..]);
    let root = rustix::fs::open(&layer, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    match apply(&mut archive, root.expect("it was just made"), Form::of_process(), None) {
        Ok(Outcome { implied, whiteouts, opaque, .. }) => {
            for path in implied.iter().chain(&whiteouts).chain(&opaque) {
                assert!(!path.split(|byte| *byte == b'/').any(|name| name == b".."), "{}", path.escape_ascii());
            }
        }
        Err(error) => assert!(!sentence(&error).is_empty()),
    }
    assert_eq!(looks(&place.0), before, "something outside of the layer changed");
}

/// The names and what can be known of each, but of what is in the layer.
fn looks(place: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for directory in [place, &place.join("other")] {
        for entry in std::fs::read_dir(directory).expect("it is there").flatten() {
            let content = std::fs::read(entry.path()).unwrap_or_default();
            all.push(format!("{:?} {:?}", entry.path(), content));
        }
    }
    all.sort();
    all
}

/// A directory that goes with the value.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Memory, if there is such a place: thousands a second are made.
        let shared = Path::new("/dev/shm");
        let parent = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
        let name = format!("corten-fuzz-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = parent.join(name);
        std::fs::create_dir(&path).expect("a directory for temporary files");
        Place(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let open = |path: &Path| rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        let (Some(parent), Some(name)) = (self.0.parent(), self.0.file_name()) else { return };
        // Paths may be too long for what the standard library removes.
        if let Ok(parent) = open(parent) {
            let _ = tree::remove(parent, name.as_encoded_bytes());
        }
    }
}

/// A saved image → what is in it, in whatever form it is.
pub fn saved(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), signed(bytes)] {
        let file = memory(&bytes);
        let archive = Files::of_file(file, || Ok(memory(&[]))).and_then(Archive::new);
        let archive = match archive {
            Ok(archive) => archive,
            Err(error) => {
                assert!(!sentence(&error).is_empty());
                continue;
            }
        };
        assert!(!archive.images.is_empty(), "an archive of no images was read");
        for found in &archive.images {
            let Ok(Some(stream)) = archive.blob(&found.entry) else { continue };
            let mut document = Vec::new();
            let _ = stream.take(MOST_CONTENT).read_to_end(&mut document);
        }
    }
}

fn memory(bytes: &[u8]) -> File {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::memfd_create("archive", flags).expect("memory for an archive"));
    file.write_all(bytes).expect("memory takes everything");
    file
}

/// A manifest, index or configuration, which is the same when it is written and read again.
pub fn manifest(bytes: &[u8]) {
    let again = |document: &Document| match document {
        Document::Manifest(manifest) => serde_json::to_vec(manifest),
        Document::Index(index) => serde_json::to_vec(index),
    };
    match Document::parse(bytes, "") {
        Ok(document) => {
            let written = again(&document).expect("what was JSON is JSON");
            let read = Document::parse(&written, "").expect("it could be read before");
            // A number that is no integer may lose its last digit, and no document has one that counts.
            let exact = serde_json::from_slice(bytes).is_ok_and(|value| is_exact(&value));
            assert!(!exact || read == document, "{read:?} is not {document:?}");
            let Document::Manifest(Manifest { layers, .. }) = document else { return };
            for layer in layers {
                let file_name = layer.digest.hex();
                assert!(file_name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{file_name} is a file's name");
            }
        }
        Err(error) => assert!(!sentence(&error).is_empty()),
    }
    match Config::parse(bytes) {
        Ok(config) => {
            let written = serde_json::to_vec(&config).expect("what was JSON is JSON");
            let exact = serde_json::from_slice(bytes).is_ok_and(|value| is_exact(&value));
            let read = Config::parse(&written).expect("it could be read before");
            assert!(!exact || read == config, "{read:?} is not {config:?}");
            assert_eq!(config.chain().len(), config.rootfs.diff_ids.len());
        }
        Err(error) => assert!(!sentence(&error).is_empty()),
    }
}

/// Whether all numbers are integers.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(list) => list.iter().all(is_exact),
        Value::Object(map) => map.values().all(is_exact),
        _ => true,
    }
}

/// A name of an image, which is the same in each of its forms.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Reference>() {
        Ok(reference) => {
            for form in [reference.to_string(), reference.familiar()] {
                assert_eq!(form.parse::<Reference>().expect("it could be read before"), reference);
            }
            // What becomes a part of URLs and of paths.
            assert!(!reference.path().split('/').any(|part| matches!(part, "" | "." | "..")), "{reference}");
            assert!(!reference.domain().contains('/'), "{reference}");
        }
        Err(error) => assert!(!sentence(&error).is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    #[test]
    fn the_seeds_are_read() {
        // Or nothing behind a refusal would ever be tried.
        for seed in seeds("tar").iter().chain(&seeds("layer")) {
            let mut reader = Reader::new(&seed[..]);
            while reader.next_entry().unwrap().is_some() {}
            tar(seed);
            layer(seed);
        }
        for seed in seeds("saved") {
            saved(&seed);
        }
        for seed in seeds("manifest") {
            assert!(Document::parse(&seed, "").is_ok() || Config::parse(&seed).is_ok());
            manifest(&seed);
        }
        for seed in seeds("reference") {
            std::str::from_utf8(&seed).unwrap().parse::<Reference>().unwrap();
            reference(&seed);
        }
    }

    /// One of the seeds with some bytes changed, and its end gone.
    fn near(target: &str) -> impl Strategy<Value = Vec<u8>> {
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
        (prop::sample::select(seeds(target)), changes, any::<prop::sample::Index>(), 0..4u8).prop_map(
            |(mut bytes, changes, end, cut)| {
                for (at, byte) in changes {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes.truncate(if cut == 0 { end.index(bytes.len()) } else { bytes.len() });
                bytes
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_archive_is_read_or_refused(bytes in near("tar")) {
            tar(&bytes);
        }

        #[test]
        fn no_layer_leaves_its_directory(bytes in near("layer")) {
            layer(&bytes);
        }

        #[test]
        fn any_saved_image_is_read_or_refused(bytes in near("saved")) {
            saved(&bytes);
        }

        #[test]
        fn any_name_is_the_same_in_all_its_forms(bytes in near("reference")) {
            reference(&bytes);
        }
    }
}
