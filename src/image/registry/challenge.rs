//! `WWW-Authenticate`: how a registry wants to be told who is asking (RFC 9110, 11.6.1).

/// One way that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A user's name and password with each request.
    Basic,
    /// A token from a token server (distribution, "Token Authentication Specification").
    Bearer(Bearer),
}

/// Where tokens are, and for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bearer {
    /// The token server's address.
    pub realm: String,
    /// What the registry is called there.
    pub service: Option<String>,
    /// What the request that was refused needs.
    pub scope: Option<String>,
}

/// All challenges of an answer that are understood. There may be several in a field, and several fields.
pub fn parse<'h>(fields: impl Iterator<Item = &'h str>) -> Vec<Challenge> {
    fields.flat_map(field).collect()
}

fn field(text: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((scheme, after)) = token(rest.trim_start_matches([' ', '\t', ','])) {
        let (parameters, after) = parameters(after);
        let value = |name: &str| {
            parameters.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = value("realm")
        {
            found.push(Challenge::Bearer(Bearer { realm, service: value("service"), scope: value("scope") }));
        }
        rest = after;
    }
    found
}

/// `name=value, name="value"` up to the next scheme.
fn parameters(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    loop {
        let start = text.trim_start_matches([' ', '\t', ',']);
        let Some((name, after)) = token(start) else { return (found, skipped(start)) };
        let Some(after) = after.trim_start().strip_prefix('=') else { return (found, start) };
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = after.find([' ', '\t', ',']).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        found.push((name.to_owned(), value));
        text = after;
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let inside = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    let end = text.find(|letter| !inside(letter)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// What can't be read is passed over up to the next comma, so that each round goes on.
fn skipped(text: &str) -> &str {
    text.find(',').map_or("", |comma| &text[comma + 1..])
}

fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: &str| text.to_owned();
        Challenge::Bearer(Bearer { realm: realm.into(), service: service.map(owned), scope: scope.map(owned) })
    }

    #[test]
    fn what_registries_send() {
        for (text, wanted) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull,push"),
                )],
            ),
            (r#"Basic realm="Registry Realm""#, vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (r#"bearer Realm = "r" , error="invalid_token""#, vec![bearer("r", None, None)]),
            ("BEARER realm=https://x/t", vec![bearer("https://x/t", None, None)]),
            (r#"Basic realm="a, Bearer realm=b", Bearer realm="c""#, vec![Challenge::Basic, bearer("c", None, None)]),
            (r#"Negotiate, Bearer realm="q\"uo\\te""#, vec![bearer(r#"q"uo\te"#, None, None)]),
            ("NTLM TlRMTVNTUAAB=, Basic", vec![Challenge::Basic]),
            ("Bearer service=x", vec![]),
            ("", vec![]),
            (r#"Bearer realm="unfinished"#, vec![bearer("unfinished", None, None)]),
        ] {
            assert_eq!(parse([text].into_iter()), wanted, "{text}");
        }
        assert_eq!(parse([r#"Bearer realm="r""#, "Basic"].into_iter()).len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_to_an_end(text in "[A-Za-z=\", \\\\é]{0,60}") {
            let _ = parse([text.as_str()].into_iter());
        }
    }
}
