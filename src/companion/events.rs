//! `events`: what happens.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use super::output::print;
use super::template::Template;
use super::{Context, Operation};
use crate::engine::events::Event;
use crate::engine::options;

/// Show what happens to containers
#[derive(Debug, Args)]
pub(super) struct Events {
    /// container=, event=, image=, label=KEY[=VALUE], type=
    #[arg(short, long, value_name = "FILTER", value_parser = crate::companion::filter)]
    filter: Vec<String>,

    /// json, or a template
    #[arg(long)]
    format: Option<String>,

    /// From a time on, or so long ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Until a time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Operation for Events {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let now = SystemTime::now();
        let time = |text: &Option<String>| text.as_deref().map(|text| options::time(text, now)).transpose();
        let template = self.format.as_deref().filter(|format| *format != "json").map(Template::parse).transpose()?;
        let mut filters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for filter in &self.filter {
            let (key, value) = filter.split_once('=').unwrap_or((filter, ""));
            if !matches!(key, "container" | "event" | "image" | "label" | "type" | "volume" | "network") {
                bail!("invalid filter '{key}'");
            }
            filters.entry(key).or_default().push(value);
        }
        engine.follow_events(time(&self.since)?, time(&self.until)?, |event| {
            if filters.iter().all(|(key, values)| values.iter().any(|value| is(event, key, value))) {
                print(&match (&template, self.format.is_some()) {
                    (Some(template), _) => template.render(&described(event)?)? + "\n",
                    (None, true) => described(event)?.to_string() + "\n",
                    (None, false) => line(event),
                })?;
            }
            Ok(true)
        })?;
        Ok(0)
    }
}

/// With the names that containers' and images' events had first, and docker's still have.
fn described(event: &Event) -> Result<Value> {
    let mut described = serde_json::to_value(event)?;
    described["scope"] = "local".into();
    if matches!(event.kind.as_str(), "container" | "image") {
        described["status"] = event.action.as_str().into();
        described["id"] = event.actor.id.as_str().into();
    }
    if let Some(image) = event.actor.attributes.get("image").filter(|_| event.kind == "container") {
        described["from"] = image.as_str().into();
    }
    Ok(described)
}

fn is(event: &Event, key: &str, value: &str) -> bool {
    let attribute = |name: &str| event.actor.attributes.get(name).map(String::as_str);
    match key {
        "event" => event.action == value || event.action.split(':').next() == Some(value),
        "type" => event.kind == value,
        "image" => attribute("image") == Some(value),
        "label" => match value.split_once('=') {
            Some((name, value)) => attribute(name) == Some(value),
            None => attribute(value).is_some(),
        },
        kind => event.kind == kind && (event.actor.id.starts_with(value) || attribute("name") == Some(value)),
    }
}

/// `2026-01-02T03:04:05.678901234Z container start ID (image=…, name=…)`.
fn line(event: &Event) -> String {
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(event.time_nano);
    let attributes: Vec<String> = event.actor.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let time = humantime::format_rfc3339_nanos(time);
    format!("{time} {} {} {} ({})\n", event.kind, event.action, event.actor.id, attributes.join(", "))
}
