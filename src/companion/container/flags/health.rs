//! How the health of a container is asked.

use anyhow::{Result, ensure};

use super::Flags;
use crate::engine::record::HealthCheck;

const SHORTEST: &str = "times of a health check cannot be less than 1ms";

impl Flags {
    /// Whether a flag changes how it is asked.
    pub(super) fn asks_health(&self) -> bool {
        let times = [self.health_interval, self.health_timeout, self.health_start_period, self.health_start_interval];
        self.health_cmd.is_some() || self.health_retries.is_some() || times.iter().any(Option::is_some)
    }

    pub(super) fn health(&self, of_image: Option<serde_json::Value>) -> Result<Option<HealthCheck>> {
        let times = [self.health_interval, self.health_timeout, self.health_start_period, self.health_start_interval];
        if self.no_healthcheck {
            return Ok(Some(HealthCheck { test: vec!["NONE".into()], ..HealthCheck::default() }));
        }
        let mut check: Option<HealthCheck> = of_image.map(serde_json::from_value).transpose()?;
        if self.asks_health() {
            let check = check.get_or_insert_default();
            if let Some(line) = &self.health_cmd {
                check.test = vec!["CMD-SHELL".into(), line.clone()];
            }
            ensure!(!check.test.is_empty(), "--health-* options need --health-cmd");
            let fields = [&mut check.interval, &mut check.timeout, &mut check.start_period, &mut check.start_interval];
            for (field, time) in fields.into_iter().zip(times) {
                // docker's least time; 0 is its default.
                ensure!(time.is_none_or(|time| time == 0 || time >= 1_000_000), "{SHORTEST}");
                *field = time.unwrap_or(*field);
            }
            check.retries = self.health_retries.unwrap_or(check.retries);
        }
        Ok(check)
    }
}
