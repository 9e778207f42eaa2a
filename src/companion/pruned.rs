//! What all prunes have in common: what their `--filter` lets through, and how they tell what went.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Result, bail};
use clap::Args;

use super::output::confirmed;
use super::units;

/// The flags that most prunes have.
#[derive(Debug, Args)]
pub(super) struct Asked {
    /// label=KEY[=VALUE], label!=KEY[=VALUE], until=TIME
    #[arg(long, value_name = "FILTER", value_parser = crate::companion::filter)]
    filter: Vec<String>,

    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

impl Asked {
    pub(super) fn conditions(&self) -> Result<Vec<Condition>> {
        Condition::parse_all(&self.filter)
    }

    /// Whether it is meant so; a person is asked.
    pub(super) fn is_meant(&self, warning: &str) -> Result<bool> {
        Ok(self.force || confirmed(&format!("{warning}\nAre you sure you want to continue?"))?)
    }
}

/// What `--filter` of a prune lets through.
#[derive(Debug)]
pub(super) enum Condition {
    /// Has a label, with a value if one is given; or has it not (`label!=`).
    Label { key: String, value: Option<String>, wanted: bool },
    /// Made before a time.
    Until(SystemTime),
}

impl Condition {
    pub(super) fn parse_all(texts: &[String]) -> Result<Vec<Condition>> {
        texts.iter().map(|text| Condition::parse(text)).collect()
    }

    pub(super) fn parse(text: &str) -> Result<Condition> {
        let Some((key, value)) = text.split_once('=') else { bail!("invalid argument {text:?}: bad format of filter") };
        Ok(match key {
            "label" | "label!" => {
                let (name, value) = value.split_once('=').map_or((value, None), |(name, value)| (name, Some(value)));
                Condition::Label { key: name.into(), value: value.map(str::to_owned), wanted: key == "label" }
            }
            "until" => Condition::Until(units::until(value)?),
            _ => bail!("invalid filter '{key}'"),
        })
    }

    /// Whether all let something through that was created at a time (RFC 3339).
    pub(super) fn all_let_through(all: &[Condition], labels: &BTreeMap<String, String>, created: Option<&str>) -> bool {
        all.iter().all(|condition| match condition {
            Condition::Label { key, value, wanted } => {
                let found = labels.get(key);
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found)) == *wanted
            }
            Condition::Until(time) => created.and_then(units::time).is_some_and(|created| created < *time),
        })
    }
}

/// What went.
#[derive(Debug)]
pub(super) struct Pruned {
    /// The heading's word.
    pub(super) kind: &'static str,
    pub(super) lines: Vec<String>,
    /// Bytes of the disk.
    pub(super) bytes: u64,
}

impl Pruned {
    /// The list with its heading, as docker prints it.
    pub(super) fn listed(&self) -> String {
        if self.lines.is_empty() {
            return String::new();
        }
        let lines: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        format!("Deleted {}:\n{lines}\n", self.kind)
    }
}

/// All lists, and what they come to.
pub(super) fn report(all: &[Pruned]) -> String {
    let lists: String = all.iter().map(Pruned::listed).collect();
    let bytes = all.iter().map(|pruned| pruned.bytes).sum();
    format!("{lists}Total reclaimed space: {}\n", units::size(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_conditions_let_through() {
        let labels = BTreeMap::from([("tier".to_owned(), "web".to_owned())]);
        for (text, wanted) in [
            ("label=tier", true),
            ("label=tier=web", true),
            ("label=tier=db", false),
            ("label!=tier", false),
            ("label!=tier=db", true),
            ("label!=other", true),
            ("until=1h", true),
            ("until=2020-01-01T00:00:00Z", false),
        ] {
            let conditions = Condition::parse_all(&[text.to_owned()]).unwrap();
            let created = Some("2021-01-01T00:00:00Z");
            assert_eq!(Condition::all_let_through(&conditions, &labels, created), wanted, "{text}");
        }
        for text in ["label", "name=x", "until=never"] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_report_has_a_list_for_what_went() {
        let of = |kind, lines: &[&str], bytes| Pruned {
            kind,
            lines: lines.iter().map(|line| (*line).into()).collect(),
            bytes,
        };
        let all = [of("Containers", &["a", "b"], 1000), of("Networks", &[], 0), of("Images", &["deleted: c"], 500)];
        let wanted = "Deleted Containers:\na\nb\n\nDeleted Images:\ndeleted: c\n\nTotal reclaimed space: 1.5kB\n";
        assert_eq!(report(&all), wanted);
    }
}
