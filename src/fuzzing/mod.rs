//! What holds for every input, whoever wrote it. The fuzz targets (`fuzz/`) and the property tests here try it on inputs
//! without number: each function takes bytes and panics where something does not hold. Not in any other build.

mod filter;
#[cfg(feature = "companion")]
pub mod image;
mod mutation;
pub(crate) mod plan;
#[cfg(feature = "companion")]
pub mod registry;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::error::sentence;
use crate::spec::seccomp::Seccomp;
use crate::spec::{Process, Spec, load};

pub use mutation::mutate;

/// config.json → plan, of whoever may make one.
pub fn config(bytes: &[u8]) {
    match load::parse::<Spec>(bytes) {
        Ok(spec) => plan::of_container(&spec),
        Err(error) => assert!(!sentence(&error).is_empty()),
    }
}

/// The process.json of exec → plan, in a container of docker's.
pub fn process(bytes: &[u8]) {
    match load::parse::<Process>(bytes) {
        Ok(process) => plan::of_process(&process),
        Err(error) => assert!(!sentence(&error).is_empty()),
    }
}

/// A seccomp profile → a filter that the kernel takes.
pub fn profile(bytes: &[u8]) {
    match load::parse::<Seccomp>(bytes) {
        Ok(profile) => filter::of_profile(&profile),
        Err(error) => assert!(!sentence(&error).is_empty()),
    }
}

/// state.json → the record of a container, which is written as it was read.
pub fn record(bytes: &[u8]) {
    if let Err(error) = crate::container::read_and_written(bytes) {
        assert!(!sentence(&error).is_empty());
    }
}

/// The command line, a word a line, up to the call.
pub fn command_line(bytes: &[u8]) {
    // No argument of a program holds a zero byte.
    let words: Vec<OsString> = bytes
        .split(|byte| *byte == b'\n')
        .map(|word| OsString::from_vec(word.iter().copied().filter(|byte| *byte != 0).collect()))
        .collect();
    if let Err(mistake) = crate::cli::understood(&words) {
        assert!(!mistake.is_empty() && !mistake.contains("\n\n"), "{mistake:?} is not one sentence");
    }
}
