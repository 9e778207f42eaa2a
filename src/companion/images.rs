//! `images`: the list.

use std::time::SystemTime;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Map, Value};

use super::output::{complain, print};
use super::table::{Column, render};
use super::{Context, Operation, size_of, truth};
use super::{tree, units};
use crate::error::sentence;
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::table::Image;

/// List images
#[derive(Debug, Args)]
pub(super) struct Images {
    /// Show all; there are no intermediate images here, so this changes nothing
    #[arg(short, long)]
    all: bool,

    /// Show digests
    #[arg(long)]
    digests: bool,

    /// dangling=BOOL, label=KEY[=VALUE], reference=PATTERN, before=IMAGE, since=IMAGE, until=TIME
    #[arg(short, long, value_name = "FILTER", value_parser = crate::companion::filter)]
    filter: Vec<String>,

    /// table, json, or a template: {{.ID}} {{.Repository}} {{.Tag}} {{.Digest}} {{.CreatedSince}} {{.CreatedAt}} {{.Size}}
    #[arg(long)]
    format: Option<String>,

    /// Don't shorten ids
    #[arg(long)]
    no_trunc: bool,

    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,

    /// Show the platforms of each image
    #[arg(long, conflicts_with_all = ["digests", "format", "no_trunc", "quiet"])]
    tree: bool,

    /// Only images of this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

const COLUMNS: &[Column] = &[
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("VirtualSize", "SIZE"),
];

impl Operation for Images {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let mut images = store.images(|error| complain(&format!("Warning: {}\n", sentence(&error))))?;
        images.sort_by_key(|image| std::cmp::Reverse(image.config.created.as_deref().and_then(units::time)));
        let filters = self.filter.iter().map(|filter| Filter::parse(filter, &store)).collect::<Result<Vec<_>>>()?;
        if self.tree {
            images.retain(|image| {
                let is_asked = |name: &Reference| self.is_wanted(Some(name), &[]);
                filters.iter().all(|filter| filter.lets_through(image))
                    && (self.name.is_none() || image.names.iter().any(is_asked))
            });
            print(&tree::tree(context, &store, &images)?)?;
            return Ok(0);
        }
        let mut rows = Vec::new();
        for image in images.iter().filter(|image| filters.iter().all(|filter| filter.lets_through(image))) {
            let names = image.names.iter().map(Some);
            let names = names.chain(image.names.is_empty().then_some(None));
            for name in names.filter(|name| self.is_wanted(*name, &filters)) {
                rows.push(self.row(&store, image, name));
            }
        }
        if self.quiet && self.format.is_none() {
            let mut seen = std::collections::HashSet::new();
            let ids = rows.iter().filter_map(|row| row["ID"].as_str()).filter(|id| seen.insert(id.to_owned()));
            print(&ids.map(|id| format!("{id}\n")).collect::<String>())?;
            return Ok(0);
        }
        let plain = ["Repository", "Tag", "ID", "CreatedSince", "Size"];
        let with_digests = ["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"];
        let columns = if self.digests { &with_digests[..] } else { &plain[..] };
        print(&render(&rows, self.format.as_deref(), columns, COLUMNS)?)?;
        Ok(0)
    }
}

impl Images {
    fn is_wanted(&self, name: Option<&Reference>, filters: &[Filter]) -> bool {
        let asked = self.name.as_deref().is_none_or(|pattern| name.is_some_and(|name| matches(name, pattern)));
        asked
            && filters.iter().all(|filter| match filter {
                Filter::Reference(pattern) => name.is_some_and(|name| matches(name, pattern)),
                _ => true,
            })
    }

    fn row(&self, store: &Store, image: &Image, name: Option<&Reference>) -> Map<String, Value> {
        let none = || "<none>".to_owned();
        let size = units::size(size_of(store, image));
        let id = if self.no_trunc { image.id.to_string() } else { image.id.short().to_owned() };
        let created = image.config.created.as_deref();
        let unknown = || "N/A".to_owned();
        [
            ("Repository", name.map_or_else(none, Reference::familiar_name)),
            ("Tag", name.and_then(Reference::tag).map_or_else(none, str::to_owned)),
            ("Digest", image.entry.digest.to_string()),
            ("ID", id),
            ("CreatedSince", units::ago(created, SystemTime::now())),
            ("CreatedAt", units::date(created)),
            ("Size", size.clone()),
            ("Containers", unknown()),
            ("SharedSize", unknown()),
            ("UniqueSize", unknown()),
            ("VirtualSize", size),
        ]
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .into_iter()
        .collect()
    }
}

/// What `--filter` lets through.
#[derive(Debug)]
enum Filter {
    Dangling(bool),
    Label(String, Option<String>),
    Reference(String),
    /// Older than an image.
    Before(Option<SystemTime>),
    /// Newer than an image.
    Since(Option<SystemTime>),
    /// Made before a time.
    Until(SystemTime),
}

impl Filter {
    fn parse(text: &str, store: &Store) -> Result<Filter> {
        let Some((key, value)) = text.split_once('=') else { bail!("invalid argument {text:?}: bad format of filter") };
        let created =
            || -> Result<_> { Ok(store.resolve(value, None)?.config.created.as_deref().and_then(units::time)) };
        Ok(match key {
            "dangling" => match truth(value) {
                Some(dangling) => Filter::Dangling(dangling),
                None => bail!("invalid filter 'dangling={value}'"),
            },
            "label" => match value.split_once('=') {
                Some((key, value)) => Filter::Label(key.into(), Some(value.into())),
                None => Filter::Label(value.into(), None),
            },
            "reference" => Filter::Reference(value.into()),
            "before" => Filter::Before(created()?),
            "since" => Filter::Since(created()?),
            "until" => Filter::Until(units::until(value)?),
            _ => bail!("invalid filter '{key}'"),
        })
    }

    fn lets_through(&self, image: &Image) -> bool {
        let created = image.config.created.as_deref().and_then(units::time);
        match self {
            Filter::Dangling(wanted) => image.names.is_empty() == *wanted,
            Filter::Label(key, value) => {
                let found = image.config.config.labels.get(key);
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            }
            Filter::Reference(pattern) => image.names.iter().any(|name| matches(name, pattern)),
            Filter::Before(than) => created < *than,
            Filter::Since(than) => created > *than,
            Filter::Until(than) => created.is_some_and(|created| created < *than),
        }
    }
}

/// Whether a name is meant by a pattern: with `*`, `?` and `[…]`, which don't match a slash; the tag may be left out.
fn matches(name: &Reference, pattern: &str) -> bool {
    let full = name.to_string();
    let (familiar, familiar_name, full_name) = (name.familiar(), name.familiar_name(), name.name());
    [&familiar, &familiar_name, &full, &full_name].iter().any(|text| glob(pattern.as_bytes(), text.as_bytes()))
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            let end = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=end).any(|taken| glob(rest, &text[taken..]))
        }
        (Some((b'?', rest)), Some((byte, after))) => *byte != b'/' && glob(rest, after),
        (Some((b'[', rest)), Some((byte, after))) => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let (negated, set) = match rest[..end].split_first() {
                Some((b'^', set)) => (true, set),
                _ => (false, &rest[..end]),
            };
            let mut found = false;
            let mut at = 0;
            while at < set.len() {
                match set[at..] {
                    [low, b'-', high, ..] => {
                        found |= (low..=high).contains(byte);
                        at += 3;
                    }
                    [one, ..] => {
                        found |= one == *byte;
                        at += 1;
                    }
                    [] => {}
                }
            }
            found != negated && glob(&rest[end + 1..], after)
        }
        (Some((one, rest)), Some((byte, after))) => one == byte && glob(rest, after),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_path_match() {
        let name: Reference = "quay.io/team/app:1.2".parse().unwrap();
        for (pattern, wanted) in [
            ("quay.io/team/app", true),
            ("quay.io/team/app:1.2", true),
            ("quay.io/*/app", true),
            ("*/app", false),
            ("quay.io/team/a*:1.?", true),
            ("quay.io/team/ap[a-p]:*", true),
            ("quay.io/team/ap[^a-p]:*", false),
            ("app", false),
        ] {
            assert_eq!(matches(&name, pattern), wanted, "{pattern}");
        }
        let short: Reference = "debian:12".parse().unwrap();
        assert!(matches(&short, "debian") && matches(&short, "deb*:12") && matches(&short, "docker.io/library/debian"));
    }
}
