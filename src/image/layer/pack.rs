//! Packing: differences become the archive of a layer. Equal trees give equal bytes, whatever the machine and the order of its
//! directories are.

use std::collections::HashMap;
use std::io::{self, Write};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FileType, major, minor};

use super::attributes::Attributes;
use super::changes::{Change, Kind as Difference};
use super::form::Form;
use super::path;
use super::stack::{Found, Other, Stack};
use crate::error::Attempt;
use crate::image::tar::{Entry, Kind, Time, Writer};

/// Writes the archive of a layer. Times are whole seconds, none after `latest`.
pub fn pack<W: Write>(changes: &[Change], new: &Stack, latest: Option<i64>, output: W) -> Result<W> {
    let mut packing = Packing { archive: Writer::new(output), form: new.form(), latest, links: HashMap::new() };
    for change in changes {
        packing.change(change, new).with_context(|| format!("pack {}", crate::image::tar::shown(&change.path)))?;
    }
    packing.archive.finish().attempt(|| "write the layer")
}

struct Packing<W> {
    archive: Writer<W>,
    form: Form,
    latest: Option<i64>,
    /// The first name of files that have several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packing<W> {
    fn change(&mut self, change: &Change, new: &Stack) -> Result<()> {
        let (directory, name) = path::split(&change.path);
        ensure!(!name.starts_with(b".wh."), "a name that begins with .wh. can't be in a layer");
        if change.kind == Difference::Deleted {
            let whiteout = path::join(directory, &[b".wh.", name].concat());
            return self.put(&Entry::new(whiteout, Kind::File, 0), io::empty());
        }
        match new.find(&change.path)?.context("it is gone")? {
            Found::Directory(found) => {
                let attributes = found.attributes(self.form)?;
                // The root's own entry is what others write, too.
                let path = if change.path.is_empty() { b"./".to_vec() } else { [&change.path[..], b"/"].concat() };
                self.put(&self.entry(path, Kind::Directory, attributes), io::empty())
            }
            Found::Other(other) => self.other(&change.path, &other),
        }
    }

    fn other(&mut self, path: &[u8], other: &Other) -> Result<()> {
        let stat = &other.stat;
        if stat.st_nlink > 1
            && let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino))
        {
            let link = Kind::Link(first.clone());
            let entry = self.entry(
                path.into(),
                link,
                Attributes { xattrs: Default::default(), ..other.attributes(self.form)? },
            );
            return self.put(&entry, io::empty());
        }
        if stat.st_nlink > 1 {
            self.links.insert((stat.st_dev, stat.st_ino), path.to_vec());
        }
        let device = (major(stat.st_rdev), minor(stat.st_rdev));
        let kind = match other.kind() {
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink(other.link()?.context("a link")?),
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::Character(device.0, device.1),
            FileType::BlockDevice => Kind::Block(device.0, device.1),
            other => bail!("a file of the type {other:?}"),
        };
        let is_file = kind == Kind::File;
        let mut entry = self.entry(path.into(), kind, other.attributes(self.form)?);
        if !is_file {
            return self.put(&entry, io::empty());
        }
        entry.size = stat.st_size as u64;
        self.put(&entry, std::fs::File::from(other.open()?))
    }

    fn entry(&self, path: Vec<u8>, kind: Kind, attributes: Attributes) -> Entry {
        let seconds = attributes.modified.seconds;
        let seconds = self.latest.map_or(seconds, |latest| seconds.min(latest));
        Entry { modified: Time { seconds, nanoseconds: 0 }, ..attributes.into_entry(path, kind, self.form) }
    }

    fn put(&mut self, entry: &Entry, content: impl io::Read) -> Result<()> {
        self.archive.entry(entry, content).attempt(|| "write the layer")
    }
}
