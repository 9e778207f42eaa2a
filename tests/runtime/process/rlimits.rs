//! `rlimits`.

use serde_json::json;

use crate::harness::{Bundle, each};

/// Soft and hard limit of a line of /proc/self/limits.
fn limit(limits: &str, name: &str) -> (String, String) {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {limits}"));
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().expect("a soft limit"), words.next().expect("a hard limit"))
}

#[test]
fn as_the_program_has_them() {
    let limits = [
        ("RLIMIT_AS", "Max address space", 5_000_000_000_u64, 6_000_000_000_u64),
        ("RLIMIT_CORE", "Max core file size", 1000, 2000),
        ("RLIMIT_CPU", "Max cpu time", 1000, 2000),
        ("RLIMIT_DATA", "Max data size", 1_000_000_000, 2_000_000_000),
        ("RLIMIT_FSIZE", "Max file size", 1_000_000, 2_000_000),
        ("RLIMIT_LOCKS", "Max file locks", 100, 200),
        ("RLIMIT_MEMLOCK", "Max locked memory", 1_000_000, 2_000_000),
        ("RLIMIT_MSGQUEUE", "Max msgqueue size", 1000, 2000),
        ("RLIMIT_NICE", "Max nice priority", 0, 0),
        ("RLIMIT_NOFILE", "Max open files", 100, 200),
        ("RLIMIT_NPROC", "Max processes", 100, 200),
        ("RLIMIT_RSS", "Max resident set", 1_000_000, 2_000_000),
        ("RLIMIT_RTPRIO", "Max realtime priority", 0, 0),
        ("RLIMIT_RTTIME", "Max realtime timeout", 1000, 2000),
        ("RLIMIT_SIGPENDING", "Max pending signals", 100, 200),
        ("RLIMIT_STACK", "Max stack size", 1_000_000, 2_000_000),
    ];
    let mut bundle = Bundle::new();
    let list = limits.iter().map(|(kind, _, soft, hard)| json!({"type": kind, "soft": soft, "hard": hard}));
    let list: Vec<_> = list.collect();
    bundle.config.set("/process/rlimits", list).args(["cat", "/proc/self/limits"]);
    let text = bundle.output();
    for (kind, name, soft, hard) in limits {
        assert_eq!(limit(&text, name), (soft.to_string(), hard.to_string()), "{kind}");
    }
}

#[test]
fn that_are_not_named_are_the_callers() {
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/limits"]).remove("/process/rlimits");
    let call = bundle.run_call().arg(&bundle.id).after("ulimit -S -n 321; ulimit -H -n 654");
    assert_eq!(limit(&call.ok().stdout, "Max open files"), ("321".to_owned(), "654".to_owned()));
}

#[test]
fn without_limit() {
    let mut bundle = Bundle::new();
    let infinity = json!([{"type": "RLIMIT_FSIZE", "soft": u64::MAX, "hard": u64::MAX}]);
    bundle.config.set("/process/rlimits", infinity).args(["cat", "/proc/self/limits"]);
    let call = bundle.run_call().arg(&bundle.id).after("ulimit -S -f 1000");
    let unlimited = "unlimited".to_owned();
    assert_eq!(limit(&call.ok().stdout, "Max file size"), (unlimited.clone(), unlimited));
}

#[test]
fn that_make_no_sense() {
    let mut bundle = Bundle::new();
    let one = json!({"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20});
    each(
        [
            (json!([one, one]), &["process.rlimits", "RLIMIT_NOFILE"][..]),
            (json!([{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}]), &["process.rlimits[0]", "RLIMIT_NOSUCH"]),
            (json!([{"type": "RLIMIT_NOFILE", "soft": 30, "hard": 20}]), &["process.rlimits[0]"]),
            (json!([{"type": "RLIMIT_NOFILE", "soft": -1, "hard": 20}]), &["process.rlimits[0].soft"]),
        ],
        |(limits, needles)| {
            bundle.config.set("/process/rlimits", limits);
            bundle.refused(needles);
        },
    );
}
