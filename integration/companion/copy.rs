//! `cp`, with all of its rules for what is copied where.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::{Pair, Side};
use crate::harness::command::Run;
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Pair>)> {
    cases![copies_out, copies_in, copies_as_an_archive]
}

/// On both sides the same files, links and owners.
const FILES: &str = "mkdir -p /data/deep/er /data/empty; echo file > /data/file; echo deep > /data/deep/er/file; \
                     ln -s file /data/link; ln -s deep /data/to-deep; ln -s /nosuch /data/dangling; \
                     mkdir /escape; ln -s ../../../../../etc/passwd /escape/out; chown 1234:1235 /data/file; chmod 640 /data/file; sleep 1000";

/// A directory of each side with the same in it, and the container `up` on both.
fn with_files(pair: &Pair, then: impl Fn(Side, &Path) -> Result<String> + Sync) -> Result<()> {
    pair.alone(|| {
        let mut seen = Vec::new();
        for side in [Side::Docker, Side::Ctn] {
            let directory = pair.host.new_directory("copies")?;
            let bound = directory.join("bound");
            for made in [&bound, &directory.join("sources/deep")] {
                std::fs::create_dir_all(made)?;
            }
            std::fs::write(directory.join("sources/file"), "of the host\n")?;
            std::fs::write(directory.join("sources/deep/other"), "deep on the host\n")?;
            std::os::unix::fs::symlink("file", directory.join("sources/link"))?;
            std::os::unix::fs::symlink("deep", directory.join("sources/to-deep"))?;
            std::os::unix::fs::chown(directory.join("sources/file"), Some(1234), Some(1235))?;
            let volume = format!("{}:/bound", bound.display());
            pair.on(side, &["run", "-d", "--name", "up", "-v", &volume, "-v", "kept:/kept", "box", "sh", "-c", FILES])
                .stdout()?;
            // The last thing that it makes.
            until_made(pair, side)?;
            seen.push(then(side, &directory)?);
        }
        seen[0] = seen[0].lines().map(as_documented).collect::<Vec<_>>().join("\n") + "\n";
        let pairs = seen[0].lines().zip(seen[1].lines());
        let differ: Vec<String> =
            pairs.filter(|(docker, ctn)| docker != ctn).map(|(docker, ctn)| format!("{docker}\n{ctn}")).collect();
        ensure!(differ.is_empty() && seen[0] == seen[1], "docker and ctn differ:\n{}", differ.join("\n\n"));
        Ok(())
    })
}

/// What docker does about owners and its manual doesn't say: `ctn` does what is said there.
fn as_documented(line: &str) -> String {
    let is_in = line.contains("/in") && !line.starts_with("cp -");
    if line.starts_with("cp [\"-a\"] up:") {
        // `--archive` copies "all uid/gid information", and docker leaves it out.
        line.replace("640 0:0 ./new/file", "640 1234:1235 ./new/file")
    } else if is_in && !line.starts_with("cp [\"-a\"]") {
        // What is copied into a container is root's there, and docker keeps the numbers of the host's users.
        line.replace("1234:1235 ./", "0:0 ./")
    } else {
        line.to_owned()
    }
}

fn until_made(pair: &Pair, side: Side) -> Result<()> {
    let made = "until [ \"$(stat -c %a /data/file 2>/dev/null)\" = 640 ]; do :; done";
    pair.on(side, &["exec", "up", "sh", "-c", made]).stdout()?;
    Ok(())
}

/// How it ended, and each thing below a directory: kind, mode, owner, name, and what it holds or names.
fn listed(script: &str, run: impl FnOnce(&str) -> Result<String>) -> Result<String> {
    let list = "find . | sort | while read -r n; do printf '%s %s' \"$(stat -c '%F %a %u:%g' \"$n\")\" \"$n\"; \
                if [ -L \"$n\" ]; then printf ' -> %s' \"$(readlink \"$n\")\"; elif [ -f \"$n\" ]; then printf ' = %s' \"$(cat \"$n\")\"; fi; echo; done";
    run(&format!("{script}{list}")).map(|text| text.replace('\n', "; "))
}

/// Copies, each into a new directory where nothing is but `there`, `there-file` and `link-to-there`.
fn copies_out(pair: &Pair) -> Result<()> {
    const COPIES: [(&[&str], &str, &str); 22] = [
        (&[], "up:/data/file", "new"),
        (&[], "up:/data/file", "new/"),
        (&[], "up:/data/file", "there"),
        (&[], "up:/data/file", "there/"),
        (&[], "up:/data/file", "there-file"),
        (&[], "up:/data/file", "nosuch/new"),
        (&[], "up:/data/file/", "new"),
        (&[], "up:/data/deep", "new"),
        (&[], "up:/data/deep", "there"),
        (&[], "up:/data/deep/.", "new"),
        (&[], "up:/data/deep/.", "there"),
        (&[], "up:/data/deep/", "there"),
        (&[], "up:/data/deep", "there-file"),
        (&[], "up:/data/deep", "nosuch/new"),
        (&[], "up:/data/link", "new"),
        (&["-L"], "up:/data/link", "new"),
        (&[], "up:/data/to-deep", "new"),
        (&["-L"], "up:/data/to-deep", "new"),
        (&["-L"], "up:/data/dangling", "new"),
        (&["-L"], "up:/escape/out", "new"),
        (&["-a"], "up:/data", "new"),
        (&[], "up:data/empty", "link-to-there"),
    ];
    with_files(pair, |side, directory| {
        let mut seen = String::new();
        for (number, (flags, from, to)) in COPIES.iter().enumerate() {
            let place = directory.join(format!("out{number}"));
            std::fs::create_dir_all(place.join("there"))?;
            std::fs::write(place.join("there-file"), "old\n")?;
            std::os::unix::fs::symlink("there", place.join("link-to-there"))?;
            let target = format!("{}/{to}", place.display());
            let ended = pair.on(side, &["cp"]).args(*flags).args([*from, &target]).finish()?;
            let script = format!("cd {}; ", place.display());
            let list = listed(&script, |script| Run::new("sh").args(["-c", script]).stdout())?;
            seen += &format!("cp {flags:?} {from} {to}: status {}; {list}\n", ended.status);
        }
        Ok(seen)
    })
}

fn copies_in(pair: &Pair) -> Result<()> {
    const COPIES: [(&[&str], &str, &str); 24] = [
        (&[], "file", "new"),
        (&[], "file", "new/"),
        (&[], "file", "there"),
        (&[], "file", "there/"),
        (&[], "file", "there-file"),
        (&[], "file", "nosuch/new"),
        (&[], "deep", "new"),
        (&[], "deep", "there"),
        (&[], "deep/.", "new"),
        (&[], "deep/.", "there"),
        (&[], "deep/", "there"),
        (&[], "deep", "there-file"),
        (&[], "link", "new"),
        (&["-L"], "link", "new"),
        (&[], "to-deep", "new"),
        (&["-L"], "to-deep", "new"),
        (&[], "file", "link-to-there"),
        (&[], "file", "link-to-there/"),
        (&[], "deep", "link-to-there"),
        (&[], "file", "link-out"),
        (&["-a"], ".", "new"),
        (&["-a"], "file", "there"),
        (&[], "nosuch", "new"),
        (&[], "file", "dangling"),
    ];
    with_files(pair, |side, directory| {
        let mut seen = String::new();
        for (at, base) in ["/in", "/bound/in", "/kept/in", "/tmp/in"].iter().enumerate() {
            for (number, (flags, from, to)) in COPIES.iter().enumerate() {
                let place = format!("{base}{number}");
                let prepare = format!(
                    "mkdir -p {place}/there; echo old > {place}/there-file; ln -s there {place}/link-to-there; \
                     ln -s ../../../../../../escaped{at} {place}/link-out; ln -s nosuch {place}/dangling"
                );
                pair.on(side, &["exec", "up", "sh", "-c", &prepare]).stdout()?;
                let source: PathBuf = directory.join("sources");
                let source = format!("{}/{from}", source.display());
                let ended =
                    pair.on(side, &["cp"]).args(*flags).args([&source, &format!("up:{place}/{to}")]).finish()?;
                let script = format!("cd {place}; ");
                let list = listed(&script, |script| pair.on(side, &["exec", "up", "sh", "-c", script]).stdout())?;
                seen += &format!("cp {flags:?} {from} {place}/{to}: status {}; {list}\n", ended.status);
            }
            seen += &pair.on(side, &["exec", "up", "sh", "-c", &format!("cat /escaped{at} 2>&1")]).finish()?.stdout;
        }
        Ok(seen)
    })
}

/// `-` on either side is an archive.
fn copies_as_an_archive(pair: &Pair) -> Result<()> {
    with_files(pair, |side, directory| {
        let mut seen = String::new();
        for from in ["up:/data", "up:/data/.", "up:/data/file", "up:/data/link", "up:/data/deep/", "up:/nosuch"] {
            let ended = pair.on(side, &["cp", from, "-"]).finish()?;
            let archive = directory.join("archive");
            std::fs::write(&archive, &ended.stdout)?;
            let list = match ended.status {
                0 => Run::new("tar").args(["--numeric-owner", "-tvf"]).args([&archive]).stdout()?,
                _ => String::new(),
            };
            // Without times.
            let row = |line: &str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                [&words[..3], &words[5..]].concat().join(" ")
            };
            // Names below `.` begin with it or not.
            let list: Vec<String> = list.lines().map(row).map(|row| row.replace(" ./", " ")).collect();
            seen += &format!("cp {from} -: status {}; {}\n", ended.status, list.join("; "));
        }
        let archive =
            Run::new("tar").args(["--numeric-owner", "-C"]).args([directory.join("sources")]).args(["-cf", "-", "."]);
        let archive = archive.stdout()? + &"\0".repeat(1024);
        for to in ["/in", "/bound/in", "/there-file", "/nosuch"] {
            pair.on(side, &["exec", "up", "sh", "-c", "mkdir -p /in /bound/in; echo old > /there-file"]).stdout()?;
            let ended = pair.on(side, &["cp", "-", &format!("up:{to}")]).input(&archive).finish()?;
            let list = listed(&format!("cd {to} 2>/dev/null || exit 0; "), |script| {
                pair.on(side, &["exec", "up", "sh", "-c", script]).stdout()
            })?;
            seen += &format!("cp - {to}: status {}; {list}\n", ended.status);
        }
        Ok(seen)
    })
}
