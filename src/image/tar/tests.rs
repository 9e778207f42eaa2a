//! Archives of GNU tar and our own, read back.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use super::sparse::Segment;
use super::*;

/// A directory that is removed with its content.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("corten-tar-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn tar(&self, arguments: &[&str]) -> Vec<u8> {
        let archive = self.0.join("archive");
        let ran = Command::new("tar").arg("-C").arg(&self.0).arg("-cf").arg(&archive).args(arguments).status();
        assert!(ran.unwrap().success());
        fs::read(archive).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, anyhow::Error> {
    let mut reader = Reader::new(archive);
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        all.push((entry, content));
    }
    Ok(all)
}

fn monsters() -> Vec<(Entry, Vec<u8>)> {
    let plain = |path: &[u8], content: &[u8]| {
        let entry = Entry { size: content.len() as u64, ..Entry::new(path, Kind::File, 0o644) };
        (entry, content.to_vec())
    };
    let mut long = b"directory/".repeat(15);
    long.extend(b"x".repeat(120));
    let mut extraordinary = plain(b"caf\xc3\xa9", b"x").0;
    extraordinary.uid = u32::MAX - 1;
    extraordinary.gid = 0o10_000_000;
    extraordinary.modified.seconds = -5;
    extraordinary.mode = 0o6755;
    extraordinary.xattrs.insert(b"security.capability".to_vec(), b"\x01\0\0\x02=\n\0".to_vec());
    extraordinary.xattrs.insert(b"user.empty".to_vec(), Vec::new());
    let other = |path: &[u8], kind| (Entry::new(path, kind, 0o755), Vec::new());
    vec![
        plain(b"a", b""),
        plain(b"b", &[7; 511]),
        plain(b"c", &[7; 512]),
        plain(b"\xff\xfe", &[7; 513]),
        plain(&long, b"long"),
        plain(&[&b"d/".repeat(60)[..], b"name"].concat(), b"with a prefix"),
        plain(&[&b"deep/".repeat(2000)[..], b"file"].concat(), b"beyond PATH_MAX"),
        (extraordinary, b"x".to_vec()),
        other(b"dir/", Kind::Directory),
        other(b"link", Kind::Symlink(b"/target".to_vec())),
        other(b"long link", Kind::Symlink(b"t/".repeat(99))),
        other(b"hard", Kind::Link(b"a".to_vec())),
        other(b"fifo", Kind::Fifo),
        other(b"null", Kind::Character(1, 3)),
        other(b"disk", Kind::Block(259, 65536)),
    ]
}

fn written(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.entry(entry, &content[..]).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn what_is_written_is_read_again() {
    let archive = written(&monsters());
    assert_eq!(read(&archive).unwrap(), monsters());
    assert_eq!(archive, written(&monsters()));
}

#[test]
fn gnu_tar_reads_what_is_written() {
    let scratch = Scratch::new("write");
    let archive = scratch.0.join("own");
    fs::write(&archive, written(&monsters())).unwrap();
    let ran = Command::new("tar").args(["--quoting-style=escape", "-tvf"]).arg(&archive).output().unwrap();
    let (listing, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{errors}");
    assert_eq!(listing.lines().count(), monsters().len(), "{listing}{errors}");
    for wanted in ["-rwsr-sr-x 4294967294/2097152", "hard link to a", "259,65536", "1,3"] {
        assert!(listing.contains(wanted), "{wanted} is not in\n{listing}");
    }
}

#[test]
fn all_formats_of_gnu_tar_are_read() {
    let scratch = Scratch::new("formats");
    let long = format!("{}/{}", "d".repeat(80), "f".repeat(90));
    fs::create_dir(scratch.0.join("d".repeat(80))).unwrap();
    fs::write(scratch.0.join(&long), "content").unwrap();
    std::os::unix::fs::symlink("t".repeat(150), scratch.0.join("link")).unwrap();
    fs::hard_link(scratch.0.join(&long), scratch.0.join("hard")).unwrap();
    for format in ["gnu", "oldgnu", "pax", "posix"] {
        let format = format!("--format={format}");
        let entries = read(&scratch.tar(&[&format, &long, "link", "hard"])).unwrap();
        assert_eq!(entries[0].0.path, long.as_bytes(), "{format}");
        assert_eq!(entries[0].1, b"content");
        assert_eq!(entries[1].0.kind, Kind::Symlink(vec![b't'; 150]), "{format}");
        assert_eq!(entries[2].0.kind, Kind::Link(long.clone().into_bytes()), "{format}");
    }
    fs::write(scratch.0.join("short"), "short").unwrap();
    for format in ["--format=v7", "--format=ustar"] {
        let entries = read(&scratch.tar(&[format, "short"])).unwrap();
        assert_eq!((&entries[0].0.path[..], &entries[0].1[..]), (&b"short"[..], &b"short"[..]));
    }
}

#[test]
fn sparse_files_in_all_four_forms() {
    let scratch = Scratch::new("sparse");
    let file = File::create(scratch.0.join("sparse")).unwrap();
    // More segments than GNU's header and its first extension hold.
    for index in 0..40u64 {
        file.write_all_at(b"data", index << 20).unwrap();
    }
    file.set_len((40 << 20) + 3).unwrap();
    for arguments in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let archive = scratch.tar(&[arguments, &["--sparse", "--hole-detection=raw", "sparse"]].concat());
        let mut reader = Reader::new(&archive[..]);
        let entry = reader.next_entry().unwrap().unwrap();
        assert_eq!((&entry.path[..], entry.size), (&b"sparse"[..], (40 << 20) + 3), "{arguments:?}");
        let map = entry.sparse.clone().unwrap();
        assert_eq!((map.len(), map[39].offset), (40, 39 << 20), "{arguments:?}");
        let copy = File::create(scratch.0.join("copy")).unwrap();
        let mut buffer = [0; 4096];
        reader::spread(&mut reader, &entry, &mut buffer, |at, bytes| Ok(copy.write_all_at(bytes, at)?)).unwrap();
        copy.set_len(entry.size).unwrap();
        assert!(
            fs::read(scratch.0.join("copy")).unwrap() == fs::read(scratch.0.join("sparse")).unwrap(),
            "{arguments:?}"
        );
        assert!(reader.next_entry().unwrap().is_none());
    }
}

#[test]
fn sizes_beyond_eight_gigabytes_are_in_both_extensions() {
    for size in [9u64 << 30, 1 << 40] {
        let entry = Entry { size, ..Entry::new("big", Kind::File, 0o644) };
        struct Head(Vec<u8>);
        impl std::io::Write for Head {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.extend_from_slice(bytes);
                // Three headers are enough; the content would be too much.
                if self.0.len() > 3 * BLOCK { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut head = Head(Vec::new());
        let _ = Writer::new(&mut head).entry(&entry, std::io::repeat(0));
        let head = head.0;
        assert_eq!(Reader::new(&head[..]).next_entry().unwrap().unwrap().size, size);
    }
    let mut gnu = written(&[(Entry::new("big", Kind::File, 0o644), Vec::new())]);
    gnu[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\x04\0\0\0\0");
    let mut block: [u8; BLOCK] = gnu[..BLOCK].try_into().unwrap();
    header::sign(&mut block);
    assert_eq!(Reader::new(&block[..]).next_entry().unwrap().unwrap().size, 16 << 30);
}

/// Readers who disagree where the next header is see two archives in one (found by the fuzz target `tar`).
#[test]
fn what_is_no_file_has_no_content() {
    let with_size = |kind: Kind| {
        let mut archive = Writer::new(Vec::new());
        archive.entry(&Entry::new("first", kind, 0o644), &b""[..]).unwrap();
        archive.entry(&Entry::new("second", Kind::File, 0o644), &b""[..]).unwrap();
        let mut archive = archive.finish().unwrap();
        archive[124..135].copy_from_slice(b"00000001000");
        header::sign((&mut archive[..BLOCK]).try_into().unwrap());
        read(&archive)
    };
    for kind in [Kind::Link(b"x".to_vec()), Kind::Directory] {
        let names: Vec<Vec<u8>> = with_size(kind).unwrap().into_iter().map(|(entry, _)| entry.path).collect();
        assert_eq!(names, [b"first".to_vec(), b"second".to_vec()]);
    }
    for kind in [Kind::Symlink(b"x".to_vec()), Kind::Fifo, Kind::Character(1, 3)] {
        assert!(with_size(kind).unwrap_err().to_string().contains("512 bytes of content in what is no file"));
    }
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let whole = written(&monsters());
    let count = monsters().len();
    for end in (1..whole.len() - 2 * BLOCK).step_by(97) {
        match read(&whole[..end]) {
            // An archive without its end marks is read up to where it is whole.
            Ok(entries) => assert!(end % BLOCK == 0 && entries.len() < count, "{end}"),
            Err(error) => assert!(format!("{error:#}").contains("ends"), "{end}: {error:#}"),
        }
    }
    for (what, at, bytes) in
        [("an unknown type", 156, b'Z'), ("a negative size", 124, 0xff), ("a lying owner", 108, 0xbf)]
    {
        let mut damaged: [u8; BLOCK] = whole[..BLOCK].try_into().unwrap();
        damaged[at] = bytes;
        header::sign(&mut damaged);
        assert!(read(&damaged).is_err(), "{what}");
    }
}

#[test]
fn an_extended_header_may_not_fill_the_memory() {
    let mut block = [0; BLOCK];
    block[156] = b'x';
    block[124..135].copy_from_slice(b"77777777777");
    header::sign(&mut block);
    let error = Reader::new(&block[..]).next_entry().unwrap_err();
    assert!(format!("{error:#}").contains("more than 1048576"), "{error:#}");
}

#[test]
fn the_data_of_a_sparse_file_is_never_taken_for_its_content() {
    // A map that says less than is stored.
    let mut lying = pax::written(b"GNU.sparse.realsize", b"100");
    lying.extend(pax::written(b"GNU.sparse.map", b"0,5"));
    let mut archive = Vec::new();
    let mut writer = Writer::new(&mut archive);
    let extension = Entry { size: lying.len() as u64, ..Entry::new("x", Kind::File, 0) };
    writer.entry(&extension, &lying[..]).unwrap();
    writer.entry(&Entry { size: 9, ..Entry::new("f", Kind::File, 0) }, &b"012345678"[..]).unwrap();
    archive[156] = b'x';
    let mut block: [u8; BLOCK] = archive[..BLOCK].try_into().unwrap();
    header::sign(&mut block);
    archive[..BLOCK].copy_from_slice(&block);
    assert!(read(&archive).is_err());
    assert_eq!(Segment::new(0, 5).length, 5);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(seed in 0usize..12, flips in proptest::collection::vec((0usize..40_000, proptest::num::u8::ANY), 0..6)) {
        let mut archive = written(&monsters()[seed..]);
        let length = archive.len();
        for (at, byte) in flips {
            archive[at % length] = byte;
        }
        let _ = read(&archive);
    }
}
