//! Telling a registry who is asking: Basic, and tokens with all that can happen to them.
//!
//! No request asks first whether it has to: it is sent with what is known, and what a 401 says decides how it is sent again. Tokens are
//! kept for their scopes until they expire; one that the registry refuses earlier is replaced once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::{Method, header};

use super::challenge::{Bearer, Challenge};
use super::credentials::Login;
use super::failure::advised;
use super::scope::Scopes;
use super::transport::{Payload, Request, Response, Transport, until_whole};
use super::url::{Scheme, Url, form};

/// What token servers know this program by.
const CLIENT: &str = "ctn";
/// How long a token is good that doesn't say so (token specification, "expires_in").
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// Bytes that an answer of a token server may have.
const LARGEST_TOKEN: u64 = 1 << 20;

/// What is known of how to be let in by one registry.
#[derive(Debug)]
pub struct Authenticator {
    login: Option<Login>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    basic: bool,
    bearer: Option<Bearer>,
    tokens: Vec<Token>,
    /// What a token server gave in place of the one that was configured.
    refresh: Option<String>,
}

#[derive(Debug)]
struct Token {
    scopes: Scopes,
    value: String,
    expires: Instant,
}

/// What a token server answers.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    refresh_token: Option<String>,
}

impl Authenticator {
    /// With what is known of a user; without, the registry is asked as nobody.
    pub fn new(login: Option<Login>) -> Authenticator {
        Authenticator { login, state: Mutex::default() }
    }

    /// Whether it is somebody.
    pub fn has_login(&self) -> bool {
        self.login.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a request is sent with, by all that is known so far. An expired token is replaced.
    pub fn authorization(
        &self,
        transport: &Transport,
        own: &Url,
        scopes: &Scopes,
        trusting: bool,
    ) -> Result<Option<String>> {
        if let Some(Login::Registry(token)) = &self.login {
            return Ok(Some(format!("Bearer {token}")));
        }
        let mut state = self.state();
        if state.basic {
            return Ok(self.basic());
        }
        match state.bearer.clone() {
            Some(bearer) => self.token(&mut state, transport, (own, trusting), &bearer, scopes).map(Some),
            None => Ok(None),
        }
    }

    /// What a request is to be sent again with, after it was refused with `used`; none if there is nothing else to try.
    pub fn answer(
        &self,
        transport: &Transport,
        own: &Url,
        challenges: &[Challenge],
        scopes: &Scopes,
        used: Option<&str>,
        trusting: bool,
    ) -> Result<Option<String>> {
        // One fetches a token, and who came meanwhile finds it.
        let mut state = self.state();
        let offered = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer(bearer) => Some(bearer),
            Challenge::Basic => None,
        });
        if let Some(bearer) = offered {
            let scopes = scopes.clone().and(bearer.scope.as_deref().unwrap_or_default());
            state.tokens.retain(|token| used != Some(format!("Bearer {}", token.value).as_str()));
            let header = self.token(&mut state, transport, (own, trusting), bearer, &scopes)?;
            state.bearer = Some(bearer.clone());
            return Ok(Some(header).filter(|header| Some(header.as_str()) != used));
        }
        if challenges.contains(&Challenge::Basic) {
            state.basic = true;
            return Ok(self.basic().filter(|header| Some(header.as_str()) != used));
        }
        Ok(None)
    }

    fn basic(&self) -> Option<String> {
        match &self.login {
            Some(Login::User { name, password }) => Some(basic(name, password)),
            _ => None,
        }
    }

    /// A token for these scopes, from before or from the token server.
    fn token(
        &self,
        state: &mut State,
        transport: &Transport,
        (own, trusting): (&Url, bool),
        bearer: &Bearer,
        scopes: &Scopes,
    ) -> Result<String> {
        state.tokens.retain(|token| token.expires > Instant::now());
        if let Some(known) = state.tokens.iter().find(|token| token.scopes.cover(scopes)) {
            return Ok(format!("Bearer {}", known.value));
        }
        let asked = Instant::now();
        let refresh = state.refresh.as_deref();
        let answer = until_whole(&transport.patience, || self.ask(refresh, transport, (own, trusting), bearer, scopes));
        let answer = answer.with_context(|| format!("a token for {scopes} of {}", own.authority()))?;
        if let Some(refresh) = answer.refresh_token.filter(|token| !token.is_empty()) {
            state.refresh = Some(refresh);
        }
        let value = if answer.token.is_empty() { answer.access_token } else { answer.token };
        ensure!(!value.is_empty(), "the token server of {} gives no token", own.authority());
        ensure!(value.bytes().all(|byte| byte.is_ascii_graphic()), "the token of {} is none", own.authority());
        let life = answer.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs);
        // From before it was asked for: it may have been made then. Far away is far enough.
        let expires = asked + life.min(Duration::from_secs(86400));
        let header = format!("Bearer {value}");
        state.tokens.push(Token { scopes: scopes.clone(), value, expires });
        Ok(header)
    }

    fn ask(
        &self,
        refresh: Option<&str>,
        transport: &Transport,
        (own, trusting): (&Url, bool),
        bearer: &Bearer,
        scopes: &Scopes,
    ) -> Result<Answer> {
        let realm = Url::parse(&bearer.realm).context("the token server's address")?;
        let in_the_clear = realm.scheme == Scheme::Http && !realm.is_loopback();
        ensure!(
            !in_the_clear || own.scheme == Scheme::Http,
            "{} has its tokens in the clear at {}",
            own.authority(),
            realm.shown()
        );
        let service = bearer.service.as_deref().unwrap_or_default();
        let asking = Asking { transport, realm: &realm, service, scopes, trusting: trusting && realm.host == own.host };
        let response = match (&self.login, refresh) {
            (Some(Login::Identity(_)), Some(refresh)) => asking.refresh(refresh)?,
            (Some(Login::Identity(token)), None) => asking.refresh(token)?,
            (Some(Login::User { name, password }), _) => {
                let response = asking.get(Some(&basic(name, password)))?;
                // Servers of OAuth2 alone know no GET.
                if matches!(response.status, 404 | 405) {
                    let fields =
                        [("grant_type", "password"), ("username", name.as_str()), ("password", password.as_str())];
                    asking.post(&fields)?
                } else {
                    response
                }
            }
            _ => asking.get(None)?,
        };
        if response.status != 200 {
            let host = realm.authority();
            let failure = response.failure();
            return Err(advised(failure, &own.authority(), self.has_login()).context(host));
        }
        let bytes = response.bytes(LARGEST_TOKEN)?;
        match serde_json::from_slice(&bytes) {
            Ok(answer) => Ok(answer),
            // Without the text, which may be half a token.
            Err(_) => bail!("{} answers with what is no token", realm.shown()),
        }
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// One request to a token server.
struct Asking<'a> {
    transport: &'a Transport,
    realm: &'a Url,
    service: &'a str,
    scopes: &'a Scopes,
    trusting: bool,
}

impl Asking<'_> {
    /// The token specification's way.
    fn get(&self, authorization: Option<&str>) -> Result<Response> {
        let mut url = self.realm.clone();
        if !self.service.is_empty() {
            url = url.with("service", self.service);
        }
        for scope in self.scopes.each() {
            url = url.with("scope", &scope);
        }
        self.transport.call(&Request::new(Method::GET, url), authorization, self.trusting)
    }

    fn refresh(&self, token: &str) -> Result<Response> {
        self.post(&[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    /// OAuth2's way.
    fn post(&self, fields: &[(&str, &str)]) -> Result<Response> {
        let scopes = self.scopes.to_string();
        let common = [("service", self.service), ("scope", &scopes), ("client_id", CLIENT)];
        let body = form(&[fields, &common].concat());
        let headers = vec![(header::CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned())];
        let payload = Payload::Secret(body.as_bytes());
        let request = Request { method: Method::POST, url: self.realm.clone(), headers, payload };
        self.transport.call(&request, None, self.trusting)
    }
}
