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
use super::stack::{Found, Merged, Other, Stack};
use crate::error::{Attempt, Errno, errno};
use crate::image::tar::{Entry, Kind, Time, Writer};

/// Writes the archive of a layer. Times are whole seconds, none after `latest`.
pub fn pack<W: Write>(changes: &[Change], new: &Stack, latest: Option<i64>, output: W) -> Result<W> {
    let (archive, links) = (Writer::new(output), HashMap::new());
    let mut packing = Packing { archive, form: new.form(), latest, links, last: None };
    for change in changes {
        match packing.change(change, new) {
            // Of a container that runs: what went meanwhile is not there.
            Err(error) if errno(&error) == Some(Errno::NOENT) => {}
            done => done.with_context(|| format!("pack {}", crate::image::tar::shown(&change.path)))?,
        }
    }
    packing.archive.finish().attempt(|| "write the layer")
}

struct Packing<W> {
    archive: Writer<W>,
    form: Form,
    latest: Option<i64>,
    /// The first name of files that have several.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// The directory that was packed last, or that the last file was in: the next change is in it mostly, however deep that is.
    last: Option<(Vec<u8>, Merged)>,
}

impl<W: Write> Packing<W> {
    fn find(&mut self, path: &[u8], new: &Stack) -> Result<Option<Found>> {
        if path.is_empty() {
            return new.find(path);
        }
        let (directory, name) = path::split(path);
        if self.last.as_ref().is_none_or(|(last, _)| last != directory) {
            let Some(Found::Directory(found)) = new.find(directory)? else { return Ok(None) };
            self.last = Some((directory.to_vec(), found));
        }
        self.last.as_ref().map_or(Ok(None), |(_, last)| last.child(name))
    }

    fn change(&mut self, change: &Change, new: &Stack) -> Result<()> {
        let (directory, name) = path::split(&change.path);
        ensure!(!name.starts_with(b".wh."), "a name that begins with .wh. can't be in a layer");
        if change.kind == Difference::Deleted {
            let whiteout = path::join(directory, &[b".wh.", name].concat());
            return self.put(&Entry::new(whiteout, Kind::File, 0), io::empty());
        }
        match self.find(&change.path, new)? {
            None => Ok(()),
            Some(Found::Directory(found)) => {
                let attributes = found.attributes(self.form)?;
                // The root's own entry is what others write, too.
                let path = if change.path.is_empty() { b"./".to_vec() } else { [&change.path[..], b"/"].concat() };
                self.put(&self.entry(path, Kind::Directory, attributes), io::empty())?;
                self.last = Some((change.path.clone(), found));
                Ok(())
            }
            Some(Found::Other(other)) => self.other(&change.path, &other),
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
        if is_file {
            entry.size = stat.st_size as u64;
            self.put(&entry, std::fs::File::from(other.open()?))?;
        } else {
            self.put(&entry, io::empty())?;
        }
        if stat.st_nlink > 1 {
            self.links.insert((stat.st_dev, stat.st_ino), path.to_vec());
        }
        Ok(())
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
