//! A file of more than four gigabytes, all of it stored.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::ctn::{CTN, Place, succeeded};
use crate::harness::host::Host;

const SIZE: u64 = (4 << 30) + (64 << 20) + 5;
/// KiB of address space; most of what is taken of it is only reserved.
const MEMORY: u64 = 1 << 20;

/// Through memory that is a fraction of it.
pub(super) fn four_gigabytes(_: &Arc<Host>) -> Result<()> {
    let place = Place::new();
    let marks = [0, (4 << 30) + 3, SIZE - 5];
    let file = File::create(place.join("large"))?;
    file.set_len(SIZE)?;
    for at in marks {
        file.write_all_at(b"data.", at)?;
    }
    let mut tar = Command::new("tar");
    tar.args(["-cf", "-", "large"]).current_dir(&place.path).stdout(Stdio::piped());
    let mut child = tar.spawn().context("run tar")?;
    let archive = File::create(place.join("large.tar.zst"))?;
    zstd::stream::copy_encode(child.stdout.take().context("its output is a pipe")?, archive, 1)?;
    ensure!(child.wait()?.success(), "tar failed");
    for arguments in [&["import", "large.tar.zst", "large:1"][..], &["unpack", "large:1", "bundle"]] {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {MEMORY} && exec \"$@\""), "sh", CTN]).args(arguments);
        let output = command.env("CTN_ROOT", place.store()).current_dir(&place.path).output()?;
        succeeded(&output, arguments);
    }
    let unpacked = File::open(place.join("bundle/rootfs/large"))?;
    ensure!(unpacked.metadata()?.size() == SIZE, "it has {} bytes", unpacked.metadata()?.size());
    for at in marks {
        let mut found = [0; 5];
        unpacked.read_exact_at(&mut found, at)?;
        ensure!(&found == b"data.", "at {at} is {found:?}");
    }
    Ok(())
}
