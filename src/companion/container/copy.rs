//! `cp`: files between a container and the host.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use rustix::fs::FileType;

use super::super::output::{complain, warn};
use super::super::{Context, Operation, units};
use crate::engine::copy::rules::{Source, Target, placed};
use crate::engine::copy::{self, Copied, Found, Owner, Tree};
use crate::error::Attempt;
use crate::image::layer::path;
use crate::image::tar::shown;

/// Copy files between a container and the host
///
/// A directory comes into a directory that is there, or becomes one that is not; with /. at its end its content comes into the
/// directory. With - for the source an archive is read from the standard input and unpacked in a directory of the container; with - for
/// the target one is written to the standard output. Copies are root's in a container, and the caller's on the host.
#[derive(Debug, Args)]
pub(in crate::companion) struct Copy {
    /// Keep owner and group
    #[arg(short, long)]
    archive: bool,

    /// Copy what a symbolic link at the source's path leads to
    #[arg(short = 'L', long)]
    follow_link: bool,

    /// Say nothing of what was copied
    #[arg(short, long)]
    quiet: bool,

    /// CONTAINER:PATH, PATH or -
    source: OsString,

    /// CONTAINER:PATH, PATH or -
    target: OsString,
}

/// An end of the copy.
#[derive(Debug, PartialEq, Eq)]
enum End<'a> {
    Stream,
    Host(&'a [u8]),
    Container(&'a str, &'a [u8]),
}

impl<'a> End<'a> {
    /// A path that has a colon is the host's if it begins with a slash or a dot.
    fn of(text: &'a [u8]) -> Result<End<'a>> {
        let colon = text.iter().position(|byte| *byte == b':');
        Ok(match colon {
            _ if text == b"-" => End::Stream,
            Some(colon) if !text.starts_with(b"/") && !text.starts_with(b".") => {
                let name = std::str::from_utf8(&text[..colon]).ok().context("a container's name is text")?;
                End::Container(name, &text[colon + 1..])
            }
            _ => End::Host(text),
        })
    }
}

impl Operation for Copy {
    fn carry_out(self, context: &Context) -> Result<u8> {
        ensure!(!self.source.is_empty(), "source can not be empty");
        ensure!(!self.target.is_empty(), "destination can not be empty");
        let (source, target) = (End::of(self.source.as_bytes())?, End::of(self.target.as_bytes())?);
        let name = match (&source, &target) {
            (End::Container(..), End::Container(..)) => bail!("copying between containers is not supported"),
            (End::Container(name, _), _) | (_, End::Container(name, _)) => *name,
            _ => bail!("must specify at least one container source"),
        };
        let engine = context.engine()?;
        let container = engine.find(name)?;
        // Before the container's namespace of mounts: the host's paths are the caller's.
        let host = Tree::of_host()?;
        let paths = Paths { source: &source, target: &target, working_directory: working_directory()? };
        let files = container.files(name)?;
        let copied = match (&source, &target) {
            (_, End::Stream) => return self.to_stream(&files.tree, &paths),
            (End::Stream, _) => from_stream(&files.tree, &paths, self.target.as_bytes())?,
            (End::Container(..), _) => self.between(&files.tree, &host, &paths)?,
            _ => self.between(&host, &files.tree, &paths)?,
        };
        warn(&copied.warnings);
        if !self.quiet && std::io::stdout().is_terminal() {
            let target = String::from_utf8_lossy(self.target.as_bytes()).into_owned();
            complain(&format!("Successfully copied {} to {target}\n", units::size(copied.size)));
        }
        Ok(0)
    }
}

fn working_directory() -> Result<Vec<u8>> {
    Ok(std::env::current_dir().attempt(|| "ask for the working directory")?.into_os_string().into_vec())
}

/// The paths of both ends.
struct Paths<'a> {
    source: &'a End<'a>,
    target: &'a End<'a>,
    working_directory: Vec<u8>,
}

impl Paths<'_> {
    /// A clean path below the root of an end's files; a container's paths begin at its root.
    fn clean(&self, end: &End<'_>) -> Vec<u8> {
        match end {
            End::Host(text) if !text.starts_with(b"/") => {
                path::clean(&[&self.working_directory, &b"/"[..], text].concat())
            }
            End::Host(text) | End::Container(_, text) => path::clean(text),
            End::Stream => Vec::new(),
        }
    }
}

fn text<'a>(end: &End<'a>) -> &'a [u8] {
    match end {
        End::Host(text) | End::Container(_, text) => text,
        End::Stream => b"",
    }
}

/// Whether a path means the content of a directory.
fn is_content(text: &[u8]) -> bool {
    text == b"." || text.ends_with(b"/.")
}

/// Whether only a directory can be meant by a path.
fn says_directory(text: &[u8]) -> bool {
    text.ends_with(b"/") || is_content(text)
}

impl Copy {
    fn source(&self, from: &Tree, paths: &Paths<'_>) -> Result<(Found, Source)> {
        let given = text(paths.source);
        let path = paths.clean(paths.source);
        let follows = self.follow_link || says_directory(given);
        let real = if follows { from.followed(&path)? } else { path.clone() };
        let found = from.find(&real)?.ok_or_else(|| from.missing(&path))?;
        let is_directory = found.kind() == FileType::Directory;
        ensure!(is_directory || !says_directory(given), "{}: not a directory", shown(given));
        let name = path::split(&path).1.to_vec();
        // A root has no name.
        let is_content = is_content(given) || name.is_empty();
        Ok((found, Source { name, is_directory, is_content }))
    }

    fn between(&self, from: &Tree, to: &Tree, paths: &Paths<'_>) -> Result<Copied> {
        let (found, source) = self.source(from, paths)?;
        let path = to.followed(&paths.clean(paths.target))?;
        let target = match to.find(&path)?.map(|found| found.kind()) {
            Some(FileType::Directory) => Target::Directory,
            Some(FileType::RegularFile) => Target::File,
            Some(_) if matches!(paths.target, End::Host(_)) => {
                bail!("destination {} must be a directory or a regular file", shown(text(paths.target)))
            }
            Some(_) => Target::File,
            None => Target::Nothing,
        };
        let placed = placed(&source, &path, target, says_directory(text(paths.target)))?;
        let parent = to.find(&to.followed(&placed.directory)?)?;
        if !parent.is_some_and(|found| found.kind() == FileType::Directory) {
            if matches!(paths.target, End::Host(_)) {
                bail!(
                    "invalid output path: directory {} does not exist",
                    shown(&[b"/", &placed.directory[..]].concat())
                );
            }
            return Err(to.missing(&placed.directory));
        }
        let owner = match paths.target {
            _ if self.archive => Owner::Kept,
            End::Container(..) => Owner::Of(0, 0),
            _ => Owner::Of(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        };
        copy::copy((from, &found), to, &placed, owner)
    }

    fn to_stream(&self, from: &Tree, paths: &Paths<'_>) -> Result<u8> {
        let stdout = std::io::stdout();
        ensure!(!stdout.is_terminal(), "cowardly refusing to copy to a terminal: redirect the standard output");
        let (found, source) = self.source(from, paths)?;
        let name = if source.is_content { Vec::new() } else { source.name };
        copy::pack_stream((from, &found), &name, stdout.lock())?;
        Ok(0)
    }
}

fn from_stream(to: &Tree, paths: &Paths<'_>, given: &[u8]) -> Result<Copied> {
    let path = paths.clean(paths.target);
    let real = to.followed(&path)?;
    let found = to.find(&real)?.ok_or_else(|| to.missing(&path))?;
    ensure!(found.kind() == FileType::Directory, "destination {} must be a directory", shown(given));
    copy::unpack_stream(std::io::stdin(), to, &real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        assert_eq!(End::of(b"web:/x:y").unwrap(), End::Container("web", b"/x:y"));
        assert_eq!(End::of(b"-").unwrap(), End::Stream);
        for host in ["/a:b", "./a:b", "../a:b", "plain", "."] {
            assert_eq!(End::of(host.as_bytes()).unwrap(), End::Host(host.as_bytes()), "{host}");
        }
        assert!(is_content(b"a/.") && is_content(b".") && !is_content(b"a/..") && says_directory(b"a/"));
    }
}
