//! Debian's docker-registry in the forms in which registries are found: open, behind TLS, with passwords, with tokens.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::ctn::{Place, run};
use super::server::{Answer, Request, Server};
use crate::harness::command::end;

/// Whom it lets in, where it asks.
pub(super) const USER: &str = "user";
pub(super) const PASSWORD: &str = "secret";
/// `user:secret` as htpasswd(1) writes it, by bcrypt.
const HTPASSWD: &str = "user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
/// `user:secret` as HTTP has it.
const BASIC: &str = "Basic dXNlcjpzZWNyZXQ=";

/// A registry that runs until it is dropped.
pub(super) struct Registry {
    child: Child,
    log: Option<JoinHandle<()>>,
    pub(super) address: SocketAddr,
    // Dropped after the registry that calls it.
    _tokens: Option<Server>,
}

impl Registry {
    /// One that lets everybody do everything.
    pub(super) fn open(place: &Place) -> Result<Registry> {
        Registry::start(place, "open", &json!({}), &json!({}), None)
    }

    /// One behind TLS, whose certificate `ca/ca.crt` in the place has signed.
    pub(super) fn with_certificate(place: &Place) -> Result<Registry> {
        certificate(place);
        let at = |name: &str| place.join(name);
        let tls = json!({"certificate": at("keys/server.pem"), "key": at("keys/server.key")});
        Registry::start(place, "tls", &json!({"tls": tls}), &json!({}), None)
    }

    /// One that asks for a password.
    pub(super) fn with_passwords(place: &Place) -> Result<Registry> {
        let path = place.write("htpasswd", HTPASSWD);
        let auth = json!({"htpasswd": {"realm": "tests", "path": path}});
        Registry::start(place, "htpasswd", &json!({}), &auth, None)
    }

    /// One that asks for a token of our own server, which asks for a password itself.
    pub(super) fn with_tokens(place: &Place) -> Result<Registry> {
        certificate(place);
        let directory = place.join("keys");
        let tokens = Server::start(move |request: &Request| Some(answer(request, &directory)));
        let realm = format!("http://{}/token", tokens.address);
        let roots = place.join("keys/server.pem");
        let auth =
            json!({"token": {"realm": realm, "service": "registry", "issuer": "tests", "rootcertbundle": roots}});
        Registry::start(place, "token", &json!({}), &auth, Some(tokens))
    }

    fn start(place: &Place, name: &str, http: &Value, auth: &Value, tokens: Option<Server>) -> Result<Registry> {
        let mut config = json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": place.join(&format!("registry-{name}"))}, "delete": {"enabled": true}},
            "http": {"addr": "127.0.0.1:0"},
        });
        for (key, value) in http.as_object().into_iter().flatten() {
            config["http"][key] = value.clone();
        }
        if auth.as_object().is_some_and(|auth| !auth.is_empty()) {
            config["auth"] = auth.clone();
        }
        // JSON is YAML.
        let path = place.write(&format!("registry-{name}.yml"), config.to_string());
        let mut command = Command::new("docker-registry");
        command.args(["serve", &path]).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("start docker-registry")?;
        let output = child.stderr.take().context("its standard error is a pipe")?;
        let (says, said) = channel();
        let log = std::thread::spawn(move || {
            let mut lines = Vec::new();
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    let end = rest.find([',', '"']).unwrap_or(rest.len());
                    let _ = says.send(Ok(rest[..end].to_owned()));
                }
                lines.push(line);
            }
            let _ = says.send(Err(lines.join("\n")));
        });
        let mut registry = Registry { child, log: Some(log), address: ([127, 0, 0, 1], 0).into(), _tokens: tokens };
        match said.recv_timeout(Duration::from_secs(60)) {
            Ok(Ok(address)) => {
                registry.address = address.parse().with_context(|| format!("{address} is no address"))?
            }
            Ok(Err(log)) => bail!("docker-registry did not start:\n{log}"),
            Err(_) => bail!("docker-registry doesn't say that it listens"),
        }
        Ok(registry)
    }

    pub(super) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        end(&mut self.child);
        if let Some(log) = self.log.take() {
            let _ = log.join();
        }
    }
}

/// A root of trust, and what it has signed for a server on the loopback.
fn certificate(place: &Place) {
    let directory = place.join("keys");
    let names = place.write("keys/names", "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n");
    let at = |name: &str| directory.join(name).display().to_string();
    // Alone in its directory, where a key would be taken for a client's.
    let root_of_trust = place.write("ca/ca.crt", "");
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let root = ["req", "-x509", "-days", "2", "-subj", "/CN=tests", "-keyout", &at("root.key"), "-out", &root_of_trust];
    run("openssl", root.iter().copied().chain(key));
    let asked = ["req", "-subj", "/CN=127.0.0.1", "-keyout", &at("server.key"), "-out", &at("server.csr")];
    // RSA, for docker's tokens.
    run("openssl", asked.iter().copied().chain(["-newkey", "rsa:2048", "-nodes"]));
    run(
        "openssl",
        [
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            &at("server.csr"),
            "-CA",
            &root_of_trust,
            "-CAkey",
            &at("root.key"),
            "-CAcreateserial",
            "-extfile",
            &names,
            "-out",
            &at("server.pem"),
        ],
    );
}

/// A token server (distribution, "Token Authentication Specification").
fn answer(request: &Request, directory: &Path) -> Answer {
    let form: Vec<(String, String)> = match request.method.as_str() {
        "POST" => super::server::pairs(&String::from_utf8_lossy(&request.body)),
        _ => request.query.clone(),
    };
    let said = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let by_form = said("username") == Some(USER) && said("password") == Some(PASSWORD);
    if !by_form && request.header("authorization") != Some(BASIC) {
        return Answer::error(401, "UNAUTHORIZED", "incorrect username or password");
    }
    let scopes = form.iter().filter(|(name, _)| name == "scope").flat_map(|(_, scopes)| scopes.split(' '));
    let access = scopes.filter_map(|scope| {
        let (kind, rest) = scope.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        Some(json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}))
    });
    let token = signed(&access.collect::<Vec<_>>(), directory);
    Answer::new(200, json!({"token": token, "access_token": token, "expires_in": 300}).to_string())
        .with("Content-Type", "application/json")
}

/// A JSON web token, signed by the server's key (RFC 7519, RS256).
fn signed(access: &[Value], directory: &Path) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let certificate = std::fs::read_to_string(directory.join("server.pem")).unwrap_or_default();
    let certificate: String = certificate.lines().filter(|line| !line.starts_with("---")).collect();
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [certificate]});
    let claims = json!({"iss": "tests", "sub": USER, "aud": "registry", "nbf": now - 10, "iat": now,
        "exp": now + 300, "jti": "1", "access": access});
    let encoded = |bytes: &[u8]| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, bytes);
    let text = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
    let path = directory.join(format!("token-{:?}", std::thread::current().id()));
    let signed = std::fs::write(&path, &text).and_then(|()| {
        Command::new("openssl").args(["dgst", "-sha256", "-sign"]).arg(directory.join("server.key")).arg(&path).output()
    });
    let signature = signed.map(|output| output.stdout).unwrap_or_default();
    format!("{text}.{}", encoded(&signature))
}
