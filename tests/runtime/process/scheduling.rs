//! `scheduler`, `ioPriority`, `oomScoreAdj`, and the memory policy, execution domain and processors beside them.

use serde_json::json;

use crate::harness::{Bundle, each};

#[test]
fn oom_score_adjustment() {
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/oom_score_adj"]);
    let from = |bundle: &Bundle, own: &str| {
        let call = bundle.run_call().arg(&bundle.id).after(&format!("echo {own} >/proc/self/oom_score_adj"));
        call.ok().stdout
    };
    assert_eq!(from(&bundle, "123"), "123\n", "unset, it is the caller's");
    bundle.config.set("/process/oomScoreAdj", 456);
    assert_eq!(from(&bundle, "123"), "456\n");
    bundle.config.set("/process/oomScoreAdj", 1000);
    assert_eq!(from(&bundle, "0"), "1000\n");
    bundle.config.set("/process/oomScoreAdj", 0);
    assert_eq!(from(&bundle, "0"), "0\n");
    bundle.config.set("/process/oomScoreAdj", 2000);
    bundle.refused(&["oomScoreAdj"]);
}

/// The scheduling attributes of the container's program.
fn scheduling(bundle: &mut Bundle, scheduler: serde_json::Value) -> String {
    bundle.config.set("/process/scheduler", scheduler);
    bundle.probe(&["scheduler"])
}

#[test]
fn scheduler() {
    let mut bundle = Bundle::new();
    for (name, number) in [("SCHED_OTHER", 0), ("SCHED_BATCH", 3)] {
        let text = scheduling(&mut bundle, json!({"policy": name, "nice": 7}));
        assert!(text.starts_with(&format!("policy {number}\nflags 0\nnice 7\n")), "{text}");
    }
    let text = scheduling(&mut bundle, json!({"policy": "SCHED_IDLE"}));
    assert!(text.starts_with("policy 5\n"), "{text}");
    for (name, number) in [("SCHED_FIFO", 1), ("SCHED_RR", 2)] {
        let text = scheduling(&mut bundle, json!({"policy": name, "priority": 11}));
        assert!(text.starts_with(&format!("policy {number}\nflags 0\nnice 0\npriority 11\n")), "{text}");
    }
    let reset = json!({"policy": "SCHED_FIFO", "priority": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    let text = scheduling(&mut bundle, reset);
    assert!(text.starts_with("policy 1\nflags 1\nnice 0\npriority 3\n"), "{text}");
}

#[test]
fn scheduler_with_a_deadline() {
    let mut bundle = Bundle::new();
    // A deadline task can't fork, and the probe doesn't.
    let text = scheduling(
        &mut bundle,
        json!({"policy": "SCHED_DEADLINE", "runtime": 2_000_000, "deadline": 40_000_000, "period": 80_000_000}),
    );
    assert!(text.starts_with("policy 6\n"), "{text}");
    assert!(text.ends_with("runtime 2000000\ndeadline 40000000\nperiod 80000000\n"), "{text}");
}

#[test]
fn scheduler_that_makes_no_sense() {
    let mut bundle = Bundle::new();
    each(
        [
            (json!({"policy": "SCHED_NOSUCH"}), "process.scheduler.policy"),
            (json!({"nice": 3}), "process.scheduler"),
            (json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NOSUCH"]}), "process.scheduler.flags"),
            (json!({"policy": "SCHED_FIFO", "priority": 100}), "schedul"),
            (json!({"policy": "SCHED_OTHER", "priority": 5}), "schedul"),
        ],
        |(scheduler, needle)| {
            bundle.config.set("/process/scheduler", scheduler);
            bundle.refused(&[needle]);
        },
    );
}

#[test]
fn io_priority() {
    let mut bundle = Bundle::new();
    for (name, number) in [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2)] {
        bundle.config.set("/process/ioPriority", json!({"class": name, "priority": 6}));
        assert_eq!(bundle.probe(&["io-priority"]), format!("class {number}\nlevel 6\n"));
    }
    bundle.config.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0}));
    assert!(bundle.probe(&["io-priority"]).starts_with("class 3\n"));
    each(
        [
            (json!({"class": "IOPRIO_CLASS_NOSUCH", "priority": 1}), "process.ioPriority.class"),
            (json!({"class": "IOPRIO_CLASS_BE", "priority": 8}), "process.ioPriority.priority"),
            (json!({"class": "IOPRIO_CLASS_BE", "priority": -1}), "process.ioPriority.priority"),
        ],
        |(priority, needle)| {
            bundle.config.set("/process/ioPriority", priority);
            bundle.refused(&[needle]);
        },
    );
}

#[test]
fn personality() {
    let mut bundle = Bundle::new();
    bundle.config.set("/linux/personality", json!({"domain": "LINUX32"}));
    assert_eq!(bundle.probe(&["personality"]), "8\n");
    assert_eq!(bundle.shell("uname -m"), if cfg!(target_arch = "aarch64") { "armv8l\n" } else { "i686\n" });
    bundle.config.set("/linux/personality", json!({"domain": "LINUX"}));
    assert_eq!(bundle.probe(&["personality"]), "0\n");
    bundle.config.set("/linux/personality", json!({"domain": "MINIX"}));
    bundle.refused(&["linux.personality.domain", "MINIX"]);
}

#[test]
fn memory_policy() {
    let mut bundle = Bundle::new();
    for (mode, number) in [("MPOL_PREFERRED", 1), ("MPOL_BIND", 2), ("MPOL_INTERLEAVE", 3), ("MPOL_PREFERRED_MANY", 5)]
    {
        bundle.config.set("/linux/memoryPolicy", json!({"mode": mode, "nodes": "0"}));
        assert_eq!(bundle.probe(&["memory-policy"]), format!("mode {number}\nflags 0\nnodes 1\n"));
    }
    bundle.config.set("/linux/memoryPolicy", json!({"mode": "MPOL_LOCAL", "nodes": ""}));
    assert!(bundle.probe(&["memory-policy"]).starts_with("mode 4\n"));
    bundle.config.set("/linux/memoryPolicy", json!({"mode": "MPOL_DEFAULT", "nodes": ""}));
    assert!(bundle.probe(&["memory-policy"]).starts_with("mode 0\n"));
    let flags = json!({"mode": "MPOL_BIND", "nodes": "0-0", "flags": ["MPOL_F_STATIC_NODES"]});
    bundle.config.set("/linux/memoryPolicy", flags);
    assert_eq!(bundle.probe(&["memory-policy"]), "mode 2\nflags 32768\nnodes 1\n");
}

#[test]
fn memory_policy_that_makes_no_sense() {
    let mut bundle = Bundle::new();
    each(
        [
            (json!({"mode": "MPOL_NOSUCH", "nodes": "0"}), "linux.memoryPolicy.mode"),
            (json!({"mode": "MPOL_BIND", "nodes": "zero"}), "linux.memoryPolicy.nodes"),
            (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NOSUCH"]}), "linux.memoryPolicy.flags"),
            (json!({"mode": "MPOL_BIND", "nodes": ""}), "memory"),
        ],
        |(policy, needle)| {
            bundle.config.set("/linux/memoryPolicy", policy);
            bundle.refused(&[needle]);
        },
    );
}
