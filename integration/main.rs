//! The runtime under the engines that people use: containerd, dockerd and podman, as Debian packages them.
//!
//! Every daemon, image and container lives on a host of its own (`scripts/unified-host`), so nothing of the machine is
//! touched and nothing is left. The runtime is the one that `CORTEN_TEST_RUNTIME` names, or the one just built.

#![allow(missing_docs, reason = "a program, not a library")]

mod bundles;
mod companion;
mod containerd;
mod cri;
mod docker;
mod harness;
mod images;
mod podman;
mod services;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Arguments;

use harness::host::Host;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let host = match Host::enter() {
        Ok(host) => Arc::new(host),
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    eprintln!("the runtime under test: {}", host.runtime.display());
    let trials = [
        bundles::trials(&host),
        companion::trials(&host),
        containerd::trials(&host),
        cri::trials(&host),
        docker::trials(&host),
        podman::trials(&host),
        images::trials(&host),
        services::trials(&host),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
