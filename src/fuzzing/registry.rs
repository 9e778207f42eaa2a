//! What holds for everything that a registry can say in the head of an answer, and in its complaints.

use std::time::SystemTime;

use crate::error::sentence;
use crate::image::registry::challenge::{self, Challenge};
use crate::image::registry::failure::Failure;
use crate::image::registry::url::{Scheme, Url};
use crate::image::registry::{link, retry};

/// The fields of a head and a body, a line each, whatever they are taken for.
pub fn answer(bytes: &[u8]) {
    complaint(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for line in text.lines() {
        let _ = retry::after(line, SystemTime::UNIX_EPOCH);
        leads(line);
        if let Some(target) = link::next([line].into_iter()) {
            leads(target);
        }
        for challenge in challenge::parse([line].into_iter()) {
            let Challenge::Bearer(bearer) = challenge else { continue };
            if let Ok(url) = Url::parse(&bearer.realm) {
                is_one(&url);
            }
        }
    }
}

/// Where an upload goes on, or a blob is.
fn leads(location: &str) {
    let own = Url::new(Scheme::Http, "registry.example:5000", "/v2/a/blobs/uploads/").expect("an address");
    match own.join(location) {
        Ok(url) => is_one(&url),
        Err(error) => assert!(!sentence(&error).is_empty()),
    }
}

/// Who talks HTTP goes to the same host that we think of, or what was for one server is shown to another.
fn is_one(url: &Url) {
    let text = url.to_string();
    assert_eq!(&Url::parse(&text).expect("it is absolute"), url);
    let Ok(uri) = text.parse::<ureq::http::Uri>() else { return };
    assert_eq!(uri.host().map(str::to_ascii_lowercase), Some(url.host.to_ascii_lowercase()), "{text}");
    assert_eq!(uri.port_u16(), url.port, "{text}");
    assert!(!uri.authority().is_some_and(|authority| authority.as_str().contains('@')), "{text}");
}

/// What a registry complains of is shown on a terminal.
fn complaint(bytes: &[u8]) {
    let text = Failure::read(400, bytes).to_string();
    assert!(!text.is_empty() && !text.contains(|letter: char| letter.is_control()), "{text:?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_head_is_read(text in "[ -~]{0,60}|(https?:)?/{0,3}[a-z@:\\[\\].\\\\0-9]{0,12}[/?#]{0,2}[ -~]{0,8}") {
            answer(text.as_bytes());
        }

        #[test]
        fn any_complaint_is_shown(code in "\\PC{0,9}|[A-Z_]{1,9}", message in any::<String>()) {
            let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
            answer(body.to_string().as_bytes());
        }
    }
}
