//! `logout`: credentials away.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use super::output::print;
use super::{Context, Operation};
use crate::image::registry::credentials::{HUB, Keyring, registry_of};

/// Log out from a registry
#[derive(Debug, Args)]
pub(super) struct Logout {
    /// The file of credentials, in place of docker's config.json
    #[arg(long, value_name = "PATH")]
    authfile: Option<PathBuf>,

    /// The registry; Docker Hub, if nothing is said
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Operation for Logout {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let host = self.server.as_deref().map_or_else(|| HUB.to_owned(), registry_of);
        let keyring = Keyring::of_user(self.authfile, context.user())?;
        if keyring.forget(&host).with_context(|| format!("log out from {host}"))? {
            print(&format!("Removing login credentials for {host}\n"))?;
        } else {
            print(&format!("Not logged in to {host}\n"))?;
        }
        Ok(0)
    }
}
