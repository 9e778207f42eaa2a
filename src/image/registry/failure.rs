//! What a registry says when it refuses: distribution-spec, "Error Codes".

use std::time::Duration;

use anyhow::anyhow;
use serde::Deserialize;

/// An answer that is no success; it can be found in the chain of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The status of the answer.
    pub status: u16,
    /// What the registry says, if it says something.
    pub errors: Vec<Code>,
    /// When it wants to be asked again.
    pub after: Option<Duration>,
}

/// One of the errors that a registry gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Code {
    /// `MANIFEST_UNKNOWN` and others.
    #[serde(default)]
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

#[derive(Deserialize)]
struct Body {
    errors: Vec<Code>,
}

/// Token servers answer so (RFC 6749, 5.2), and some with `details` alone.
#[derive(Deserialize)]
struct OAuth {
    #[serde(default)]
    error: String,
    #[serde(default, alias = "details")]
    error_description: String,
}

impl Failure {
    /// Reads the beginning of the body that came with a status.
    pub fn read(status: u16, body: &[u8]) -> Failure {
        let errors = match serde_json::from_slice::<Body>(body) {
            Ok(body) => body.errors,
            Err(_) => match serde_json::from_slice::<OAuth>(body) {
                Ok(oauth) => vec![Code { code: oauth.error, message: oauth.error_description }],
                Err(_) => Vec::new(),
            },
        };
        Failure { status, errors, after: None }
    }

    /// Whether the registry gives this code.
    pub fn has(&self, code: &str) -> bool {
        self.errors.iter().any(|error| error.code == code)
    }

    /// The failure at the root of an error, if a registry's answer was the cause.
    pub fn of(error: &anyhow::Error) -> Option<&Failure> {
        error.chain().find_map(|cause| cause.downcast_ref())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = self.errors.iter().map(said).filter(|said| !said.is_empty()).collect::<Vec<_>>().join("; ");
        match (said.as_str(), self.status) {
            ("", status) => write!(f, "the answer is {status}{}", meaning(status))?,
            (said, status) => write!(f, "{said} ({status})")?,
        }
        match self.after {
            Some(after) => write!(f, ", and to ask again in {}", humantime::format_duration(after)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// `manifest unknown: …`, as docker words it; without what could change a terminal.
fn said(error: &Code) -> String {
    let code = error.code.to_lowercase().replace('_', " ");
    let text = match (code.as_str(), error.message.as_str()) {
        (code, "") => code.to_owned(),
        ("" | "unknown", message) => message.to_owned(),
        (code, message) if message.to_lowercase().contains(code) => message.to_owned(),
        (code, message) => format!("{code}: {message}"),
    };
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(500).collect()
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => " Bad Request",
        401 => " Unauthorized",
        403 => " Forbidden",
        404 => " Not Found",
        405 => " Method Not Allowed",
        416 => " Range Not Satisfiable",
        429 => " Too Many Requests",
        500 => " Internal Server Error",
        502 => " Bad Gateway",
        503 => " Service Unavailable",
        504 => " Gateway Timeout",
        _ => "",
    }
}

/// A failure with what a person can do about it.
pub fn advised(failure: Failure, host: &str, has_login: bool) -> anyhow::Error {
    let advice = match (failure.status, has_login) {
        (401, false) => format!("{host} wants to know who asks: `ctn login {host}`"),
        (401, true) => format!("{host} refuses the credentials that there are for it; `ctn login {host}` takes others"),
        (403, false) => format!("{host} doesn't let in everybody: `ctn login {host}`"),
        (403, true) => format!("{host} knows who asks, and doesn't let him"),
        (429, false) => format!("too many requests to {host}: wait, or `ctn login {host}`"),
        (429, true) => format!("too many requests to {host}: wait"),
        _ => return anyhow!(failure),
    };
    anyhow!(failure).context(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_passed_on() {
        let text = |status, body: &str| Failure::read(status, body.as_bytes()).to_string();
        let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"1"}}]}"#;
        assert_eq!(text(404, unknown), "manifest unknown (404)");
        assert!(Failure::read(404, unknown.as_bytes()).has("MANIFEST_UNKNOWN"));
        let denied = r#"{"errors":[{"code":"DENIED","message":"no access\u001b[2J"},{"code":"TOOMANYREQUESTS"}]}"#;
        assert_eq!(text(403, denied), "denied: no access [2J; toomanyrequests (403)");
        assert_eq!(text(502, "<html>"), "the answer is 502 Bad Gateway");
        assert_eq!(
            text(401, r#"{"details":"incorrect username or password"}"#),
            "incorrect username or password (401)"
        );
        assert_eq!(text(400, r#"{"error":"invalid_grant"}"#), "invalid grant: (400)".replace(": (", " ("));
    }

    #[test]
    fn how_long_it_wants_is_said() {
        let failure = Failure { after: Some(Duration::from_secs(3600)), ..Failure::read(429, b"") };
        assert_eq!(failure.to_string(), "the answer is 429 Too Many Requests, and to ask again in 1h");
    }

    #[test]
    fn a_failure_is_found_below_what_was_attempted() {
        let error = advised(Failure::read(401, b""), "example.com", false).context("pull x");
        assert_eq!(Failure::of(&error).map(|failure| failure.status), Some(401));
        assert!(format!("{error:#}").contains("`ctn login example.com`"), "{error:#}");
    }
}
