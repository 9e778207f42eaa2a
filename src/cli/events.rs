//! `events`: what a container uses, and when it runs out of memory.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use super::{Context, Operation};
use crate::container::{self, EventsOptions};

/// Print statistics of a container, and notices when it runs out of memory
///
/// Each is one line of JSON with `type` (stats or oom), `id` and `data`. The command ends with the container.
#[derive(Debug, Parser)]
pub(super) struct Events {
    /// How long to wait between two statistics, such as 500ms or 1m30s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    interval: Duration,

    /// Print the statistics once
    #[arg(long)]
    stats: bool,

    /// The container
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for Events {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let options = EventsOptions { interval: self.interval, stats: self.stats };
        container::events(&context.host, &self.id, &options, &mut std::io::stdout().lock())?;
        Ok(0)
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval) if interval.is_zero() => Err("duration interval must be greater than 0".to_owned()),
        Ok(interval) => Ok(interval),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_go_s() {
        for (text, milliseconds) in
            [("5s", 5000), ("500ms", 500), ("1m30s", 90_000), ("1.5h", 5_400_000), ("1h2m3.5s", 3_723_500)]
        {
            assert_eq!(interval(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["0", "0s", "-1s", "5", "", "s"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
