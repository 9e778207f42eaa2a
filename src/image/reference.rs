//! References: the names of images, `[DOMAIN/]PATH[:TAG][@DIGEST]`.
//!
//! The grammar and what is added to short names are those of docker (distribution/reference): `debian` is
//! `docker.io/library/debian:latest`. Lists and messages show the short ("familiar") form.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

use super::digest::Digest;

const HUB: &str = "docker.io";
/// What Docker Hub was called, and still is in old configuration.
const OLD_HUB: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
/// The tag of a name that has neither tag nor digest.
pub const LATEST: &str = "latest";
/// Bytes that domain and path may have together (distribution-spec).
const LONGEST_NAME: usize = 255;

/// A normalized name with its tag and digest, if it has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry, with its port.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest; where there is a tag, too, the digest is what counts.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same, with the tag `latest` where there was neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Reference {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(LATEST.to_owned());
        }
        self
    }

    /// What a registry knows it by in its repository.
    pub fn in_registry(&self) -> String {
        let digest = self.digest.as_ref().map(ToString::to_string);
        digest.unwrap_or_else(|| self.tag().unwrap_or(LATEST).to_owned())
    }

    /// The name alone, with another tag.
    pub fn with_tag(&self, tag: &str) -> Result<Reference> {
        ensure!(is_tag(tag), "invalid reference format: {tag:?} is no tag");
        Ok(Reference { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The name alone, with a digest.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Reference {
        Reference { tag: None, digest: Some(digest.clone()), ..self.clone() }
    }

    /// The name without tag and digest, in full.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name without tag and digest, as people write it.
    pub fn familiar_name(&self) -> String {
        if self.domain != HUB {
            return self.name();
        }
        let short = match self.path.strip_prefix(OFFICIAL) {
            // a/b of library/a/b must not lose what makes it one.
            Some(short) if !short.contains('/') => short,
            _ => &self.path,
        };
        // `docker.io/example.org/app` is not `example.org/app`, though docker writes it so.
        if split_domain(short).1 == short { short.to_owned() } else { self.name() }
    }

    /// The whole reference, as people write it.
    pub fn familiar(&self) -> String {
        self.familiar_name() + &self.suffix()
    }

    fn suffix(&self) -> String {
        let tag = self.tag.iter().map(|tag| format!(":{tag}"));
        tag.chain(self.digest.iter().map(|digest| format!("@{digest}"))).collect()
    }
}

/// The full form.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl FromStr for Reference {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Reference> {
        parse(text).with_context(|| format!("invalid reference format: {text:?}"))
    }
}

fn parse(text: &str) -> Result<Reference> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse()?)),
        None => (text, None),
    };
    let (domain, rest) = split_domain(rest);
    // A colon in what is left can only start a tag: ports went with the domain.
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    let path = if domain == HUB && !path.contains('/') && !path.is_empty() {
        format!("{OFFICIAL}{path}")
    } else {
        path.into()
    };
    ensure!(is_domain(&domain), "{domain:?} is no registry");
    ensure!(!path.is_empty(), "the name is missing");
    ensure!(!path.bytes().any(|byte| byte.is_ascii_uppercase()), "repository name must be lowercase");
    ensure!(path.split('/').all(is_path_component), "{path:?} is no repository");
    ensure!(domain.len() + 1 + path.len() <= LONGEST_NAME, "the name is longer than {LONGEST_NAME} characters");
    if let Some(tag) = tag {
        ensure!(is_tag(tag), "{tag:?} is no tag");
    } else if digest.is_none() && is_hash(text) {
        bail!("a name of 64 hexadecimal digits can't be told from an id");
    }
    Ok(Reference { domain, path, tag: tag.map(str::to_owned), digest })
}

/// The first part is a registry only if it can't be a user of Docker Hub.
fn split_domain(text: &str) -> (String, &str) {
    let hub = || (HUB.to_owned(), text);
    let Some((first, rest)) = text.split_once('/') else { return hub() };
    let has_capital = first.bytes().any(|byte| byte.is_ascii_uppercase());
    if !first.contains(['.', ':']) && first != "localhost" && !has_capital {
        return hub();
    }
    let domain = if first == OLD_HUB { HUB } else { first };
    (domain.to_owned(), rest)
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !port.is_none_or(digits) {
        return false;
    }
    if let Some(address) = host.strip_prefix('[') {
        let hexadecimal = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
        return address
            .strip_suffix(']')
            .is_some_and(|address| !address.is_empty() && address.bytes().all(hexadecimal));
    }
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(label)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let separator = |run: &[u8]| matches!(run, b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-');
    let bytes = component.as_bytes();
    let edges = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
    edges && bytes.split(alphanumeric).filter(|run| !run.is_empty()).all(separator)
}

/// `\w[\w.-]{0,127}`
pub fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = tag.bytes().next().is_some_and(word);
    first && tag.len() <= 128 && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// Whether this is written like a whole image id.
pub fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_completed_as_docker_does() {
        for (short, full, familiar) in [
            ("debian", "docker.io/library/debian", "debian"),
            ("debian:12", "docker.io/library/debian:12", "debian:12"),
            ("user/app", "docker.io/user/app", "user/app"),
            ("docker.io/debian", "docker.io/library/debian", "debian"),
            ("index.docker.io/a/b", "docker.io/a/b", "a/b"),
            ("localhost/app", "localhost/app", "localhost/app"),
            ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
            ("Host/app", "Host/app", "Host/app"),
            ("quay.io/a/b/c", "quay.io/a/b/c", "quay.io/a/b/c"),
            ("library/a/b", "docker.io/library/a/b", "library/a/b"),
            ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
            ("a--b__c/d.e", "docker.io/a--b__c/d.e", "a--b__c/d.e"),
            ("docker.io/quay.io/a", "docker.io/quay.io/a", "docker.io/quay.io/a"),
            ("docker.io/localhost/a", "docker.io/localhost/a", "docker.io/localhost/a"),
            ("docker.io/docker.io/a", "docker.io/docker.io/a", "docker.io/docker.io/a"),
            ("docker.io/localhost", "docker.io/library/localhost", "localhost"),
        ] {
            let reference: Reference = short.parse().unwrap();
            assert_eq!((reference.to_string().as_str(), reference.familiar().as_str()), (full, familiar), "{short}");
            assert_eq!(full.parse::<Reference>().unwrap(), reference, "{full}");
        }
    }

    #[test]
    fn tags_and_digests() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let both: Reference = format!("app:1@{digest}").parse().unwrap();
        assert_eq!((both.tag(), both.digest().unwrap().to_string()), (Some("1"), digest.clone()));
        assert_eq!(both.clone().or_latest(), both);
        let neither: Reference = "app".parse().unwrap();
        assert_eq!(neither.or_latest().familiar(), "app:latest");
        assert_eq!(both.with_tag("2").unwrap().familiar(), "app:2");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let hash = "0123456789abcdef".repeat(4);
        let long = format!("a/{}", "b".repeat(254));
        for wrong in [
            "",
            ":",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "a:",
            "a:-x",
            "a@",
            "a@sha256:12",
            "a b",
            "a:b c",
            "-a",
            "a-",
            "a._b",
            "a___b",
            "a.:5/b",
            "a:x/b",
            ".",
            "..",
            "a/../b",
            "host:port/a",
            "é",
            "a:1:2",
            "[::1/a",
            "a\n",
            &hash,
            &long,
        ] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong:?}");
        }
        assert!("a:".to_owned().parse::<Reference>().unwrap_err().to_string().contains("invalid reference format"));
        assert!(format!("a:{}", "t".repeat(128)).parse::<Reference>().is_ok());
        assert!(format!("a:{}", "t".repeat(129)).parse::<Reference>().is_err());
        assert!(format!("{hash}:1").parse::<Reference>().is_ok());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_is_read_again(text in "\\PC{0,40}|[a-zA-Z0-9./:@_-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                proptest::prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
                proptest::prop_assert_eq!(&reference.familiar().parse::<Reference>().unwrap(), &reference);
            }
        }
    }
}
