//! Programs that keep credentials: `docker-credential-NAME`, with docker's protocol (docker-credential-helpers).

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::json;

use super::credentials::Login;
use crate::error::Attempt;

/// The user that says that the secret is an identity token.
const TOKEN: &str = "<token>";
/// How a program says that it has nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A program that keeps credentials.
#[derive(Debug)]
pub(super) struct Helper {
    program: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl Helper {
    /// By the name that configuration has for it.
    pub(super) fn new(name: &str) -> Result<Helper> {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        ensure!(!name.is_empty() && name.bytes().all(inside), "{name:?} is no name of a credential helper");
        Ok(Helper { program: format!("docker-credential-{name}") })
    }

    /// What it has for a registry.
    pub(super) fn get(&self, server: &str) -> Result<Option<Login>> {
        let output = match self.call("get", server) {
            // It says so on its standard output.
            Err(error) if format!("{error:#}").contains(NOT_FOUND) => return Ok(None),
            output => output?,
        };
        // Without the text, which is secret.
        let answer = serde_json::from_slice::<Answer>(&output);
        let Ok(Answer { username, secret }) = answer else { bail!("{} answers with no credentials", self.program) };
        Ok(match (username.as_str(), secret.is_empty()) {
            (_, true) | ("", _) => None,
            (TOKEN, _) => Some(Login::Identity(secret)),
            _ => Some(Login::User { name: username, password: secret }),
        })
    }

    /// Gives it something to keep.
    pub(super) fn store(&self, server: &str, login: &Login) -> Result<()> {
        let (name, secret) = match login {
            Login::User { name, password } => (name.as_str(), password),
            Login::Identity(token) | Login::Registry(token) => (TOKEN, token),
        };
        let input = json!({"ServerURL": server, "Username": name, "Secret": secret});
        self.call("store", &input.to_string()).map(drop)
    }

    /// Lets it forget something, if it has it.
    pub(super) fn erase(&self, server: &str) -> Result<()> {
        match self.call("erase", server) {
            Err(error) if format!("{error:#}").contains(NOT_FOUND) => Ok(()),
            done => done.map(drop),
        }
    }

    fn call(&self, action: &str, input: &str) -> Result<Vec<u8>> {
        let what = || format!("{} {action}", self.program);
        let mut child = Command::new(&self.program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .attempt(what)?;
        let mut stdin = child.stdin.take().context("the helper's input is a pipe")?;
        // One that doesn't read it will say what it wants.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().attempt(what)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let said: String = said.trim().chars().filter(|letter| !letter.is_control()).take(300).collect();
        Err(anyhow!(if said.is_empty() { output.status.to_string() } else { said }).context(what()))
    }
}
