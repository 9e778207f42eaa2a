//! Who a user is at which registry: docker's config.json and containers' auth.json, and the programs that they name.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::helper::Helper;
use crate::error::Attempt;

/// The key that Docker Hub has had since its first version.
pub const HUB_KEY: &str = "https://index.docker.io/v1/";
/// What Docker Hub is called in names.
pub const HUB: &str = "docker.io";

/// How to be known.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// By name and password.
    User {
        /// The user.
        name: String,
        /// The password, or what a registry takes for it.
        password: String,
    },
    /// By a token that token servers give others for.
    Identity(String),
    /// By a token that the registry itself takes.
    Registry(String),
}

/// Without what is secret.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Login::User { .. } => "User",
            Login::Identity(_) => "Identity",
            Login::Registry(_) => "Registry",
        })
    }
}

/// A file of credentials.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Credentials {
    #[serde(deserialize_with = "crate::spec::nullable")]
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credsStore", deserialize_with = "crate::spec::nullable")]
    store: String,
    #[serde(rename = "credHelpers", deserialize_with = "crate::spec::nullable")]
    helpers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    #[serde(deserialize_with = "crate::spec::nullable")]
    auth: String,
    #[serde(deserialize_with = "crate::spec::nullable")]
    username: String,
    #[serde(deserialize_with = "crate::spec::nullable")]
    password: String,
    #[serde(rename = "identitytoken", deserialize_with = "crate::spec::nullable")]
    identity: String,
    #[serde(rename = "registrytoken", deserialize_with = "crate::spec::nullable")]
    registry: String,
}

impl Entry {
    fn login(&self) -> Result<Option<Login>> {
        if !self.registry.is_empty() {
            return Ok(Some(Login::Registry(self.registry.clone())));
        }
        if !self.identity.is_empty() {
            return Ok(Some(Login::Identity(self.identity.clone())));
        }
        let (name, password) = if self.auth.is_empty() {
            (self.username.clone(), self.password.clone())
        } else {
            let bytes = STANDARD.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let text = bytes.context("\"auth\" is no user and password in base64")?;
            // docker's first versions filled it up.
            let text = text.trim_end_matches('\0');
            let (name, password) = text.split_once(':').context("\"auth\" has no colon in it")?;
            (name.to_owned(), password.to_owned())
        };
        Ok((!name.is_empty()).then_some(Login::User { name, password }))
    }
}

impl Credentials {
    /// Reads a file; none if there is none.
    pub fn read(path: &Path) -> Result<Option<Credentials>> {
        let text = match fs::read(path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            text => text.attempt(|| format!("read {path:?}"))?,
        };
        if text.trim_ascii().is_empty() {
            return Ok(Some(Credentials::default()));
        }
        if path.file_name().is_some_and(|name| name == ".dockercfg") {
            // The entries alone.
            let auths = serde_json::from_slice(&text).with_context(|| format!("{path:?} can't be read"))?;
            return Ok(Some(Credentials { auths, ..Credentials::default() }));
        }
        serde_json::from_slice(&text).map(Some).with_context(|| format!("{path:?} can't be read"))
    }

    /// Who the user is at a repository, `HOST[:PORT]/PATH`, or a registry without a path.
    pub fn find(&self, repository: &str) -> Result<Option<Login>> {
        for key in keys(repository) {
            // What a program is named for is its business alone.
            if let Some((_, name)) = self.helpers.iter().find(|(own, _)| normal(own) == key) {
                return Helper::new(name)?.get(&server_of(&key));
            }
        }
        let host = registry_of(repository);
        if !self.store.is_empty()
            && let Some(login) = Helper::new(&self.store)?.get(&server_of(&host))?
        {
            return Ok(Some(login));
        }
        for key in keys(repository) {
            for (_, entry) in self.auths.iter().filter(|(own, _)| normal(own) == key) {
                // docker leaves an empty entry where a program has the rest.
                if let Some(login) = entry.login().with_context(|| format!("the credentials for {key}"))? {
                    return Ok(Some(login));
                }
            }
        }
        Ok(None)
    }

    /// The program that keeps what belongs to a registry, if it is not in the file itself.
    fn keeper(&self, host: &str) -> Result<Option<Helper>> {
        let own = self.helpers.iter().find(|(key, _)| normal(key) == registry_of(host)).map(|(_, name)| name);
        own.or(Some(&self.store).filter(|name| !name.is_empty())).map(|name| Helper::new(name)).transpose()
    }
}

/// The keys that are good for a repository, the most exact first.
fn keys(repository: &str) -> Vec<String> {
    let full = normal(repository);
    let ends = full.match_indices('/').map(|(at, _)| at);
    let mut keys: Vec<String> = ends.map(|end| full[..end].to_owned()).collect();
    keys.push(full);
    keys.reverse();
    keys
}

/// The registry of a name, or what a person means by `https://HOST/v1/` and the like.
pub fn registry_of(text: &str) -> String {
    normal(text).split('/').next().unwrap_or_default().to_owned()
}

/// A key without what differs by its writer's age: a scheme, `/v1/`, the names that Docker Hub has.
fn normal(key: &str) -> String {
    let (had_scheme, rest) = match key.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, key),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => HUB,
        host => host,
    };
    let path = path.trim_end_matches('/');
    if had_scheme || path.is_empty() || matches!(path, "v1" | "v2") {
        return host.to_owned();
    }
    format!("{host}/{path}")
}

/// What a registry is called in files and by programs.
fn server_of(key: &str) -> String {
    if key == HUB { HUB_KEY.to_owned() } else { key.to_owned() }
}

/// The files that credentials are looked for in, and the one that `login` writes.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    /// In this order.
    pub files: Vec<PathBuf>,
    /// Where new ones go.
    pub own: PathBuf,
}

impl Keyring {
    /// What belongs to this user. `given` is the one file that counts. `user` is the user's number outside of all namespaces.
    pub fn of_user(given: Option<PathBuf>, user: u32) -> Result<Keyring> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(file) = given.or_else(|| set("REGISTRY_AUTH_FILE")) {
            return Ok(Keyring { files: vec![file.clone()], own: file });
        }
        let home = set("HOME");
        let docker = set("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
        let docker = docker.map(|directory| directory.join("config.json"));
        let run = set("XDG_RUNTIME_DIR").map_or_else(
            || PathBuf::from(format!("/run/containers/{user}/auth.json")),
            |run| run.join("containers/auth.json"),
        );
        let config = set("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        let config = config.map(|config| config.join("containers/auth.json"));
        let old = home.map(|home| home.join(".dockercfg"));
        let own = docker.clone().unwrap_or_else(|| run.clone());
        // docker's first: it is where `login` puts what it was told last.
        let files = docker.into_iter().chain([run]).chain(config).chain(old).collect();
        Ok(Keyring { files, own })
    }

    /// Who the user is at a repository or registry.
    pub fn find(&self, repository: &str) -> Result<Option<Login>> {
        for path in &self.files {
            let Some(credentials) = Credentials::read(path)? else { continue };
            if let Some(login) = credentials.find(repository).with_context(|| format!("{path:?}"))? {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }

    /// Keeps what was found to be right; says whether it is readable in the file.
    pub fn keep(&self, host: &str, login: &Login) -> Result<bool> {
        let server = server_of(&normal(host));
        let keeper = Credentials::read(&self.own)?.unwrap_or_default().keeper(host)?;
        let entry = match (&keeper, login) {
            (Some(keeper), login) => {
                keeper.store(&server, login)?;
                json!({})
            }
            (None, Login::User { name, password }) => json!({"auth": STANDARD.encode(format!("{name}:{password}"))}),
            (None, Login::Identity(token)) => json!({"identitytoken": token}),
            (None, Login::Registry(token)) => json!({"registrytoken": token}),
        };
        self.change(|file| {
            auths(file)?.insert(server, entry);
            Ok(true)
        })?;
        Ok(keeper.is_none())
    }

    /// Forgets what is known of a registry; says whether something was.
    pub fn forget(&self, host: &str) -> Result<bool> {
        let Some(credentials) = Credentials::read(&self.own)? else { return Ok(false) };
        let key = normal(host);
        let known = credentials.find(host).ok().flatten().is_some();
        if let Some(keeper) = credentials.keeper(host)? {
            keeper.erase(&server_of(&key))?;
        }
        let mut found = false;
        self.change(|file| {
            let auths = auths(file)?;
            let before = auths.len();
            auths.retain(|own, _| normal(own) != key);
            found = auths.len() < before;
            Ok(found)
        })?;
        Ok(known || found)
    }

    /// Changes the file, if the change says so, and leaves all else in it as it is.
    fn change(&self, change: impl FnOnce(&mut Map<String, Value>) -> Result<bool>) -> Result<()> {
        // What is a link stays one.
        let path = fs::canonicalize(&self.own).unwrap_or_else(|_| self.own.clone());
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => b"{}".to_vec(),
            text => text.attempt(|| format!("read {path:?}"))?,
        };
        let text = if text.trim_ascii().is_empty() { b"{}".to_vec() } else { text };
        let mut file = serde_json::from_slice(&text).with_context(|| format!("{path:?} can't be read"))?;
        if !change(&mut file)? {
            return Ok(());
        }
        let mut text = serde_json::to_string_pretty(&file)?;
        text.push('\n');
        write_secret(&path, text.as_bytes())
    }
}

/// Writes a file that its owner alone may read, as a whole or not at all.
fn write_secret(path: &Path, content: &[u8]) -> Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("{path:?} is no name of a file")
    };
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.attempt(|| format!("make the directory {directory:?}"))?;
    let temporary = directory.join(format!(".{}.{}", name.display(), std::process::id()));
    let written = fs::File::options().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        // The reason is what the caller wants to know.
        let _ = fs::remove_file(&temporary);
    }
    written.attempt(|| format!("write {path:?}"))
}

fn auths(file: &mut Map<String, Value>) -> Result<&mut Map<String, Value>> {
    let auths = file.entry("auths").or_insert_with(|| json!({}));
    if auths.is_null() {
        *auths = json!({});
    }
    auths.as_object_mut().context("\"auths\" is no object")
}

/// `USER:PASSWORD`, as `--creds` has it.
pub fn given(text: &str) -> Result<Login> {
    let (name, password) = text.split_once(':').context("credentials are USER:PASSWORD")?;
    ensure!(!name.is_empty(), "credentials are USER:PASSWORD");
    Ok(Login::User { name: name.into(), password: password.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, password: &str) -> Option<Login> {
        Some(Login::User { name: name.into(), password: password.into() })
    }

    fn file(value: &Value) -> Credentials {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn the_most_exact_key_counts_however_it_is_written() {
        let auth = |text: &str| json!({"auth": STANDARD.encode(text)});
        let file = file(&json!({"auths": {
            "https://index.docker.io/v1/": auth("hub:h:x"), "quay.io": auth("all:1"), "quay.io/team": auth("team:2"),
            "quay.io/team/app": auth("app:3\0\0"), "http://localhost:5000/v2/": auth("local:4"),
            "id.example": {"auth": auth("u:")["auth"], "identitytoken": "secret"}, "empty.example": {},
            "plain.example": {"username": "u", "password": "p"}, "null.example": {"auth": null, "registrytoken": "t"},
        }, "credHelpers": null, "HttpHeaders": {}}));
        for (repository, wanted) in [
            ("docker.io/library/debian", user("hub", "h:x")),
            ("docker.io", user("hub", "h:x")),
            ("quay.io/team/app", user("app", "3")),
            ("quay.io/team/application", user("team", "2")),
            ("quay.io/other", user("all", "1")),
            ("localhost:5000/x", user("local", "4")),
            ("localhost/x", None),
            ("id.example/x", Some(Login::Identity("secret".into()))),
            ("empty.example/x", None),
            ("plain.example", user("u", "p")),
            ("null.example", Some(Login::Registry("t".into()))),
        ] {
            assert_eq!(file.find(repository).unwrap(), wanted, "{repository}");
        }
    }

    #[test]
    fn what_is_no_credential_is_an_error_that_shows_none() {
        let wrong = file(&json!({"auths": {"a.example": {"auth": "c2VjcmV0"}, "b.example": {"auth": "%"}}}));
        for host in ["a.example", "b.example"] {
            let error = format!("{:#}", wrong.find(host).unwrap_err());
            assert!(error.contains(host) && !error.contains("secret"), "{error}");
        }
        assert_eq!(format!("{:?}", user("name", "hidden")), "Some(User)");
        assert_eq!(given("a:b:c").unwrap(), user("a", "b:c").unwrap());
        assert!(given("a").is_err() && given(":b").is_err());
    }

    #[test]
    fn a_file_is_changed_and_keeps_the_rest() {
        let directory = std::env::temp_dir().join(format!("corten-credentials-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("config.json");
        let keyring = Keyring { files: vec![path.clone()], own: path.clone() };
        assert!(!keyring.forget("a.example").unwrap());
        assert!(keyring.keep("docker.io", &user("u", "p").unwrap()).unwrap());
        let text: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(text, json!({"auths": {HUB_KEY: {"auth": "dTpw"}}}));
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, r#"{"auths":null,"psFormat":"x"}"#).unwrap();
        keyring.keep("a.example:5000", &Login::Identity("t".into())).unwrap();
        assert_eq!(keyring.find("a.example:5000/x").unwrap(), Some(Login::Identity("t".into())));
        assert!(keyring.forget("a.example:5000").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"auths\": {},\n  \"psFormat\": \"x\"\n}\n");
        fs::remove_dir_all(&directory).unwrap();
    }
}
