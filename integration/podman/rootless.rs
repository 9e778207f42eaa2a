//! What is of its own kind when podman runs as an ordinary user.

use anyhow::{Result, ensure};

use super::Podman;
use crate::harness::host::{REMAPPED, TESTER};
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Podman>)> {
    cases![maps_the_user, keeps_the_users_number, writes_as_the_user]
}

fn maps_the_user(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    let status = |path: String| std::fs::read_to_string(path);
    let text = status(format!("/proc/{}/status", container.pid()?))?;
    ensure!(text.contains(&format!("Uid:\t{TESTER}\t{TESTER}\t{TESTER}\t{TESTER}\n")), "{text}");
    let printed = container.exec(&["cat", "/proc/self/uid_map"]).stdout()?;
    let (user, first) = (TESTER.to_string(), REMAPPED.1.to_string());
    let words: Vec<_> = printed.split_whitespace().collect();
    ensure!(words == ["0", &user, "1", "1", &first, "65536"], "{printed}");
    let worker = podman.sleeper(&["--user", "worker"])?;
    let text = status(format!("/proc/{}/status", worker.pid()?))?;
    let id = REMAPPED.1 + 1234 - 1;
    ensure!(text.contains(&format!("Uid:\t{id}\t{id}\t{id}\t{id}\n")), "{text}");
    Ok(())
}

fn keeps_the_users_number(podman: &Podman) -> Result<()> {
    let printed = podman.script(&["--userns", "keep-id"], "id -u")?;
    ensure!(printed == TESTER.to_string(), "{printed}");
    Ok(())
}

fn writes_as_the_user(podman: &Podman) -> Result<()> {
    let source = podman.host.new_directory("written")?;
    std::os::unix::fs::chown(&source, Some(TESTER), Some(TESTER))?;
    podman.script(&["--volume", &format!("{}:/data", source.display())], "touch /data/x")?;
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(source.join("x"))?);
    ensure!(owner == TESTER, "{owner}");
    Ok(())
}
