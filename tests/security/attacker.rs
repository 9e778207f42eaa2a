//! The attacker: a static C program for what a shell can't do, and what it is used on.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::harness::host::copy_program;
use crate::harness::{Bundle, probe};

const SOURCE: &str = include_str!("../helpers/attacker.c");

/// The attacker's program on the host.
pub fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| probe::compile("attacker", SOURCE));
    &PROGRAM
}

/// The attacker's program, as text for a command line.
pub fn text() -> &'static str {
    program().to_str().expect("a path of the tests is text")
}

/// Puts the attacker into the container, as the program `attacker`.
pub fn enter(bundle: &Bundle) {
    copy_program(program(), &bundle.rootfs.join("bin/attacker"));
}

/// A directory that only the host has, with the attacker's program in it under the name `escape`; it prints `escaped`.
pub fn on_the_host(bundle: &Bundle) -> PathBuf {
    let directory = bundle.make_directory("host-only");
    copy_program(program(), &directory.join("escape"));
    directory
}
