//! `features`: what the runtime knows.

use anyhow::Result;
use clap::Parser;

use super::{Context, Operation, output};
use crate::plan::mount_options;
use crate::seccomp::{ACTIONS, ARCHITECTURES, FLAGS, OPERATORS};
use crate::security::capabilities;
use crate::spec::features::{self, Known};

/// Print what this runtime knows, as JSON
///
/// The document is the one of the OCI runtime specification (features.md).
#[derive(Debug, Parser)]
pub(super) struct Features {}

impl Operation for Features {
    fn carry_out(self, _: &Context) -> Result<u8> {
        let kernel = rustix::system::uname();
        let supported_seccomp_flags = supported(FLAGS, &kernel.release().to_string_lossy());
        let known = Known {
            mount_options: mount_options::known(),
            capabilities: capabilities::NAMES.to_vec(),
            seccomp_actions: ACTIONS.to_vec(),
            seccomp_operators: OPERATORS.to_vec(),
            seccomp_architectures: ARCHITECTURES.to_vec(),
            seccomp_flags: FLAGS.to_vec(),
            supported_seccomp_flags,
        };
        output::print(&features::document(&known))?;
        Ok(0)
    }
}

/// The flags that a kernel has. All are older than any kernel that corten runs on (5.14), but for one of Linux 5.19.
fn supported(flags: &[&'static str], release: &str) -> Vec<&'static str> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map_while(|text| text.parse::<u32>().ok());
    let version = (numbers.next(), numbers.next());
    let has = |flag: &str| flag != "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" || version >= (Some(5), Some(19));
    flags.iter().copied().filter(|flag| has(flag)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_of_a_later_kernel_is_not_supported() {
        for release in ["5.19.0", "5.19", "6.1.0-13-amd64", "6.0-rc1", "10.0"] {
            assert_eq!(supported(FLAGS, release), FLAGS, "{release}");
        }
        for release in ["5.14.0-427.el9.x86_64", "5.18.19", "4.19", ""] {
            assert_eq!(supported(FLAGS, release).len(), FLAGS.len() - 1, "{release}");
        }
    }
}
