//! `logs`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::{Context, Operation, units};
use crate::engine::log::{Line, Until};
use crate::engine::{Container, options};
use std::io::Write;

/// Show what a container said
#[derive(Debug, Args)]
pub(in crate::companion) struct Logs {
    /// Show what the log's options attach to lines (tag=, labels=, env=), before a blank
    #[arg(long)]
    details: bool,

    /// Go on with what it says from now on
    #[arg(short, long)]
    follow: bool,

    /// Only what was said since a time, or so long ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Only what was said until a time, or so long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Show times
    #[arg(short, long)]
    timestamps: bool,

    /// The last lines only, or all
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all", allow_hyphen_values = true)]
    tail: String,

    /// A name or id
    container: String,
}

impl Operation for Logs {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        ensure!(
            container.record.host_config.log_config.kind != "none",
            "configured logging driver does not support reading"
        );
        let now = SystemTime::now();
        let time = |text: &Option<String>| text.as_deref().map(|text| options::time(text, now)).transpose();
        let tail = match self.tail.as_str() {
            "all" => None,
            // docker takes what is no number, or less than none, for all of them.
            text => text.parse::<usize>().ok(),
        };
        self.show(&container, tail, time(&self.since)?, time(&self.until)?).context("read the log")?;
        Ok(0)
    }
}

impl Logs {
    fn show(
        &self,
        container: &Container<'_>,
        tail: Option<usize>,
        since: Option<SystemTime>,
        until: Option<SystemTime>,
    ) -> Result<()> {
        let mut stdout = std::io::BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
        let mut stderr = std::io::BufWriter::new(std::io::stderr().lock());
        container.read_log(tail, self.follow.then_some(Until(until)), |line| {
            let Some(line) = line else {
                return is_heard(stdout.flush().and_then(|()| stderr.flush()));
            };
            if since.is_some() || until.is_some() {
                let said = units::time(line.time);
                if since.is_some_and(|since| said.is_some_and(|said| said < since)) {
                    return Ok(true);
                }
                if until.is_some_and(|until| said.is_some_and(|said| said > until)) {
                    return Ok(false);
                }
            }
            // A terminal has one stream: there everything is stdout.
            let written = if line.is_stderr {
                stdout.flush().and_then(|()| self.print(&mut stderr, line))
            } else {
                stderr.flush().and_then(|()| self.print(&mut stdout, line))
            };
            is_heard(written)
        })?;
        is_heard(stdout.flush().and_then(|()| stderr.flush())).map(drop)
    }

    /// In docker's order: the time, the details, what was said.
    fn print(&self, to: &mut impl Write, line: Line<'_>) -> std::io::Result<()> {
        if self.timestamps {
            to.write_all(line.time.as_bytes())?;
            to.write_all(b" ")?;
        }
        if self.details {
            to.write_all(details(line.attributes).as_bytes())?;
            to.write_all(b" ")?;
        }
        to.write_all(line.text)
    }
}

/// `KEY=VALUE,…` in the order of the keys, as in a query.
fn details(attributes: &str) -> String {
    let all: BTreeMap<String, String> = serde_json::from_str(attributes).unwrap_or_default();
    let pairs: Vec<String> = all.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value))).collect();
    pairs.join(",")
}

/// What is escaped in a query (application/x-www-form-urlencoded).
fn escaped(text: &str) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');
    utf8_percent_encode(text, PLAIN).to_string().replace(' ', "+")
}

/// Whether somebody still reads what was written.
fn is_heard(written: std::io::Result<()>) -> Result<bool> {
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        written => Ok(written.map(|()| true)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_a_query() {
        assert_eq!(details(""), "");
        assert_eq!(details(r#"{"b":"1, 2","a":"x-y_z.~"}"#), "a=x-y_z.~,b=1%2C+2");
    }
}
