//! Where an image is asked for: its registry, or another place that configuration names for it.
//!
//! Read are containers' registries.conf (version 2, containers-registries.conf(5)) with its registries.conf.d, and of docker's daemon.json
//! `registry-mirrors` and `insecure-registries`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::url::{is_loopback, split_port};
use crate::error::Attempt;
use crate::image::reference::Reference;

const HUB: &str = "docker.io";
/// Where Docker Hub's registry really is.
const HUB_HOST: &str = "registry-1.docker.io";

/// A repository in some registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `HOST[:PORT]`.
    pub host: String,
    /// The repository there.
    pub repository: String,
    /// Whether it may be unknown who answers, and in the clear.
    pub insecure: bool,
    /// Whether this is a mirror, and not where the name says.
    pub mirror: bool,
}

/// What configuration says about registries.
#[derive(Debug, Clone, Default)]
pub struct Places {
    registries: Vec<Registry>,
    daemon: Daemon,
}

/// `[[registry]]` of registries.conf.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Registry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Configuration {
    registry: Vec<Registry>,
}

/// What is read of daemon.json.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Daemon {
    registry_mirrors: Vec<String>,
    insecure_registries: Vec<String>,
}

impl Places {
    /// Reads what there is for this machine and user; root has no files of its own.
    pub fn of_user(is_root: bool) -> Result<Places> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config =
            set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config"))).filter(|_| !is_root);
        let own = config.as_ref().map(|config| config.join("containers/registries.conf"));
        let file = set("CONTAINERS_REGISTRIES_CONF")
            .or_else(|| own.filter(|own| own.exists()))
            .unwrap_or_else(|| "/etc/containers/registries.conf".into());
        let mut places = Places::default();
        places.add(&file)?;
        for directory in [Some("/etc/containers".into()), config.as_ref().map(|config| config.join("containers"))] {
            let Some(directory) = directory.map(|directory: PathBuf| directory.join("registries.conf.d")) else {
                continue;
            };
            let entries = fs::read_dir(&directory).into_iter().flatten();
            let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            files.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
            files.sort();
            for file in &files {
                places.add(file)?;
            }
        }
        let daemon = config.map(|config| config.join("docker/daemon.json")).filter(|own| own.exists());
        let daemon = daemon.unwrap_or_else(|| "/etc/docker/daemon.json".into());
        if let Some(text) = read(&daemon)? {
            places.daemon = serde_json::from_str(&text).with_context(|| format!("{daemon:?} can't be read"))?;
        }
        Ok(places)
    }

    fn add(&mut self, file: &Path) -> Result<()> {
        let Some(text) = read(file)? else { return Ok(()) };
        self.parse(&text).with_context(|| format!("{file:?} can't be read"))
    }

    fn parse(&mut self, text: &str) -> Result<()> {
        for mut registry in toml::from_str::<Configuration>(text)?.registry {
            if registry.prefix.is_empty() {
                registry.prefix.clone_from(&registry.location);
            }
            ensure!(!registry.prefix.is_empty(), "a [[registry]] has neither prefix nor location");
            // A later file has the last word on the same prefix.
            self.registries.retain(|known| known.prefix != registry.prefix);
            self.registries.push(registry);
        }
        Ok(())
    }

    /// The entry for a name: of those whose prefix fits the longest.
    fn entry(&self, reference: &Reference) -> Option<&Registry> {
        let name = full(reference);
        let fitting = self.registries.iter().filter(|registry| fits(&registry.prefix, &name));
        fitting.max_by_key(|registry| registry.prefix.len())
    }

    /// Where an image can be asked for, the registry of its name last.
    pub fn to_pull(&self, reference: &Reference) -> Result<Vec<Place>> {
        let own = self.own(reference)?;
        let entry = self.entry(reference);
        let mut places = Vec::new();
        for mirror in entry.map(|entry| entry.mirror.as_slice()).unwrap_or_default() {
            let by_digest = reference.digest().is_some();
            let wanted = match mirror.pull_from_mirror.as_str() {
                "" => by_digest || !entry.is_some_and(|entry| entry.mirror_by_digest_only),
                "digest-only" => by_digest,
                "tag-only" => !by_digest,
                _ => true,
            };
            if wanted {
                let prefix = entry.map(|entry| entry.prefix.as_str()).unwrap_or_default();
                places.push(self.moved(reference, prefix, &mirror.location, mirror.insecure, true)?);
            }
        }
        // docker's mirrors are for Docker Hub alone.
        let hub = reference.domain() == HUB && entry.is_none_or(|entry| entry.mirror.is_empty());
        for mirror in self.daemon.registry_mirrors.iter().filter(|_| hub) {
            let (in_the_clear, location) = match mirror.split_once("://") {
                Some((scheme, location)) => (scheme == "http", location),
                None => (false, mirror.as_str()),
            };
            places.push(self.moved(reference, HUB, location.trim_end_matches('/'), in_the_clear, true)?);
        }
        places.push(own);
        Ok(places)
    }

    /// Where the name itself leads: what is pushed goes there.
    pub fn own(&self, reference: &Reference) -> Result<Place> {
        let Some(entry) = self.entry(reference) else {
            return self.moved(reference, "", "", false, false);
        };
        ensure!(!entry.blocked, "{} is blocked by the configuration of registries", entry.prefix);
        self.moved(reference, &entry.prefix, &entry.location, entry.insecure, false)
    }

    /// The registry of a name alone, as `login` has it.
    pub fn registry(&self, host: &str) -> Place {
        let entry = self.registries.iter().find(|registry| registry.prefix == host);
        let insecure = entry.is_some_and(|entry| entry.insecure) || self.is_insecure(host);
        let host = if host == HUB { HUB_HOST } else { host };
        Place { host: host.to_owned(), repository: String::new(), insecure, mirror: false }
    }

    /// The place of a name whose beginning is another one there.
    fn moved(
        &self,
        reference: &Reference,
        prefix: &str,
        location: &str,
        insecure: bool,
        mirror: bool,
    ) -> Result<Place> {
        let name = full(reference);
        let moved = match (location, prefix.strip_prefix("*.")) {
            ("", _) => name,
            // A wildcard stands for hosts, so the whole host is replaced.
            (location, Some(_)) => format!("{location}/{}", reference.path()),
            (location, None) => format!("{location}{}", name.strip_prefix(prefix).unwrap_or_default()),
        };
        let (host, repository) = moved.split_once('/').with_context(|| format!("{moved:?} is no repository"))?;
        split_port(host)?;
        let insecure = insecure || self.is_insecure(host);
        let host = if host == HUB { HUB_HOST } else { host };
        Ok(Place { host: host.to_owned(), repository: repository.to_owned(), insecure, mirror })
    }

    /// What docker was told about a registry: by name, or by a network that its address is in.
    fn is_insecure(&self, authority: &str) -> bool {
        let host = split_port(authority).map_or(authority, |(host, _)| host);
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok();
        self.daemon.insecure_registries.iter().any(|insecure| {
            insecure == authority || insecure == host || address.is_some_and(|address| is_inside(address, insecure))
        })
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        text => text.attempt(|| format!("read {path:?}")).map(Some),
    }
}

fn full(reference: &Reference) -> String {
    reference.name()
}

/// Whether a prefix ends where a part of the name ends.
fn fits(prefix: &str, name: &str) -> bool {
    if let Some(domain) = prefix.strip_prefix("*.") {
        let host = name.split('/').next().unwrap_or_default();
        return host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    }
    let prefix = prefix.trim_end_matches('/');
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether an address is in a network, `ADDRESS/BITS`.
fn is_inside(address: std::net::IpAddr, network: &str) -> bool {
    use std::net::IpAddr;
    let Some((base, bits)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) if bits <= 32 => {
            (address.to_bits() ^ base.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(base)) if bits <= 128 => {
            (address.to_bits() ^ base.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// Whether plain HTTP is taken from a place: when it was told so, and from this machine itself.
pub fn may_be_plain(place: &Place) -> bool {
    place.insecure || is_loopback(split_port(&place.host).map_or(place.host.as_str(), |(host, _)| host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(conf: &str, daemon: &str) -> Places {
        let mut places = Places { daemon: serde_json::from_str(daemon).unwrap(), ..Places::default() };
        places.parse(conf).unwrap();
        places
    }

    fn shown(places: &Places, name: &str) -> Vec<String> {
        let show = |place: &Place| {
            let marks = [(place.mirror, " mirror"), (place.insecure, " insecure")];
            let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
            format!("{}/{}{marks}", place.host, place.repository)
        };
        places.to_pull(&name.parse().unwrap()).unwrap().iter().map(show).collect()
    }

    #[test]
    fn without_configuration_the_name_is_the_place() {
        let none = places("", "{}");
        assert_eq!(shown(&none, "debian"), ["registry-1.docker.io/library/debian"]);
        assert_eq!(shown(&none, "localhost:5000/a/b"), ["localhost:5000/a/b"]);
        assert!(may_be_plain(&none.own(&"127.0.0.2:5000/a".parse().unwrap()).unwrap()));
        assert!(!may_be_plain(&none.own(&"quay.io/a".parse().unwrap()).unwrap()));
        assert_eq!(none.registry("docker.io").host, "registry-1.docker.io");
    }

    #[test]
    fn registries_conf_moves_mirrors_and_blocks() {
        let conf = r#"
            unqualified-search-registries = ["docker.io"]
            [[registry]]
            prefix = "example.com/foo"
            insecure = false
            location = "internal.example:5000/bar"
            [[registry.mirror]]
            location = "mirror.example/x"
            insecure = true
            [[registry.mirror]]
            location = "digests.example"
            pull-from-mirror = "digest-only"
            [[registry]]
            location = "evil.example"
            blocked = true
            [[registry]]
            prefix = "*.wild.example"
            location = "tame.example"
            [[registry]]
            location = "plain.example:5000"
            insecure = true
        "#;
        let places = places(conf, "{}");
        assert_eq!(
            shown(&places, "example.com/foo/app:1"),
            ["mirror.example/x/app mirror insecure", "internal.example:5000/bar/app"]
        );
        let by_digest = format!("example.com/foo/app@sha256:{}", "0".repeat(64));
        assert_eq!(shown(&places, &by_digest)[1], "digests.example/app mirror");
        assert_eq!(shown(&places, "example.com/food/app"), ["example.com/food/app"]);
        assert_eq!(shown(&places, "a.b.wild.example/x/y"), ["tame.example/x/y"]);
        assert_eq!(shown(&places, "wild.example/x"), ["wild.example/x"]);
        assert_eq!(shown(&places, "plain.example:5000/x"), ["plain.example:5000/x insecure"]);
        let blocked = places.to_pull(&"evil.example/x".parse().unwrap()).unwrap_err();
        assert!(blocked.to_string().contains("evil.example is blocked"), "{blocked}");
        assert!(Places::default().parse("[[registry]]\n").is_err());
    }

    #[test]
    fn daemon_json_has_mirrors_of_the_hub_and_insecure_networks() {
        let daemon = r#"{"registry-mirrors": ["https://mirror.example/", "http://plain.example:5000"],
            "insecure-registries": ["old.example:5000", "10.1.0.0/16", "fd00::/8"], "log-level": "debug"}"#;
        let places = places("", daemon);
        assert_eq!(
            shown(&places, "debian"),
            [
                "mirror.example/library/debian mirror",
                "plain.example:5000/library/debian mirror insecure",
                "registry-1.docker.io/library/debian"
            ]
        );
        for (name, insecure) in [
            ("old.example:5000/x", true),
            ("old.example/x", false),
            ("10.1.2.3:80/x", true),
            ("10.2.2.3/x", false),
            ("[fd12::1]:5000/x", true),
            ("quay.io/x", false),
        ] {
            assert_eq!(places.own(&name.parse().unwrap()).unwrap().insecure, insecure, "{name}");
        }
    }
}
