//! `--userns keep-id`: the user of the machine is one of the container's, too, in its /etc/passwd and /etc/group, so that the number has
//! a name there, a home and a shell.
//!
//! As podman does it, the lines are written in the container's own layer, when it starts for the first time: a file that is mounted there
//! could not be replaced by a new one, which is how useradd(8) and others change it. So `diff` shows it and `commit` keeps it. What the
//! image says of the number or the name stays; a root directory or a file of the caller's is left as it is.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::Engine;
use super::record::Record;
use super::user_namespace::{self, own_of};
use crate::error::Attempt;
use crate::image::bundle::LARGEST_FILE;
use crate::image::mount::FileIds;

/// What the container is told of the user.
#[derive(Debug, PartialEq, Eq)]
struct Account<'a> {
    name: &'a str,
    full_name: &'a str,
    uid: u32,
    group_name: &'a str,
    gid: u32,
    home: &'a str,
}

/// Sees to it that the user has a name in a container whose root is mounted there.
pub(super) fn write(engine: &Engine, record: &Record, root: &Path) -> Result<()> {
    let keeps = matches!(user_namespace::Mode::of(&record.host_config.userns_mode)?, user_namespace::Mode::KeepId(..));
    let (Some(user), Some(ids)) = (&engine.user, &record.ids) else { return Ok(()) };
    if !keeps || record.rootfs.is_some() {
        return Ok(());
    }
    let (Some(uid), Some(gid)) = (own_of(&ids.users), own_of(&ids.groups)) else { return Ok(()) };
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
    let machine_gid = user.ids.groups.first().map_or(0, |range| range.host);
    let found = entry(&passwd, user.uid).unwrap_or_default();
    let field = |at: usize| found.get(at).copied().unwrap_or_default();
    let group_name = entry(&group, machine_gid).and_then(|fields| fields.first().copied()).unwrap_or_default();
    let home = home(record, field(5));
    let account = Account { name: field(0), full_name: field(4), uid, group_name, gid, home };
    let root: OwnedFd = File::open(root).attempt(|| format!("open {root:?}"))?.into();
    let _as_its_root = FileIds::of_root(ids)?;
    let is_mounted =
        |path: &str| record.mounts.iter().any(|mounted| mounted.destination.trim_start_matches('/') == path);
    for path in ["etc/passwd", "etc/group"].into_iter().filter(|path| !is_mounted(path)) {
        let line = |text: &str| if path == "etc/passwd" { account.passwd(text) } else { account.group(text) };
        add(&root, path, line).with_context(|| format!("name the user in the container's /{path}"))?;
    }
    Ok(())
}

impl Account<'_> {
    /// What is to be added to passwd(5), if anything.
    fn passwd(&self, text: &str) -> Option<String> {
        if entry(text, self.uid).is_some() {
            return None;
        }
        let name = free(text, self.name, self.uid);
        Some(format!("{name}:*:{}:{}:{}:{}:/bin/sh\n", self.uid, self.gid, self.full_name, self.home))
    }

    /// The same for group(5).
    fn group(&self, text: &str) -> Option<String> {
        if entry(text, self.gid).is_some() {
            return None;
        }
        Some(format!("{}:x:{}:{}\n", free(text, self.group_name, self.gid), self.gid, self.name))
    }
}

/// The fields of the line for a number.
fn entry(text: &str, id: u32) -> Option<Vec<&str>> {
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.get(2).is_some_and(|field| field.parse() == Ok(id)))
}

/// A name that nobody else has there, which is the number where the user's own is taken, or there is none.
fn free(text: &str, name: &str, id: u32) -> String {
    let is_taken = text.lines().any(|line| line.split(':').next() == Some(name));
    if name.is_empty() || is_taken { id.to_string() } else { name.to_owned() }
}

/// The user's home where it is mounted, else the directory that programs begin in.
fn home<'a>(record: &'a Record, on_machine: &'a str) -> &'a str {
    let is_there = |mount: &str| mount != "/" && Path::new(on_machine).starts_with(mount);
    match record.config.working_dir.as_str() {
        _ if on_machine.len() > 1 && record.mounts.iter().any(|mounted| is_there(&mounted.destination)) => on_machine,
        // What the image says may be more than a field of a line.
        directory if directory.is_empty() || directory.contains([':', '\n']) => "/",
        directory => directory,
    }
}

/// Adds to a file of the container's, which is made where there is none in a directory that is there.
fn add(root: &OwnedFd, path: &str, line: impl Fn(&str) -> Option<String>) -> Result<()> {
    let open = |flags: OFlags, mode: Mode| {
        // NONBLOCK: a pipe is nobody's to wait for.
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | flags;
        openat2(root, path, flags, mode, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    };
    let file = match open(OFlags::empty(), Mode::empty()) {
        Err(Errno::NOENT) => match open(OFlags::CREATE, Mode::from_raw_mode(0o644)) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            made => made,
        },
        found => found,
    };
    let file = file.attempt(|| "open it")?;
    let stat = fstat(&file).attempt(|| "look at it")?;
    ensure!(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile, "it is no regular file");
    ensure!(stat.st_size as u64 <= LARGEST_FILE, "it has more than {LARGEST_FILE} bytes");
    let mut file = File::from(file);
    let mut bytes = Vec::new();
    (&mut file).take(LARGEST_FILE).read_to_end(&mut bytes).attempt(|| "read it")?;
    let text = String::from_utf8_lossy(&bytes);
    let Some(line) = line(&text) else { return Ok(()) };
    let separator = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{separator}{line}").as_bytes()).attempt(|| "write it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::Mounted;

    fn account<'a>(name: &'a str, group_name: &'a str) -> Account<'a> {
        Account { name, full_name: "Some One", uid: 1000, group_name, gid: 1001, home: "/work" }
    }

    #[test]
    fn lines_of_a_user() {
        let own = account("me", "us");
        assert_eq!(own.passwd("root:x:0:0::/:\n").as_deref(), Some("me:*:1000:1001:Some One:/work:/bin/sh\n"));
        assert_eq!(own.group("root:x:0:\n").as_deref(), Some("us:x:1001:me\n"));
    }

    #[test]
    fn what_the_image_says_stays() {
        let own = account("me", "us");
        assert_eq!(own.passwd("node:x:1000:1000::/home/node:/bin/sh"), None);
        assert_eq!(own.group("node:x:1001:\n"), None);
        // The name is another user's, or there is none.
        assert_eq!(own.passwd("me:x:5:5::/:\n").unwrap().split(':').next(), Some("1000"));
        assert_eq!(account("", "").group("").as_deref(), Some("1001:x:1001:\n"));
        assert!(own.passwd("broken\n1000\n:::\n").is_some());
    }

    #[test]
    fn a_home_that_is_mounted() {
        let mut record = Record::default();
        assert_eq!(home(&record, "/home/me"), "/");
        record.config.working_dir = "/srv".into();
        assert_eq!(home(&record, "/home/me"), "/srv");
        for (destination, wanted) in [("/home/me/project", "/srv"), ("/home", "/home/me"), ("/home/me", "/home/me")] {
            record.mounts = vec![Mounted { destination: destination.into(), ..Mounted::default() }];
            assert_eq!(home(&record, "/home/me"), wanted, "{destination}");
        }
        assert_eq!(home(&record, "/"), "/srv");
        record.config.working_dir = "/srv\nroot::0:0".into();
        assert_eq!(home(&record, "/"), "/");
    }
}
