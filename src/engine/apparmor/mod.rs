//! AppArmor's profile for containers that ask for no other, loaded when the first one needs it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::RUN;
use crate::error::Attempt;
use crate::image::digest::Digest;

/// The profile's name.
pub const DEFAULT: &str = "corten-default";

const PROFILE: &str = include_str!("profile");

/// The kernel's list of profiles.
const LOADED: &str = "/sys/kernel/security/apparmor/profiles";

/// Whether this machine confines programs by AppArmor, and has what loads a profile or has ours already.
pub fn is_available() -> bool {
    let enabled = fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"));
    enabled && (parser().is_some() || is_listed())
}

fn parser() -> Option<PathBuf> {
    ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"].map(PathBuf::from).into_iter().find(|path| path.exists())
}

fn is_listed() -> bool {
    let list = fs::read_to_string(LOADED).unwrap_or_default();
    list.lines().any(|line| line.split_once(' ').is_some_and(|(name, _)| name == DEFAULT))
}

/// A file that says that the kernel has been given this very text, for a profile of an older version has the same name.
fn mark() -> PathBuf {
    Path::new(RUN).join(format!("apparmor-{}", &Digest::of(PROFILE.as_bytes()).hex()[..16]))
}

/// Has the kernel know the profile.
pub(super) fn load() -> Result<()> {
    let mark = mark();
    let Some(parser) = parser().filter(|_| !(mark.exists() && is_listed())) else { return Ok(()) };
    let what = || format!("load the AppArmor profile {DEFAULT:?} (--security-opt apparmor=unconfined does without it)");
    let mut command = Command::new(&parser);
    command.args(["--replace", "--skip-cache", "--quiet"]).stdin(Stdio::piped());
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().attempt(|| format!("run {parser:?}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A parser that ends before it has read all says why.
        let _ = stdin.write_all(PROFILE.as_bytes());
    }
    let output = child.wait_with_output().attempt(|| format!("wait for {parser:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        bail!("{}: {parser:?} says: {said}", what());
    }
    fs::write(&mark, "").attempt(|| format!("make {mark:?}")).with_context(what)
}
