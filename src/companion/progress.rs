//! What a person sees of layers on their way: bars on a terminal, else lines.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{complain, print};
use crate::image::digest::Digest;
use crate::image::registry::progress::{Event, Progress, Silent};

/// Which way layers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From a registry.
    Pull,
    /// To a registry.
    Push,
}

impl Direction {
    /// docker's words.
    fn word(self, event: Event<'_>) -> Option<String> {
        Some(match (event, self) {
            (Event::Waiting(_), Direction::Pull) => "Pulling fs layer".into(),
            (Event::Waiting(_), Direction::Push) => "Preparing".into(),
            (Event::Exists, Direction::Pull) => "Already exists".into(),
            (Event::Exists, Direction::Push) => "Layer already exists".into(),
            (Event::Compressing, _) => "Compressing".into(),
            (Event::Downloaded, _) => "Download complete".into(),
            (Event::Pulled, _) => "Pull complete".into(),
            (Event::Pushed, _) => "Pushed".into(),
            (Event::Mounted(from), _) => format!("Mounted from {from}"),
            (Event::Transferred(_) | Event::At(_), _) => return None,
        })
    }

    fn moving(self) -> &'static str {
        match self {
            Direction::Pull => "Downloading",
            Direction::Push => "Pushing",
        }
    }
}

/// Shows layers, as the terminal can.
pub(super) fn shown(direction: Direction, quiet: bool) -> Box<dyn Progress> {
    let is_terminal = rustix::termios::isatty(std::io::stdout());
    at(direction, quiet, is_terminal, ProgressDrawTarget::stdout, |line| drop(print(line)))
}

/// Shows them beside the standard output, which is somebody else's.
pub(super) fn shown_beside(direction: Direction, quiet: bool) -> Box<dyn Progress> {
    at(direction, quiet, rustix::termios::isatty(std::io::stderr()), ProgressDrawTarget::stderr, complain)
}

fn at(
    direction: Direction,
    quiet: bool,
    is_terminal: bool,
    target: fn() -> ProgressDrawTarget,
    say: fn(&str),
) -> Box<dyn Progress> {
    match (quiet, is_terminal) {
        (true, _) => Box::new(Silent),
        (_, false) => Box::new(Lines { direction, say, last: Mutex::default() }),
        (_, true) => {
            Box::new(Bars { direction, all: MultiProgress::with_draw_target(target()), bars: Mutex::default() })
        }
    }
}

/// A line for each step.
#[derive(Debug)]
struct Lines {
    direction: Direction,
    say: fn(&str),
    last: Mutex<BTreeMap<Digest, String>>,
}

impl Progress for Lines {
    fn layer(&self, digest: &Digest, event: Event<'_>) {
        let Some(word) = self.direction.word(event) else { return };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.get(digest).map(String::as_str);
        // Twice the same, another size, and the end of what had nothing to do, are no news.
        let another_size = matches!(event, Event::Waiting(_)) && known.is_some();
        if known == Some(&word) || another_size || event == Event::Pulled && known == Some("Already exists") {
            return;
        }
        // Whoever doesn't read it doesn't want it.
        (self.say)(&format!("{}: {word}\n", digest.short()));
        last.insert(digest.clone(), word);
    }
}

/// A bar for each layer.
#[derive(Debug)]
struct Bars {
    direction: Direction,
    all: MultiProgress,
    bars: Mutex<BTreeMap<Digest, ProgressBar>>,
}

impl Bars {
    fn bar(&self, digest: &Digest) -> ProgressBar {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let bar = self.all.add(ProgressBar::new(0).with_style(waiting()));
            bar.set_prefix(digest.short().to_owned());
            bar
        };
        bars.entry(digest.clone()).or_insert_with(new).clone()
    }
}

impl Progress for Bars {
    fn layer(&self, digest: &Digest, event: Event<'_>) {
        let bar = self.bar(digest);
        match event {
            Event::Waiting(size) => {
                bar.set_length(size);
                bar.set_message(self.direction.word(event).unwrap_or_default());
            }
            Event::Transferred(count) => {
                if bar.position() == 0 {
                    bar.set_style(moving());
                    bar.set_message(self.direction.moving());
                    bar.enable_steady_tick(Duration::from_millis(200));
                }
                bar.inc(count);
            }
            Event::At(position) => bar.set_position(position),
            Event::Compressing | Event::Downloaded => {
                bar.set_style(waiting());
                bar.set_message(if event == Event::Downloaded { "Extracting" } else { "Compressing" });
            }
            Event::Pulled if bar.is_finished() => {}
            Event::Exists | Event::Pulled | Event::Pushed | Event::Mounted(_) => {
                bar.set_style(waiting());
                bar.finish_with_message(self.direction.word(event).unwrap_or_default());
            }
        }
    }
}

fn waiting() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}: {msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn moving() -> ProgressStyle {
    let template = "{prefix}: {msg} [{bar:40}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}
