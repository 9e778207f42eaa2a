//! What of a container is said with each line: its tag, and those labels and variables that were asked for.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use regex_lite::Regex;

use crate::engine::record::{LogConfig, Record};

/// Whether this file is about an option.
pub(super) fn is_option(name: &str) -> bool {
    matches!(name, "tag" | "labels" | "labels-regex" | "env" | "env-regex")
}

/// docker's default: the short id.
const DEFAULT: &str = "{{.ID}}";

/// Refuses what could not be carried out.
pub(super) fn check(log: &LogConfig) -> Result<()> {
    let record = Record::default();
    fill(log.config.get("tag").map_or(DEFAULT, String::as_str), &record)?;
    for option in ["labels-regex", "env-regex"] {
        pattern(log, option)?;
    }
    Ok(())
}

/// The container's tag.
pub(super) fn of(record: &Record) -> Result<String> {
    let asked = record.host_config.log_config.config.get("tag").filter(|tag| !tag.is_empty());
    fill(asked.map_or(DEFAULT, String::as_str), record)
}

/// docker's template, of which people use fields alone.
fn fill(template: &str, record: &Record) -> Result<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((plain, action)) = rest.split_once("{{") {
        let (field, after) = action.split_once("}}").with_context(|| format!("unclosed action in tag {template:?}"))?;
        filled.push_str(plain);
        filled.push_str(&value(field.trim(), record).with_context(|| format!("log option tag {template:?}"))?);
        rest = after;
    }
    Ok(filled + rest)
}

fn value(field: &str, record: &Record) -> Result<String> {
    let image = record.image.as_ref().map(|image| image.hex().to_owned()).unwrap_or_default();
    Ok(match field {
        ".ID" => record.short().to_owned(),
        ".FullID" => record.id.clone(),
        ".Name" => record.name.clone(),
        ".ImageName" => record.config.image.clone(),
        ".ImageID" => image.get(..12).unwrap_or_default().to_owned(),
        ".ImageFullID" => record.image.as_ref().map(ToString::to_string).unwrap_or_default(),
        ".Command" => record.command().join(" "),
        ".DaemonName" => "ctn".into(),
        _ => bail!(
            "{{{{{field}}}}} is no field: there are .ID, .FullID, .Name, .ImageName, .ImageID, .ImageFullID, .Command and .DaemonName"
        ),
    })
}

/// What `json-file` says with each line: labels and variables, and a tag if one was asked for.
pub(super) fn attributes(record: &Record) -> Result<BTreeMap<String, String>> {
    let mut all: BTreeMap<String, String> = extra(record)?.into_iter().collect();
    if record.host_config.log_config.config.get("tag").is_some_and(|tag| !tag.is_empty()) {
        all.insert("tag".into(), of(record)?);
    }
    Ok(all)
}

/// Labels and variables by their names.
pub(super) fn extra(record: &Record) -> Result<Vec<(String, String)>> {
    let log = &record.host_config.log_config;
    let labels = record.config.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let variables = record.config.env.iter().filter_map(|variable| variable.split_once('='));
    let mut all = chosen(log, "labels", labels)?;
    all.extend(chosen(log, "env", variables)?);
    Ok(all)
}

/// Those that `option` lists, and those that fit `option`-regex.
fn chosen<'a>(
    log: &LogConfig,
    option: &str,
    of: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<(String, String)>> {
    let listed = log.config.get(option).map(String::as_str).unwrap_or_default();
    let pattern = pattern(log, &format!("{option}-regex"))?;
    let is_wanted = |name: &str| {
        listed.split(',').any(|one| one == name) || pattern.as_ref().is_some_and(|pattern| pattern.is_match(name))
    };
    let wanted = of.filter(|(name, _)| is_wanted(name));
    Ok(wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn pattern(log: &LogConfig, option: &str) -> Result<Option<Regex>> {
    let pattern = log.config.get(option).filter(|text| !text.is_empty());
    pattern.map(|text| Regex::new(text).with_context(|| format!("log option {option}: {text:?}"))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(options: &[(&str, &str)]) -> Record {
        let mut record = Record { id: "0123456789abcdef".repeat(4), name: "web".into(), ..Record::default() };
        record.config.image = "box:1".into();
        record.config.labels =
            [("team", "blue"), ("tier", "front"), ("x", "y")].map(|(k, v)| (k.into(), v.into())).into();
        record.config.env = ["OF=image", "A=1=2", "bare"].map(str::to_owned).into();
        record.host_config.log_config.config = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        record
    }

    #[test]
    fn a_tag_is_filled_in() {
        for (tag, expected) in [
            ("", "0123456789ab"),
            ("{{.Name}}/{{ .ID }}", "web/0123456789ab"),
            ("plain", "plain"),
            ("{{.ImageName}}-{{.DaemonName}}", "box:1-ctn"),
        ] {
            assert_eq!(of(&record(&[("tag", tag)])).unwrap(), expected, "{tag}");
        }
        for bad in ["{{.Nonsense}}", "{{.ID", "{{if .ID}}"] {
            assert!(check(&record(&[("tag", bad)]).host_config.log_config).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_and_variables_are_chosen_by_name_or_pattern() {
        let names = |options: &[(&str, &str)]| -> Vec<String> {
            extra(&record(options)).unwrap().into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        assert_eq!(names(&[]), Vec::<String>::new());
        assert_eq!(names(&[("labels", "team,nonesuch"), ("env", "A")]), ["team=blue", "A=1=2"]);
        assert_eq!(names(&[("labels-regex", "^t"), ("env-regex", "^O")]), ["team=blue", "tier=front", "OF=image"]);
        assert!(check(&record(&[("env-regex", "(")]).host_config.log_config).is_err());
        let with_tag = attributes(&record(&[("env", "A"), ("tag", "{{.Name}}")])).unwrap();
        assert_eq!(with_tag, [("A", "1=2"), ("tag", "web")].map(|(k, v)| (k.into(), v.into())).into());
        assert!(attributes(&record(&[("tag", "")])).unwrap().is_empty());
    }
}
