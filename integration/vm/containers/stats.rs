//! `stats` beside the files that it is read from.

use serde_json::Value;

use crate::group::{Group, said};
use crate::harness::Place;

fn row(place: &Place, name: &str) -> Value {
    serde_json::from_str(place.ctn(&["stats", "--no-stream", "--format", "json", name]).trim()).unwrap()
}

/// The number that a text begins with, in its unit.
fn bytes(text: &str) -> f64 {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        other => panic!("{other:?} of {text:?}"),
    };
    digits.parse::<f64>().unwrap() * factor
}

#[test]
fn the_figures_are_the_kernels() {
    let place = Place::new();
    let script = "dd if=/dev/zero of=/full/file bs=1M count=24 2>/dev/null; dd if=/dev/vdb of=/dev/null bs=256k count=16 iflag=direct 2>/dev/null; echo ready; exec sleep 1000";
    place.detached("still", &["-m", "64m", "--tmpfs", "/full", "--device", "/dev/vdb", "--pids-limit", "50"], script);
    said(&place, "still", "ready\n");
    let group = Group::of(&place, "still");
    let row = row(&place, "still");
    let text = |key: &str| row[key].as_str().unwrap().to_owned();
    let (usage, limit) = text("MemUsage").split_once(" / ").map(|(usage, limit)| (bytes(usage), bytes(limit))).unwrap();
    assert_eq!(limit, 64.0 * 1024.0 * 1024.0);
    let used = (group.number("memory.current") - group.count("memory.stat", "inactive_file")) as f64;
    assert!((usage - used).abs() < 1024.0 * 1024.0, "{usage} and {used}");
    let percent: f64 = text("MemPerc").trim_end_matches('%').parse().unwrap();
    assert!((percent - usage / limit * 100.0).abs() < 0.5, "{percent} of {usage}");
    assert_eq!(text("PIDs"), group.read("pids.current"));
    assert_eq!(text("PIDs"), "1");
    let read = group
        .read("io.stat")
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("rbytes=")?.parse::<f64>().ok())
        .sum::<f64>();
    let shown = bytes(text("BlockIO").split_once(" / ").unwrap().0);
    assert!(read >= 4_194_304.0 && (shown - read).abs() <= read * 0.06, "{shown} and {read}");
    assert_eq!(text("CPUPerc"), "0.00%");
}

#[test]
fn a_processor_is_used_as_far_as_it_may_be() {
    let place = Place::new();
    place.detached("half", &["--cpus", "0.5"], "while :; do :; done");
    let row = row(&place, "half");
    let percent: f64 = row["CPUPerc"].as_str().unwrap().trim_end_matches('%').parse().unwrap();
    assert!((30.0..65.0).contains(&percent), "{percent}");
}

#[test]
fn a_stream_of_them_goes_on() {
    use std::io::BufRead;
    let place = Place::new();
    place.detached("half", &["--cpus", "0.5"], "while :; do :; done");
    let mut watched = place.spawn(&["stats", "--format", "{{.Name}} {{.CPUPerc}}"]);
    let lines: Vec<String> =
        std::io::BufReader::new(watched.stdout.take().unwrap()).lines().take(3).map(|line| line.unwrap()).collect();
    watched.kill().unwrap();
    watched.wait().unwrap();
    assert!(lines.iter().all(|line| line.starts_with("half ") && line.ends_with('%')), "{lines:?}");
}
