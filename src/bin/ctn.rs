//! `ctn`: images and layers. Arguments in, exit code out; the work is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(corten::companion::main(std::env::args_os()))
}
