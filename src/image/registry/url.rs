//! Addresses: as much of RFC 3986 as registries use.

use std::fmt;
use std::net::Ipv6Addr;

use anyhow::{Context, Result, bail, ensure};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a query as it is; digests, repositories and scopes stay readable.
const QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'/').remove(b',');

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// An absolute address of a registry, or of where it sends us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// How to talk.
    pub scheme: Scheme,
    /// The host's name or address; IPv6 in brackets.
    pub host: String,
    /// The port, where it is given.
    pub port: Option<u16>,
    /// The path, from its slash on, and the query.
    rest: String,
}

impl Url {
    /// The address of a host (`HOST[:PORT]`) and a path.
    pub fn new(scheme: Scheme, authority: &str, path: &str) -> Result<Url> {
        let (host, port) = split_port(authority)?;
        Ok(Url { scheme, host: host.to_ascii_lowercase(), port, rest: path.to_owned() })
    }

    /// Reads an absolute address.
    pub fn parse(text: &str) -> Result<Url> {
        let (scheme, rest) = text.split_once("://").with_context(|| format!("{text:?} is no absolute address"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => bail!("{text:?} has the scheme {other:?}, which is neither http nor https"),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // Whoever names a user there means to hide the host behind it.
        ensure!(!authority.contains('@'), "{text:?} has a user in it");
        ensure!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?} has what must be encoded");
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Url::new(scheme, authority, &path).with_context(|| format!("{text:?}"))
    }

    /// What a `Location` or `Link` means, that this address answered with.
    pub fn join(&self, location: &str) -> Result<Url> {
        if location.contains("://") && !location.starts_with(['/', '?']) {
            return Url::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(&format!("{}://{rest}", self.scheme.name()));
        }
        let path = self.path();
        let rest = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') {
            format!("{path}{location}")
        } else {
            let directory = path.rfind('/').map_or("/", |slash| &path[..=slash]);
            format!("{directory}{location}")
        };
        let rest = rest.split('#').next().unwrap_or_default().to_owned();
        ensure!(rest.bytes().all(|byte| byte.is_ascii_graphic()), "{location:?} has what must be encoded");
        Ok(Url { rest, ..self.clone() })
    }

    /// The same with one more field in the query.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Url {
        self.rest.push(if self.rest.contains('?') { '&' } else { '?' });
        self.rest += name;
        self.rest.push('=');
        self.rest.extend(utf8_percent_encode(value, QUERY));
        self
    }

    /// `HOST[:PORT]`, as certificates' directories and credentials are named.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.rest.split('?').next().unwrap_or_default()
    }

    /// Whether both are the same server, so that what is meant for one may be told the other.
    pub fn is_same_server(&self, other: &Url) -> bool {
        let server = |url: &Url| (url.scheme, url.host.clone(), url.port.unwrap_or(url.scheme.port()));
        server(self) == server(other)
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Without the query, which may have what nobody should read.
    pub fn shown(&self) -> String {
        format!("{}://{}{}", self.scheme.name(), self.authority(), self.path())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority(), self.rest)
    }
}

/// Whether a host's name (without a port) is this machine, by its name alone.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Host and port of an authority.
pub fn split_port(authority: &str) -> Result<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_name = || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    // What stands behind the bracket others leave out, and talk to whom is inside.
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty() && is_name(),
    };
    ensure!(is_host, "{authority:?} is no host");
    let port = port.map(|port| port.parse().with_context(|| format!("{port:?} is no port"))).transpose()?;
    Ok((host, port))
}

/// `name=value&…`, as forms are sent.
pub fn form(fields: &[(&str, &str)]) -> String {
    let field = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, QUERY));
    fields.iter().map(field).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_relative_to_where_they_come_from() {
        let own = Url::parse("https://Example.com:5000/v2/app/blobs/uploads/?digest=1").unwrap();
        for (location, wanted) in [
            ("/v2/x?_state=a%3D", "https://example.com:5000/v2/x?_state=a%3D"),
            ("?n=1", "https://example.com:5000/v2/app/blobs/uploads/?n=1"),
            ("id", "https://example.com:5000/v2/app/blobs/uploads/id"),
            ("//cdn/x", "https://cdn/x"),
            ("http://cdn:81?x=/", "http://cdn:81/?x=/"),
            ("/redirect?to=http://cdn/", "https://example.com:5000/redirect?to=http://cdn/"),
        ] {
            assert_eq!(own.join(location).unwrap().to_string(), wanted, "{location}");
        }
        for wrong in [
            "ftp://x/",
            "https://user@host/",
            "https:///x",
            "https://h:99999/",
            "https://h/a b",
            "/a b",
            "http://[::1]ev/",
            "http://[h]/",
            "http://a[b/",
        ] {
            assert!(own.join(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_query_grows_and_is_never_shown() {
        let url =
            Url::parse("https://[::1]:5000/u?_state=secret").unwrap().with("digest", "sha256:0").with("s", "a b&");
        assert_eq!(url.to_string(), "https://[::1]:5000/u?_state=secret&digest=sha256:0&s=a%20b%26");
        assert_eq!(url.shown(), "https://[::1]:5000/u");
        assert!(url.is_loopback());
        assert_eq!(form(&[("a", "x y"), ("b", "ü")]), "a=x%20y&b=%C3%BC");
    }

    proptest::proptest! {
        #[test]
        fn what_is_joined_can_be_read_again(location in "[ -~]{0,40}|(https?:)?//[a-z@:./?#\\[\\]0-9]{0,30}") {
            let own = Url::parse("https://example.com:5000/v2/a/blobs/uploads/?x=1").unwrap();
            if let Ok(joined) = own.join(&location) {
                proptest::prop_assert_eq!(Url::parse(&joined.to_string()).unwrap(), joined);
            }
        }
    }

    #[test]
    fn servers_are_compared_with_their_ports() {
        let same = |one: &str, other: &str| Url::parse(one).unwrap().is_same_server(&Url::parse(other).unwrap());
        assert!(same("https://a/x", "https://A:443/y"));
        assert!(!same("https://a/x", "http://a/x"));
        assert!(!same("https://a/", "https://a:444/"));
        assert!(!same("https://a/", "https://a.b/"));
        for (host, local) in [("127.8.0.1", true), ("localhost", true), ("[::1]", true), ("127.0.0.1.x.org", false)] {
            assert_eq!(is_loopback(host), local, "{host}");
        }
    }
}
