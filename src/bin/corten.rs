//! `corten`: the OCI runtime. Arguments in, exit code out; the work is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(corten::cli::main(std::env::args_os()))
}
