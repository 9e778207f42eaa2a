//! What the commands that call registries have in common.

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgAction, Args};

use super::Context;
use super::output::print;
use crate::image::reference::{LATEST, Reference};
use crate::image::registry::client::{Client, Settings};
use crate::image::registry::credentials::given;

/// How registries are called, beside all configuration.
#[derive(Debug, Default, Args)]
pub(super) struct Connection {
    /// The file of credentials, in place of docker's config.json and containers' auth.json
    #[arg(long, value_name = "PATH")]
    authfile: Option<PathBuf>,

    /// The directory of certificates, in place of /etc/docker/certs.d and /etc/containers/certs.d
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,

    /// Who to be, in place of what `ctn login` was told
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<String>,

    /// Whether to check who answers; false also takes plain HTTP
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    tls_verify: Option<bool>,
}

impl Connection {
    /// docker's older word for not checking who answers.
    pub(super) fn insecure_if(mut self, is_insecure: bool) -> Connection {
        if is_insecure {
            self.tls_verify = Some(false);
        }
        self
    }

    /// The client of this user.
    pub(super) fn client(self, context: &Context) -> Result<Client> {
        Client::new(Settings {
            login: self.creds.as_deref().map(given).transpose()?,
            credentials: self.authfile,
            certificates: self.cert_dir,
            verify: self.tls_verify,
            user: context.user(),
        })
    }
}

/// The name with a tag; says so where that is not what was written.
pub(super) fn tagged(name: &Reference, quiet: bool) -> Result<Reference> {
    if name.tag().is_none() && name.digest().is_none() && !quiet {
        print(&format!("Using default tag: {LATEST}\n"))?;
    }
    Ok(name.clone().or_latest())
}
