//! What happened to containers: a file below `/run` that every process appends a line to, and any can follow.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::record::Record;
use crate::error::Attempt;

/// A file that is larger is put aside as `events.1`.
const LARGEST: u64 = 1 << 20;

/// Something that happened, as docker's API has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Event {
    /// To what.
    #[serde(rename = "Type")]
    pub kind: String,
    /// What.
    pub action: String,
    /// To which, and what is known of it.
    pub actor: Actor,
    /// Seconds since 1970.
    #[serde(rename = "time")]
    pub time: u64,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub time_nano: u64,
}

/// To which something happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Actor {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Image, name, labels and more.
    pub attributes: BTreeMap<String, String>,
}

impl Engine {
    /// Notes that something happened to a container. An event that can't be written is no reason to fail.
    pub fn happened(&self, record: &Record, action: &str, more: &[(&str, String)]) {
        let mut attributes = record.config.labels.clone();
        attributes.insert("image".into(), record.config.image.clone());
        attributes.insert("name".into(), record.name.clone());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.happened_to("container", &record.id, action, attributes);
    }

    /// Notes that something happened.
    pub fn happened_to(&self, kind: &str, id: &str, action: &str, attributes: BTreeMap<String, String>) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let event = Event {
            kind: kind.into(),
            action: action.into(),
            actor: Actor { id: id.into(), attributes },
            time: now.as_secs(),
            time_nano: now.as_nanos() as u64,
        };
        let Ok(mut line) = serde_json::to_vec(&event) else { return };
        line.push(b'\n');
        let path = self.events();
        let Ok(mut file) = File::options().append(true).create(true).open(&path) else { return };
        // One write(2) with O_APPEND: lines of several processes don't mix.
        let _ = file.write_all(&line);
        if file.metadata().is_ok_and(|data| data.len() > LARGEST) {
            let _ = std::fs::rename(&path, path.with_extension("1"));
        }
    }

    fn events(&self) -> PathBuf {
        self.run.join("events")
    }

    /// Hands on what happened between two times, and until the second what happens; false from `each` ends it. Without a first time
    /// what has been is left out.
    pub fn follow_events(
        &self,
        since: Option<SystemTime>,
        until: Option<SystemTime>,
        mut each: impl FnMut(&Event) -> Result<bool>,
    ) -> Result<()> {
        let path = self.events();
        let mut followed = Followed::new(path.clone())?;
        let nanoseconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let (first, last) = (since.map(nanoseconds), until.map(nanoseconds));
        let mut lines = Vec::new();
        match first {
            Some(_) => {
                lines = std::fs::read(path.with_extension("1")).unwrap_or_default();
                followed.read(&mut lines)?;
            }
            None => followed.skip()?,
        }
        loop {
            while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = lines.drain(..=end).collect();
                let Ok(event) = serde_json::from_slice::<Event>(&line) else { continue };
                if last.is_some_and(|last| event.time_nano > last) {
                    return Ok(());
                }
                if first.is_none_or(|first| event.time_nano >= first) && !each(&event)? {
                    return Ok(());
                }
            }
            let left = until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default());
            if left == Some(Duration::ZERO) {
                return Ok(());
            }
            followed.wait(left)?;
            followed.read(&mut lines)?;
        }
    }
}

/// A file that grows, and may be renamed and made anew.
#[derive(Debug)]
pub(super) struct Followed {
    path: PathBuf,
    file: Option<File>,
    watch: std::os::fd::OwnedFd,
}

impl Followed {
    /// Watches a file's directory: whatever changes there is a reason to look.
    pub(super) fn new(path: PathBuf) -> Result<Followed> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let watch = inotify::init(flags).attempt(|| "watch files (inotify)")?;
        let directory = path.parent().unwrap_or(&path);
        let kinds = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&watch, directory, kinds).attempt(|| format!("watch {directory:?}"))?;
        Ok(Followed { file: File::open(&path).ok(), path, watch })
    }

    fn skip(&mut self) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::End(0)).attempt(|| "find the end")?;
        }
        Ok(())
    }

    /// Appends what is new; after a rename the rest of the old file, and then the new one.
    pub(super) fn read(&mut self, to: &mut Vec<u8>) -> Result<()> {
        loop {
            if let Some(file) = &mut self.file {
                file.read_to_end(to).attempt(|| format!("read {:?}", self.path))?;
            }
            let own = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|data| data.ino());
            match std::fs::metadata(&self.path) {
                Ok(data) if Some(data.ino()) != own => self.file = File::open(&self.path).ok(),
                _ => return Ok(()),
            }
        }
    }

    /// Waits until something changed, or some time is over.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Result<()> {
        self.poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], patience)
    }

    /// Waits until something changed, some time is over, or something is there to read, too: whether that is so.
    pub(super) fn wait_beside(&self, other: Option<&impl AsFd>, patience: Option<Duration>) -> Result<bool> {
        let mut waited = vec![PollFd::new(&self.watch, PollFlags::IN)];
        waited.extend(other.map(|other| PollFd::new(other, PollFlags::IN)));
        self.poll(&mut waited, patience)?;
        Ok(waited.get(1).is_some_and(|other| !other.revents().is_empty()))
    }

    fn poll(&self, waited: &mut [PollFd<'_>], patience: Option<Duration>) -> Result<()> {
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        match poll(waited, patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).attempt(|| "wait for a change"),
        }
        let mut buffer = [0u8; 4096];
        while rustix::io::read(&self.watch, &mut buffer[..]).is_ok_and(|length| length > 0) {}
        Ok(())
    }
}
