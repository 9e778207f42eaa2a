//! `stats`: what containers use.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use serde_json::{Map, Value};

use super::super::output::print;
use super::super::table::{Column, render};
use super::super::{Context, Operation, units};
use crate::container::{self, EventsOptions};
use crate::engine::terminal::has_terminal;
use crate::engine::{Container, Engine};
use crate::error::Attempt;

/// Show what containers use
#[derive(Debug, Args)]
pub(in crate::companion) struct Stats {
    /// Show all, not only those that run
    #[arg(short, long)]
    all: bool,

    /// table, json, or a template: {{.Container}} {{.ID}} {{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.NetIO}} {{.BlockIO}} {{.PIDs}}
    #[arg(long)]
    format: Option<String>,

    /// Once, instead of every second
    #[arg(long)]
    no_stream: bool,

    /// Don't shorten ids
    #[arg(long)]
    no_trunc: bool,

    /// Names or ids; without any, all that run
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

const COLUMNS: &[Column] = &[
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

/// How long CPU time is measured.
const INTERVAL: Duration = Duration::from_secs(1);

/// Ticks by the kernel's clock: the time that a look takes doesn't add to the next one's.
struct Clock(OwnedFd);

impl Clock {
    fn start(interval: Duration) -> Result<Clock> {
        let what = || "make a timer";
        let interval = interval.try_into()?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).attempt(what)?;
        let every = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &every).attempt(what)?;
        Ok(Clock(timer))
    }

    /// Waits for the next one.
    fn tick(&self) -> Result<()> {
        let mut count = [0u8; 8];
        rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut count)).attempt(|| "wait for the timer").map(drop)
    }
}

/// What was used until some moment.
struct Sample {
    at: Instant,
    statistics: Option<Value>,
}

impl Operation for Stats {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        for name in &self.containers {
            engine.find(name)?;
        }
        let clock = Clock::start(INTERVAL)?;
        // CPU time in a hundredth is a difference to the tick before.
        let mut before: BTreeMap<String, Sample> = BTreeMap::new();
        for container in self.chosen(&engine)? {
            before.insert(container.record.id.clone(), sample(&container));
        }
        loop {
            clock.tick()?;
            let mut rows = Vec::new();
            let mut samples = BTreeMap::new();
            for container in self.chosen(&engine)? {
                let now = sample(&container);
                rows.push(self.row(&container, before.get(container.id()), &now)?);
                samples.insert(container.record.id.clone(), now);
            }
            before = samples;
            let columns = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];
            let clear = if self.no_stream || !has_terminal() { "" } else { "\x1b[2J\x1b[H" };
            print(&format!("{clear}{}", render(&rows, self.format.as_deref(), &columns, COLUMNS)?))?;
            if self.no_stream {
                return Ok(0);
            }
        }
    }
}

impl Stats {
    fn chosen<'e>(&self, engine: &'e Engine) -> Result<Vec<Container<'e>>> {
        if !self.containers.is_empty() {
            return self.containers.iter().map(|name| engine.find(name)).collect();
        }
        let all = engine.all()?.into_iter();
        Ok(all.filter(|one| self.all || one.state().is_ok_and(|state| state.status.is_up())).collect())
    }

    fn row(&self, container: &Container<'_>, before: Option<&Sample>, now: &Sample) -> Result<Map<String, Value>> {
        let record = &container.record;
        let number = |sample: &Sample, path: &str| {
            sample.statistics.as_ref().and_then(|value| value.pointer(path)).and_then(Value::as_u64).unwrap_or(0)
        };
        // What nobody counts, which is another thing than nothing: one that runs without a group.
        let is_up = container.state().is_ok_and(|state| state.status.is_up());
        let known = |text: String, otherwise: &str| match is_up && now.statistics.is_none() {
            true => otherwise.to_owned(),
            false => text,
        };
        let cpu = before.map_or(0.0, |before| {
            let used = number(now, "/cpu/usage/total").saturating_sub(number(before, "/cpu/usage/total"));
            used as f64 / now.at.duration_since(before.at).as_nanos() as f64
        });
        let (usage, limit) = (number(now, "/memory/usage/usage"), number(now, "/memory/usage/limit").min(memory()?));
        let cache = number(now, "/memory/raw/inactive_file");
        let usage = usage.saturating_sub(cache);
        let blocks = |operation: &str| -> u64 {
            let list = now.statistics.as_ref().and_then(|value| value.pointer("/blkio/ioServiceBytesRecursive"));
            let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let fits = |entry: &&Value| entry["op"].as_str().is_some_and(|op| op.eq_ignore_ascii_case(operation));
            list.iter().filter(fits).filter_map(|entry| entry["value"].as_u64()).sum()
        };
        let (received, sent) = traffic(container).unwrap_or_default();
        let row = [
            ("Container", record.name.clone()),
            ("ID", if self.no_trunc { record.id.clone() } else { record.short().to_owned() }),
            ("Name", record.name.clone()),
            ("CPUPerc", known(format!("{:.2}%", cpu * 100.0), "--")),
            ("MemUsage", known(format!("{} / {}", binary(usage), binary(limit)), "-- / --")),
            ("MemPerc", known(format!("{:.2}%", usage as f64 / limit.max(1) as f64 * 100.0), "--")),
            ("NetIO", format!("{} / {}", units::size(received), units::size(sent))),
            ("BlockIO", known(format!("{} / {}", units::size(blocks("read")), units::size(blocks("write"))), "--")),
            ("PIDs", known(number(now, "/pids/current").to_string(), "--")),
        ];
        Ok(row.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect())
    }
}

fn sample(container: &Container<'_>) -> Sample {
    let mut line = Vec::new();
    let options = EventsOptions { interval: INTERVAL, stats: true };
    let read = container::events(&container.engine.host(), container.id(), &options, &mut line);
    let value = read.ok().and_then(|()| serde_json::from_slice::<Value>(&line).ok());
    Sample { at: Instant::now(), statistics: value.map(|mut value| value["data"].take()) }
}

/// Bytes that a container's interfaces received and sent.
fn traffic(container: &Container<'_>) -> Option<(u64, u64)> {
    let pid = container.state().ok().filter(|state| state.pid > 0)?.pid;
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    let mut sums = (0, 0);
    for line in text.lines().skip(2) {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        if name.trim() != "lo" {
            sums.0 += numbers.first()?;
            sums.1 += numbers.get(8)?;
        }
    }
    Some(sums)
}

/// The machine's.
fn memory() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let Some(kibibytes) =
        line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok())
    else {
        bail!("/proc/meminfo has no MemTotal");
    };
    Ok(kibibytes << 10)
}

/// `1.5MiB`, as docker prints memory.
pub(in crate::companion) fn binary(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut number, mut unit) = (bytes as f64, 0);
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    let decimals = if number >= 100.0 {
        0
    } else if number >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{number:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}
