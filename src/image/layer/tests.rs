//! Layers unpacked into directories of a file system that is there: what is wrong here is wrong in every image.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags, getxattr};

use super::stack::Found;
use super::*;
use crate::image::tar::{Entry, Kind, Reader, Writer};

/// A directory for some layers, removed in the end.
struct Scratch {
    path: PathBuf,
    stack: Stack,
    layers: u32,
}

/// None where owners and devices can't be set, which is said.
fn scratch() -> Option<Scratch> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if Form::of_process() != Form::Trusted {
        eprintln!("skipped: unpacking layers with owners and devices needs root");
        return None;
    }
    let name = format!("corten-layer-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    fs::create_dir_all(&path).unwrap();
    Some(Scratch { path, stack: Stack::new(Form::Trusted), layers: 0 })
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let parent = open(self.path.parent().unwrap());
        let name = self.path.file_name().unwrap().to_str().unwrap();
        tree::remove(&parent, name.as_bytes()).unwrap();
    }
}

fn open(path: &std::path::Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

impl Scratch {
    fn fresh(&mut self) -> PathBuf {
        self.layers += 1;
        let layer = self.path.join(self.layers.to_string());
        fs::create_dir(&layer).unwrap();
        layer
    }

    /// Unpacks a layer as an image's layers are: by itself, and again with those below if it must be.
    fn try_layer(&mut self, entries: &[(Entry, &[u8])]) -> anyhow::Result<PathBuf> {
        let archive = archive(entries);
        let layer = self.fresh();
        let outcome = apply(&mut Reader::new(&archive[..]), open(&layer), Form::Trusted, None)?;
        let again = finish(&outcome, open(&layer), &self.stack, Form::Trusted)?;
        let layer = match again {
            None => layer,
            Some(_) => {
                let layer = self.fresh();
                let outcome = apply(&mut Reader::new(&archive[..]), open(&layer), Form::Trusted, Some(&self.stack))?;
                assert_eq!(finish(&outcome, open(&layer), &self.stack, Form::Trusted)?, None);
                layer
            }
        };
        self.stack.push(open(&layer));
        Ok(layer)
    }

    fn layer(&mut self, entries: &[(Entry, &[u8])]) -> PathBuf {
        self.try_layer(entries).unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn refusal(&mut self, entries: &[(Entry, &[u8])]) -> String {
        format!("{:#}", self.try_layer(entries).expect_err("it was unpacked"))
    }

    /// All paths of the merged tree.
    fn merged(&self) -> Vec<String> {
        fn walk(directory: &stack::Merged, path: &str, all: &mut Vec<String>) {
            for name in directory.names().unwrap() {
                let Some(child) = directory.child(&name).unwrap() else { continue };
                let path = format!("{path}{}", name.escape_ascii());
                match child {
                    Found::Directory(child) => {
                        all.push(format!("{path}/"));
                        walk(&child, &format!("{path}/"), all);
                    }
                    Found::Other(_) => all.push(path),
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.stack.root().unwrap().unwrap(), "", &mut all);
        all
    }
}

fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.entry(entry, *content).unwrap();
    }
    writer.finish().unwrap()
}

fn file<'c>(path: &str, content: &'c str) -> (Entry, &'c [u8]) {
    (Entry { size: content.len() as u64, ..Entry::new(path, Kind::File, 0o644) }, content.as_bytes())
}

fn dir(path: &str, mode: u32) -> (Entry, &'static [u8]) {
    let mut entry = Entry::new(path, Kind::Directory, mode);
    entry.modified.seconds = 1_000_000;
    (entry, b"")
}

fn entry(path: &str, kind: Kind) -> (Entry, &'static [u8]) {
    (Entry::new(path, kind, 0o755), b"")
}

fn symlink(path: &str, target: &str) -> (Entry, &'static [u8]) {
    entry(path, Kind::Symlink(target.into()))
}

fn link(path: &str, target: &str) -> (Entry, &'static [u8]) {
    entry(path, Kind::Link(target.into()))
}

fn is_opaque(path: PathBuf) -> bool {
    Form::Trusted.is_opaque(open(&path)).unwrap()
}

#[test]
fn a_whiteout_removes_from_below_and_never_from_its_own_layer() {
    let Some(mut scratch) = scratch() else { return };
    let base = ["a", "b", "c/old", "d/old", "e", "f/old"].map(|path| file(path, "old"));
    scratch.layer(&base);
    let top = scratch.layer(&[
        file(".wh.a", ""),
        file("b", "new"),
        file(".wh.b", ""),
        file(".wh.c", ""),
        file("c/new", ""),
        dir("d", 0o755),
        file("d/new", ""),
        file(".wh.d", ""),
        file(".wh.e", ""),
        file("e", "new"),
        file("f/.wh.nothing", ""),
        file(".wh..wh.plnk", ""),
    ]);
    assert_eq!(scratch.merged(), ["b", "c/", "c/new", "d/", "d/new", "e", "f/", "f/old"]);
    assert!(fs::metadata(top.join("a")).unwrap().file_type().is_char_device());
    assert_eq!(
        (fs::read(top.join("b")).unwrap(), fs::read(top.join("e")).unwrap()),
        (b"new".to_vec(), b"new".to_vec())
    );
    assert!(is_opaque(top.join("c")) && is_opaque(top.join("d")) && !is_opaque(top.join("f")));
    // overlayfs would show it where nothing is merged.
    assert!(!top.join("f/nothing").exists());
}

#[test]
fn opaque_comes_before_its_siblings_wherever_it_is_in_the_archive() {
    let Some(mut scratch) = scratch() else { return };
    scratch.layer(&[file("a/old", ""), file("a/b/old", ""), file("x", "")]);
    let top =
        scratch.layer(&[file("a/new", ""), file("a/.wh.old", ""), file("a/b/.wh.old", ""), file("a/.wh..wh..opq", "")]);
    assert_eq!(scratch.merged(), ["a/", "a/b/", "a/new", "x"]);
    assert!(!top.join("a/old").exists() && !top.join("a/b/old").exists(), "whiteouts that hide nothing are left");
    scratch.layer(&[file(".wh..wh..opq", ""), file("only", "")]);
    assert_eq!(scratch.merged(), ["only"]);
}

#[test]
fn a_thousand_whiteouts() {
    let Some(mut scratch) = scratch() else { return };
    let names: Vec<String> = (0..1000).map(|number| format!("d/{number:04}")).collect();
    scratch.layer(&names.iter().map(|name| file(name, "x")).collect::<Vec<_>>());
    let whiteouts: Vec<String> = (0..999).map(|number| format!("d/.wh.{number:04}")).collect();
    scratch.layer(&whiteouts.iter().map(|name| file(name, "")).collect::<Vec<_>>());
    assert_eq!(scratch.merged(), ["d/", "d/0999"]);
}

#[test]
fn no_entry_leaves_the_layer() {
    let Some(mut scratch) = scratch() else { return };
    let layer = scratch.layer(&[
        symlink("abs", "/"),
        symlink("up", "../../../.."),
        symlink("run", "/var/run"),
        dir("var/run", 0o755),
        file("abs/etc/a", "a"),
        file("up/etc/b", "b"),
        file("../../etc/c", "c"),
        file("/etc/d", "d"),
        file("run/e", "e"),
        link("f", "abs/etc/a"),
        link("g", "../../etc/b"),
    ]);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(fs::read_to_string(layer.join("etc").join(name)).unwrap(), name);
    }
    assert_eq!(fs::read_to_string(layer.join("var/run/e")).unwrap(), "e");
    assert_eq!(fs::read_to_string(layer.join("f")).unwrap(), "a");
    assert_eq!(fs::read_to_string(layer.join("g")).unwrap(), "b");
    assert_eq!(fs::read_link(layer.join("up")).unwrap().to_str(), Some("../../../.."));
    let outside: Vec<_> = fs::read_dir(&scratch.path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(outside, ["1"]);
}

#[test]
fn what_comes_later_replaces_what_was_there() {
    let Some(mut scratch) = scratch() else { return };
    let layer = scratch.layer(&[
        file("dir/inside", "x"),
        file("dir", "a file"),
        symlink("link", "/target"),
        dir("target", 0o700),
        file("target/kept", "x"),
        dir("link", 0o755),
        file("link/new", "x"),
        file("file", "x"),
        dir("file", 0o755),
        file("twice", "1"),
        file("twice", "2"),
        dir("merged", 0o700),
        file("merged/kept", ""),
        dir("merged", 0o1777),
    ]);
    assert_eq!(fs::read_to_string(layer.join("dir")).unwrap(), "a file");
    assert!(fs::symlink_metadata(layer.join("link")).unwrap().is_dir());
    assert!(!layer.join("target/new").exists() && layer.join("target/kept").exists());
    assert!(layer.join("file").is_dir());
    assert_eq!(fs::read_to_string(layer.join("twice")).unwrap(), "2");
    assert_eq!(fs::metadata(layer.join("merged")).unwrap().permissions().mode() & 0o7777, 0o1777);
    assert!(layer.join("merged/kept").exists());
    // A file written through an open link must not have reached its target.
    scratch.layer(&[symlink("a", "/etc/x"), file("a", "own")]);
    assert!(!scratch.merged().contains(&"etc/".to_owned()));
}

#[test]
fn hard_links_before_their_target_to_links_and_to_other_layers() {
    let Some(mut scratch) = scratch() else { return };
    let mut owned = file("lib/base", "base");
    (owned.0.uid, owned.0.mode, owned.0.modified.seconds) = (7, 0o4750, 99);
    scratch.layer(&[dir("lib", 0o711), owned, symlink("soft", "nowhere")]);
    let layer = scratch.layer(&[
        link("early", "late"),
        file("late", "late"),
        link("to-soft", "soft"),
        link("other/copy", "lib/base"),
        link("again", "other/copy"),
    ]);
    let stat = |name: &str| fs::symlink_metadata(layer.join(name)).unwrap();
    assert_eq!(stat("early").ino(), stat("late").ino());
    assert_eq!((stat("other/copy").ino(), stat("again").ino()), (stat("lib/base").ino(), stat("lib/base").ino()));
    let copy = stat("again");
    assert_eq!((copy.nlink(), copy.uid(), copy.mode() & 0o7777, copy.mtime()), (3, 7, 0o4750, 99));
    assert!(stat("to-soft").is_symlink());
    assert_eq!(stat("lib").mode() & 0o7777, 0o711, "the copy's directory is not like that below");
}

#[test]
fn implied_directories_are_like_those_below() {
    let Some(mut scratch) = scratch() else { return };
    let mut tmp = dir("tmp", 0o1777);
    tmp.0.uid = 5;
    tmp.0.xattrs.insert(b"user.mark".to_vec(), b"yes".to_vec());
    scratch.layer(&[dir(".", 0o711), tmp, dir("real", 0o755), symlink("alias", "/real")]);
    let layer = scratch.layer(&[file("tmp/file", ""), file("new/dir/file", "")]);
    let tmp = fs::metadata(layer.join("tmp")).unwrap();
    assert_eq!((tmp.mode() & 0o7777, tmp.uid(), tmp.mtime()), (0o1777, 5, 1_000_000));
    let mut value = [0u8; 8];
    assert_eq!(getxattr(layer.join("tmp"), "user.mark", &mut value[..]).unwrap(), 3);
    assert_eq!(fs::metadata(&layer).unwrap().mode() & 0o7777, 0o711);
    assert_eq!(fs::metadata(layer.join("new")).unwrap().mode() & 0o7777, 0o755);
    // A link of a lower layer is followed, not hidden by a directory.
    scratch.layer(&[file("alias/file", "")]);
    let merged = scratch.merged();
    assert!(merged.contains(&"real/file".to_owned()) && merged.contains(&"alias".to_owned()), "{merged:?}");
}

#[test]
fn names_of_any_bytes_and_paths_of_any_length() {
    let Some(mut scratch) = scratch() else { return };
    let deep = format!("{}end", "a-directory-of-some-length/".repeat(300));
    let odd = (Entry::new(b"\xff\xfe\n".to_vec(), Kind::Directory, 0o755), &b""[..]);
    scratch.layer(&[file(&deep, "deep"), odd, file(&deep.replace("end", "more"), "")]);
    let Some(Found::Other(found)) = scratch.stack.find(deep.as_bytes()).unwrap() else { panic!("it isn't there") };
    assert_eq!(found.stat.st_size, 4);
    assert!(scratch.merged().contains(&"\\xff\\xfe\\n/".to_owned()));
    let long = "n".repeat(256);
    assert!(scratch.refusal(&[file(&long, "")]).contains("256 bytes"));
}

#[test]
fn attributes_survive_each_other() {
    let Some(mut scratch) = scratch() else { return };
    let mut program = file("program", "x");
    (program.0.uid, program.0.gid, program.0.mode) = (1000, 1001, 0o6755);
    program.0.modified = crate::image::tar::Time { seconds: -7, nanoseconds: 0 };
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    program.0.xattrs.insert(b"security.capability".to_vec(), capability.clone());
    program.0.xattrs.insert(b"trusted.overlay.opaque".to_vec(), b"y".to_vec());
    let mut forged = dir("forged", 0o755);
    forged.0.xattrs.insert(b"trusted.overlay.opaque".to_vec(), b"y".to_vec());
    let layer = scratch.layer(&[
        dir("late", 0o555),
        program,
        forged,
        file("late/file", ""),
        entry("null", Kind::Character(1, 3)),
        entry("pipe", Kind::Fifo),
    ]);
    let stat = fs::metadata(layer.join("program")).unwrap();
    assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777, stat.mtime()), (1000, 1001, 0o6755, -7));
    let mut value = [0u8; 64];
    let length = getxattr(layer.join("program"), "security.capability", &mut value[..]).unwrap();
    assert_eq!(&value[..length], capability);
    assert!(!is_opaque(layer.join("forged")), "an image can make a directory opaque by an attribute");
    assert_eq!(fs::metadata(layer.join("late")).unwrap().mtime(), 1_000_000);
    let null = fs::metadata(layer.join("null")).unwrap();
    assert!(null.file_type().is_char_device() && null.rdev() == rustix::fs::makedev(1, 3));
    assert_eq!(null.mode() & 0o7777, 0o755);
    assert!(fs::metadata(layer.join("pipe")).unwrap().file_type().is_fifo());
}

#[test]
fn what_can_not_be_is_refused_and_named() {
    let Some(mut scratch) = scratch() else { return };
    let huge = Entry { size: 1 << 60, ..Entry::new("huge", Kind::File, 0o644) };
    let mut lying = Writer::new(Vec::new());
    let _ = lying.entry(&Entry::new("ok", Kind::Directory, 0o755), std::io::empty());
    let mut bytes = lying.finish().unwrap();
    bytes.truncate(512);
    let mut head = Vec::new();
    let _ = Writer::new(&mut head).entry(&huge, std::io::empty());
    bytes.extend(head);
    let layer = scratch.fresh();
    let error = apply(&mut Reader::new(&bytes[..]), open(&layer), Form::Trusted, None).unwrap_err();
    assert!(format!("{error:#}").contains("entry \"huge\": its 1152921504606846976 bytes don't fit"), "{error:#}");
    for (wanted, entries) in [
        ("entry \"dev\": a character device 0:0", &[entry("dev", Kind::Character(0, 0))][..]),
        ("entry \"d/.wh.\": a whiteout of nothing", &[file("d/.wh.", "")]),
        ("a whiteout of nothing", &[file("d/.wh...", "")]),
        ("entry \"h\": the hard link to \"none\"", &[link("h", "none")]),
        ("a hard link to the directory \"d\"", &[dir("d", 0o755), link("h", "d")]),
        ("entry \"l/x\": too many levels", &[symlink("l", "l"), file("l/x", "")]),
        ("entry \"f/x\": not a directory", &[file("f", ""), file("f/x", "")]),
        ("the root of a layer can only be a directory", &[symlink("./", "/etc")]),
        ("entry \"me\": a hard link to itself", &[link("me", "me")]),
    ] {
        let refusal = scratch.refusal(entries);
        assert!(refusal.contains(wanted), "{refusal}");
    }
}

#[test]
fn a_pipeline_checks_what_it_reads() {
    let Some(mut scratch) = scratch() else { return };
    let archive = archive(&[file("a", "content")]);
    let diff_id = crate::image::digest::Digest::of(&archive);
    let packed = zstd::encode_all(&archive[..], 3).unwrap();
    let descriptor = crate::image::manifest::Descriptor::of("x", &packed);
    let mut run = |bytes: &[u8], descriptor, diff_id| {
        let layer = scratch.fresh();
        let target = pipeline::Target { root: open(&layer), form: Form::Trusted, below: None, diff_id };
        pipeline::run(bytes, descriptor, None, Some(target)).map(|_| layer).map_err(|error| format!("{error:#}"))
    };
    let layer = run(&packed, &descriptor, &diff_id).unwrap();
    assert_eq!(fs::read(layer.join("a")).unwrap(), b"content");
    let other = crate::image::digest::Digest::of(b"other");
    assert!(run(&packed, &descriptor, &other).unwrap_err().contains("where the image's configuration says"));
    let cut = run(&packed[..packed.len() - 3], &descriptor, &diff_id).unwrap_err();
    assert!(cut.contains("where") && cut.contains("are declared"), "{cut}");
    let mut long = packed.clone();
    long.push(0);
    assert!(run(&long, &descriptor, &diff_id).unwrap_err().contains("more than the"));
    let mut wrong = packed.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert!(run(&wrong, &descriptor, &diff_id).unwrap_err().contains("the content is sha256:"));
}

/// What a container did in a mounted overlay, packed from its upper directory and unpacked again, is what it saw.
#[test]
fn an_upper_directory_becomes_the_layer_that_makes_the_same_tree() {
    let Some(mut scratch) = scratch() else { return };
    let base = scratch.layer(&[
        dir("./", 0o755),
        dir("etc", 0o755),
        file("etc/kept", "kept"),
        file("etc/gone", "gone"),
        file("etc/changed", "old"),
        dir("all", 0o755),
        file("all/a", "a"),
        file("all/b/c", "c"),
        dir("dir", 0o755),
        file("dir/x", "x"),
        symlink("soft", "etc"),
        file("linked", "l"),
    ]);
    let (upper, work, merged) = (scratch.fresh(), scratch.fresh(), scratch.fresh());
    let options = format!("lowerdir={},upperdir={},workdir={}", base.display(), upper.display(), work.display());
    let options = std::ffi::CString::new(options).unwrap();
    rustix::mount::mount("overlay", &merged, "overlay", rustix::mount::MountFlags::empty(), options.as_c_str())
        .unwrap();
    let act = || -> std::io::Result<()> {
        let at = |name: &str| merged.join(name);
        fs::remove_file(at("etc/gone"))?;
        fs::write(at("etc/changed"), "new")?;
        fs::set_permissions(at("dir"), fs::Permissions::from_mode(0o1700))?;
        // Removed and made again: overlayfs marks it opaque.
        fs::remove_dir_all(at("all"))?;
        fs::create_dir(at("all"))?;
        fs::write(at("all/new"), "new")?;
        fs::remove_file(at("soft"))?;
        fs::create_dir_all(at("soft/now/a/directory"))?;
        fs::hard_link(at("linked"), at("second"))?;
        std::os::unix::fs::symlink("/nowhere", at("dir/link"))?;
        std::os::unix::fs::chown(at("dir/x"), Some(7), Some(8))?;
        // Touched, but the same.
        fs::set_permissions(at("etc/kept"), fs::Permissions::from_mode(0o600))?;
        fs::set_permissions(at("etc/kept"), fs::Permissions::from_mode(0o644))
    };
    let acted = act();
    let seen = described(&merged);
    rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::empty()).unwrap();
    acted.unwrap();

    let below = scratch.stack.clone();
    scratch.stack.push(open(&upper));
    let changes = changes::between(&below, &scratch.stack, |_| false).unwrap();
    let shown: Vec<String> =
        changes.iter().map(|change| format!("{:?} {}", change.kind, change.path.escape_ascii())).collect();
    let wanted = "Above ,Above all,Deleted all/a,Deleted all/b,Added all/new,Changed dir,Added dir/link,Changed dir/x,Above etc,\
        Deleted etc/gone,Changed etc/changed,Added second,Added soft,Added soft/now,Added soft/now/a,\
        Added soft/now/a/directory";
    assert_eq!(shown.join(","), wanted);
    let archive = pack::pack(&changes, &scratch.stack, None, Vec::new()).unwrap();
    let again = scratch.fresh();
    let outcome = apply(&mut Reader::new(&archive[..]), open(&again), Form::Trusted, None).unwrap();
    assert_eq!(finish(&outcome, open(&again), &below, Form::Trusted).unwrap(), None);
    let mut stack = below;
    stack.push(open(&again));
    let copy = scratch.fresh();
    copy::tree(&stack, open(&copy), &copy::IdMaps::default(), &mut attributes::Warnings::new()).unwrap();
    assert_eq!(described(&copy), seen);
}

#[test]
fn what_goes_before_it_is_packed_is_not_there() {
    let Some(mut scratch) = scratch() else { return };
    let entries = [dir("a", 0o755), file("a/b", "b"), dir("a/c", 0o755), file("a/c/d", "d"), file("a/e", "e")];
    let layer = scratch.layer(&[&entries[..], &[dir("f", 0o755), file("f/g", "g"), file("h", "h")]].concat());
    let changes = changes::between(&Stack::new(Form::Trusted), &scratch.stack, |_| false).unwrap();
    let packed = || {
        let archive = pack::pack(&changes, &scratch.stack, None, Vec::new()).unwrap();
        let mut reader = Reader::new(&archive[..]);
        let mut names = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            names.push(String::from_utf8(entry.path).unwrap());
        }
        names.join(" ")
    };
    assert_eq!(packed(), "./ a/ a/b a/c/ a/c/d a/e f/ f/g h");
    fs::remove_file(layer.join("a/e")).unwrap();
    fs::remove_dir_all(layer.join("f")).unwrap();
    assert_eq!(packed(), "./ a/ a/b a/c/ a/c/d h");
}

/// Goes through a tree of directories that are all called `d`, and says which paths it found; `meanwhile` is told each of them.
fn descended(top: &std::path::Path, meanwhile: impl Fn(&[u8])) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut descent = descent::Descent::default();
    descent.enter(open(top), Vec::new())?;
    let mut found = Vec::new();
    while let Some(descent::Next { directory, name, path }) = descent.next_name()? {
        let below = (name == b"d").then(|| tree::open(directory, &name)).transpose()?;
        meanwhile(&path);
        found.push(path.clone());
        if let Some(below) = below {
            descent.enter(below, path)?;
        }
    }
    Ok(found)
}

#[test]
fn a_way_down_leads_back_up_by_the_same_directories() {
    let Some(mut scratch) = scratch() else { return };
    let (top, elsewhere) = (scratch.fresh(), scratch.fresh());
    let deepest = vec!["d"; 300].join("/");
    fs::create_dir_all(top.join(&deepest)).unwrap();
    for path in std::iter::successors(Some(top.join(&deepest)), |path| path.parent().map(PathBuf::from)).take(301) {
        fs::write(path.join("z"), "").unwrap();
    }
    fs::write(elsewhere.join("z"), "").unwrap();
    let found = descended(&top, |_| {}).unwrap();
    assert_eq!((found.len(), found.last().unwrap().as_slice()), (601, &b"z"[..]));
    let bottom = [deepest.as_bytes(), b"/z"].concat();
    assert_eq!(found[300], bottom);
    // From where it was moved to, the way up leads elsewhere.
    let moves = |path: &[u8]| {
        if path == bottom {
            fs::rename(top.join("d/d/d"), elsewhere.join("d")).unwrap();
        }
    };
    let error = descended(&top, moves).unwrap_err().to_string();
    assert_eq!(error, "\"d/d\": what is in it was moved away meanwhile");
    // What is removed is not there.
    let top = elsewhere.join("d");
    let removes = |path: &[u8]| {
        if path == b"d" {
            fs::remove_dir_all(top.join("d")).unwrap();
        }
    };
    assert_eq!(descended(&top, removes).unwrap(), [&b"d"[..], b"z"]);
}

/// Types, modes, owners and content of all that is below a directory.
fn described(root: &std::path::Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut wanted = vec![root.to_path_buf()];
    while let Some(directory) = wanted.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = if stat.is_dir() {
                wanted.push(path.clone());
                String::new()
            } else if stat.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            let name = path.strip_prefix(root).unwrap().display();
            all.push(format!("{name} {:o} {}:{} {content}", stat.mode(), stat.uid(), stat.gid()));
        }
    }
    all.sort();
    all
}
