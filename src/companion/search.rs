//! `search`: what a registry has for a word.

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Map, Value};

use super::output::print;
use super::registry::Connection;
use super::table::{Column, render};
use super::{Context, Operation, truth};
use crate::image::registry::search::{Found, search};

/// Who is asked where no registry is named.
const DEFAULT: &str = "index.docker.io";

/// Search a registry for images: Docker Hub, or the one that is named before the term
#[derive(Debug, Args)]
pub(super) struct Search {
    /// is-official=BOOL, is-automated=BOOL, stars=COUNT
    #[arg(short, long, value_name = "FILTER", value_parser = crate::companion::filter)]
    filter: Vec<String>,

    /// table, json, or a template: {{.Name}} {{.Description}} {{.StarCount}} {{.IsOfficial}} {{.IsAutomated}}
    #[arg(long)]
    format: Option<String>,

    /// At most so many, 1 to 100
    #[arg(long, value_name = "COUNT", default_value_t = 25)]
    limit: usize,

    /// Don't shorten descriptions
    #[arg(long)]
    no_trunc: bool,

    #[command(flatten)]
    connection: Connection,

    /// What is looked for
    #[arg(value_name = "[HOST/]TERM")]
    term: String,
}

const COLUMNS: &[Column] = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];

impl Operation for Search {
    fn carry_out(self, context: &Context) -> Result<u8> {
        if !(1..=100).contains(&self.limit) {
            bail!("limit {} is outside the range of [1, 100]", self.limit);
        }
        let wanted = self.filter.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>>>()?;
        let (host, term) = place(&self.term);
        let client = self.connection.client(context)?;
        let found = search(&client, host, term, self.limit).with_context(|| format!("search {host} for {term:?}"))?;
        let kept = found.iter().filter(|one| wanted.iter().all(|filter| filter.lets_through(one)));
        let prefix = if host == DEFAULT { String::new() } else { format!("{host}/") };
        let rows: Vec<_> = kept.take(self.limit).map(|one| row(one, &prefix, self.no_trunc)).collect();
        print(&render(&rows, self.format.as_deref(), &["Name", "Description", "StarCount", "IsOfficial"], COLUMNS)?)?;
        Ok(0)
    }
}

/// A host is told from a name as in an image's: by a dot or a port.
fn place(term: &str) -> (&str, &str) {
    match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => (DEFAULT, term),
    }
}

fn row(found: &Found, prefix: &str, whole: bool) -> Map<String, Value> {
    // A server's text may not move a terminal's cursor.
    let plain = found.description.split(|letter: char| letter.is_control()).collect::<Vec<_>>().join(" ");
    let is_long = !whole && plain.chars().count() > 45;
    let description = if is_long { plain.chars().take(44).chain(['…']).collect() } else { plain };
    let mark = |is: bool| if is { "[OK]" } else { "" };
    [
        ("Name", format!("{prefix}{}", found.name.escape_debug())),
        ("Description", description),
        ("StarCount", found.star_count.to_string()),
        ("IsOfficial", mark(found.is_official).to_owned()),
        ("IsAutomated", mark(found.is_automated).to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), Value::from(value)))
    .into_iter()
    .collect()
}

#[derive(Debug)]
enum Filter {
    Official(bool),
    Automated(bool),
    Stars(u64),
}

impl Filter {
    fn parse(text: &str) -> Result<Filter> {
        let wrong = || format!("invalid filter '{text}'");
        let (key, value) = text.split_once('=').with_context(wrong)?;
        Ok(match key {
            "is-official" => Filter::Official(truth(value).with_context(wrong)?),
            "is-automated" => Filter::Automated(truth(value).with_context(wrong)?),
            "stars" => Filter::Stars(value.parse().ok().with_context(wrong)?),
            _ => bail!("invalid filter '{key}'"),
        })
    }

    fn lets_through(&self, found: &Found) -> bool {
        match self {
            Filter::Official(wanted) => found.is_official == *wanted,
            Filter::Automated(wanted) => found.is_automated == *wanted,
            Filter::Stars(least) => found.star_count >= *least,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_named_before_the_term() {
        assert_eq!(place("nginx"), (DEFAULT, "nginx"));
        assert_eq!(place("team/nginx"), (DEFAULT, "team/nginx"));
        assert_eq!(place("localhost:5000/a/b"), ("localhost:5000", "a/b"));
        assert_eq!(place("quay.io/a"), ("quay.io", "a"));
    }
}
