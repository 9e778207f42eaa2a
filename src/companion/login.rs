//! `login`: credentials for a registry, tried and kept.

use std::io::{BufRead, Read};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};

use super::output::{complain, print};
use super::registry::Connection;
use super::{Context, Operation};
use crate::error::Attempt;
use crate::image::registry::client::Client;
use crate::image::registry::credentials::{HUB, Login as Credentials, registry_of};

/// Bytes that a password may have.
const LARGEST_PASSWORD: u64 = 64 << 10;

/// Log in to a registry
///
/// What the registry accepts is kept in docker's config.json, or by the program that this names.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// The password; others can read it in the list of processes
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,

    /// Read the password from the standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,

    /// The user's name
    #[arg(short, long)]
    username: Option<String>,

    #[command(flatten)]
    connection: Connection,

    /// The registry; Docker Hub, if nothing is said
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Operation for Login {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let host = self.server.as_deref().map_or_else(|| HUB.to_owned(), registry_of);
        let what = || format!("log in to {host}");
        if self.password.is_some() {
            complain("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
        }
        let asked = self.credentials()?;
        let client = self.connection.client(context)?;
        let known = if asked.is_none() { client.keyring.find(&host)? } else { None };
        if let Some(known) = known {
            print("Authenticating with existing credentials...\n")?;
            match client.try_login(&host, &known) {
                Ok(()) => return succeeded(),
                Err(error) => complain(&format!("Login did not succeed, error: {error:#}\n")),
            }
        }
        let login = asked.map_or_else(|| prompted(None), Ok)?;
        client.try_login(&host, &login).with_context(what)?;
        if client.keyring.keep(&host, &login).with_context(what)? {
            complain(&format!(
                "\nWARNING! Your credentials are stored unencrypted in {:?}.\nConfigure a credential helper to remove \
                 this warning.\n\n",
                client.keyring.own
            ));
        }
        succeeded()
    }
}

fn succeeded() -> Result<u8> {
    print("Login Succeeded\n")?;
    Ok(0)
}

impl Login {
    /// What the command line has of them; none if a person is to be asked for all.
    fn credentials(&self) -> Result<Option<Credentials>> {
        let Some(name) = &self.username else {
            ensure!(self.password.is_none(), "--password needs --username");
            return Ok(None);
        };
        let password = if self.password_stdin {
            let mut password = String::new();
            let stdin = std::io::stdin().lock();
            stdin.take(LARGEST_PASSWORD).read_to_string(&mut password).attempt(|| "read the password")?;
            // The line's end that a shell puts there is no part of it.
            password
                .strip_suffix('\n')
                .map_or(password.as_str(), |line| line.strip_suffix('\r').unwrap_or(line))
                .to_owned()
        } else {
            match &self.password {
                Some(password) => password.clone(),
                None => return prompted(Some(name)).map(Some),
            }
        };
        ensure!(!password.is_empty(), "Password Required");
        Ok(Some(Credentials::User { name: name.clone(), password }))
    }
}

/// Asks a person.
fn prompted(name: Option<&str>) -> Result<Credentials> {
    ensure!(isatty(std::io::stdin()), "Cannot perform an interactive login from a non TTY device");
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            print("Username: ")?;
            line("read the name")?
        }
    };
    ensure!(!name.is_empty(), "Username Required");
    print("Password: ")?;
    let password = unseen()?;
    ensure!(!password.is_empty(), "Password Required");
    Ok(Credentials::User { name, password })
}

fn line(what: &str) -> Result<String> {
    let mut line = String::new();
    let count = std::io::stdin().lock().take(LARGEST_PASSWORD).read_line(&mut line).attempt(|| what)?;
    if count == 0 {
        bail!("{what}: the input has ended");
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// A line that the terminal doesn't show.
fn unseen() -> Result<String> {
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).attempt(|| "read the terminal's mode")?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).attempt(|| "hide what is typed")?;
    let password = line("read the password");
    tcsetattr(&stdin, OptionalActions::Now, &before).attempt(|| "show again what is typed")?;
    password
}

impl Client {
    /// Whether a registry takes these credentials.
    fn try_login(&self, host: &str, login: &Credentials) -> Result<()> {
        self.registry(host, Some(login.clone())).check(&self.transport)
    }
}
