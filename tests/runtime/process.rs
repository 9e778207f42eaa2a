//! Every property of `process`, as the program itself and the kernel see it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::json;

use crate::harness::probe::{capability_set, own_capabilities};
use crate::harness::{Bundle, each, host};

/// One line of /proc/self/status as the container's program sees it.
fn status(bundle: &mut Bundle, name: &str) -> String {
    bundle.config.args(["cat", "/proc/self/status"]);
    let status = bundle.output();
    status_line(&status, name)
}

fn status_line(status: &str, name: &str) -> String {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {status}")).trim().replace('\t', " ")
}

#[test]
fn args_arrive_as_they_are() {
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/cmdline", "", "a b", "$HOME", "\n", "ü"]);
    let ran = bundle.run();
    assert_eq!(ran.stdout, "cat\0/proc/self/cmdline\0\0a b\0$HOME\0\n\0ü\0");
}

#[test]
fn the_program_is_looked_for_in_the_path_of_env() {
    let mut bundle = Bundle::new();
    crate::harness::host::write_program(&bundle.rootfs.join("opt/first/tool"), "#!/bin/sh\necho first\n");
    crate::harness::host::write_program(&bundle.rootfs.join("opt/second/tool"), "#!/bin/sh\necho second\n");
    fs::create_dir_all(bundle.rootfs.join("opt/directory/tool")).expect("make a directory named like the program");
    bundle.write_file("rootfs/opt/plain/tool", "not executable");
    bundle.config.args(["tool"]);
    for (path, output) in [
        ("/opt/second:/opt/first", "second\n"),
        ("/nonexistent:/opt/first", "first\n"),
        ("/opt/directory:/opt/plain:/opt/second", "second\n"),
    ] {
        bundle.config.set("/process/env", json!([format!("PATH={path}")]));
        assert_eq!(bundle.output(), output, "{path}");
    }
}

#[test]
fn a_program_with_a_slash_is_not_looked_for() {
    let mut bundle = Bundle::new();
    bundle.config.args(["/bin/echo", "absolute"]);
    assert_eq!(bundle.output(), "absolute\n");
    bundle.config.args(["./echo", "relative"]).set("/process/cwd", "/bin");
    assert_eq!(bundle.output(), "relative\n");
}

#[test]
fn programs_that_can_not_be_run_are_errors_of_create() {
    // The words decide about the exit codes 126 and 127 of docker and podman.
    let mut bundle = Bundle::new();
    bundle.write_file("rootfs/opt/plain", "not executable");
    each(
        [
            ("missing", &["exec: \"missing\": executable file not found in $PATH"][..]),
            ("/missing", &["exec: \"/missing\": stat /missing: no such file or directory"]),
            ("/opt/plain", &["exec: \"/opt/plain\": permission denied"]),
            ("/opt/plain/x", &["/opt/plain/x", "not a directory"]),
            ("/tmp", &["exec: \"/tmp\":", "is a directory"]),
            ("", &["exec: \"\""]),
        ],
        |(program, needles)| {
            bundle.config.args([program]);
            bundle.refused(needles);
        },
    );
    bundle.config.set("/process/args", json!([]));
    bundle.refused(&["args"]);
}

#[test]
fn a_program_that_the_kernel_refuses_is_an_error_of_start() {
    let bundle = Bundle::new();
    crate::harness::host::write_program(&bundle.rootfs.join("bin/empty"), "");
    crate::harness::host::write_program(&bundle.rootfs.join("bin/lost"), "#!/no/such/interpreter\n");
    for (program, needle) in [("empty", "exec format error"), ("lost", "no such file or directory")] {
        let mut bundle = Bundle::new();
        crate::harness::host::write_program(&bundle.rootfs.join("bin/empty"), "");
        crate::harness::host::write_program(&bundle.rootfs.join("bin/lost"), "#!/no/such/interpreter\n");
        bundle.config.args([program]);
        let container = bundle.create();
        container.run("start").refused(&[program, needle]);
        container.process.wait();
        assert_eq!(container.status(), "stopped");
        container.delete();
        bundle.run().refused(&[program, needle]);
        bundle.assert_nothing_left();
    }
}

/// The environment of a container, a line a variable.
fn environment(bundle: &mut Bundle) -> Vec<String> {
    bundle.config.args(["/bin/env"]);
    bundle.output().lines().map(str::to_owned).collect()
}

#[test]
fn env_is_the_whole_environment() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/env", json!(["PATH=/bin", "HOME=/h", "EMPTY=", "EQUALS=a=b", "SPACE=a b"]));
    assert_eq!(environment(&mut bundle), ["PATH=/bin", "HOME=/h", "EMPTY=", "EQUALS=a=b", "SPACE=a b"]);
}

#[test]
fn of_a_variable_given_twice_the_last_counts() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/env", json!(["PATH=/nowhere", "A=1", "B=2", "A=3", "HOME=/h", "PATH=/bin"]));
    let mut variables = environment(&mut bundle);
    variables.sort();
    assert_eq!(variables, ["A=3", "B=2", "HOME=/h", "PATH=/bin"]);
}

#[test]
fn home_comes_from_the_containers_passwd() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/env", json!(["PATH=/bin"]));
    assert!(environment(&mut bundle).contains(&"HOME=/root".to_owned()));
    bundle.config.set("/process/env", json!(["PATH=/bin", "HOME="]));
    assert_eq!(environment(&mut bundle), ["PATH=/bin", "HOME=/root"]);
    bundle.config.set("/process/user/uid", 1000);
    assert_eq!(environment(&mut bundle), ["PATH=/bin", "HOME=/home/tester"]);
    bundle.config.set("/process/user/uid", 4321);
    assert_eq!(environment(&mut bundle), ["PATH=/bin", "HOME=/"]);
    bundle.config.set("/process/env", json!(["PATH=/bin", "HOME=/given"]));
    assert_eq!(environment(&mut bundle), ["PATH=/bin", "HOME=/given"]);
}

#[test]
fn no_environment_at_all() {
    let mut bundle = Bundle::new();
    bundle.config.remove("/process/env");
    let variables = environment(&mut bundle);
    assert!(variables.iter().all(|variable| variable == "HOME=/root"), "{variables:?}");
}

#[test]
fn cwd_is_where_the_program_begins() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/cwd", "/tmp");
    assert_eq!(bundle.probe(&["working-directory"]), "/tmp\n");
}

#[test]
fn cwd_is_made_if_it_is_missing() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/cwd", "/srv/deep/er");
    assert_eq!(bundle.probe(&["working-directory"]), "/srv/deep/er\n");
    let made = fs::metadata(bundle.rootfs.join("srv/deep/er")).expect("the directory is in the root");
    assert_eq!((made.mode() & 0o7777, made.uid()), (0o755, 0));
}

#[test]
fn cwd_may_be_in_a_mount_or_behind_a_link() {
    let mut bundle = Bundle::new();
    bundle.config.mount("/data", "tmpfs", "tmpfs", &[]).set("/process/cwd", "/data/inside");
    assert_eq!(bundle.probe(&["working-directory"]), "/data/inside\n");
    std::os::unix::fs::symlink("/home/tester", bundle.rootfs.join("link")).expect("make a link");
    bundle.config.set("/process/cwd", "/link");
    assert_eq!(bundle.probe(&["working-directory"]), "/home/tester\n");
}

#[test]
fn cwd_of_a_user_who_alone_may_enter_it() {
    let mut bundle = Bundle::new();
    let directory = bundle.make_directory("rootfs/home/tester");
    host(&format!("chown 1000 {0}; chmod 700 {0}", directory.display()));
    bundle.config.set("/process/cwd", "/home/tester").set("/process/user/uid", 1000);
    // Without CAP_DAC_OVERRIDE root can't, so the user's identity must be taken first or tried after.
    bundle.config.capabilities(&["bounding", "effective", "permitted"], &["CAP_SETUID", "CAP_SETGID"]);
    assert_eq!(bundle.probe(&["working-directory"]), "/home/tester\n");
}

#[test]
fn cwd_that_the_user_may_not_enter() {
    let mut bundle = Bundle::new();
    let directory = bundle.make_directory("rootfs/private");
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).expect("close the directory");
    bundle.config.set("/process/cwd", "/private").set("/process/user/uid", 1000);
    // runc enters as root; a container that starts in a directory is not allowed to more than that.
    let ran = bundle.run();
    assert!(ran.code == 0 || ran.stderr.contains("/private"), "{ran}");
}

#[test]
fn cwd_must_be_absolute_and_a_directory() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/cwd", "tmp");
    bundle.refused(&["process.cwd"]);
    bundle.config.set("/process/cwd", "");
    bundle.refused(&["process.cwd"]);
    bundle.config.set("/process/cwd", "/etc/passwd");
    bundle.refused(&["/etc/passwd", "not a directory"]);
}

#[test]
fn cwd_can_not_be_outside_of_the_root() {
    // The descriptors of the runtime that lead out: a working directory there would give the host away.
    let mut bundle = Bundle::new();
    bundle.add_probe();
    bundle.config.args(["probe", "working-directory"]);
    for number in 3..20 {
        for path in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../..")] {
            bundle.config.set("/process/cwd", path.as_str());
            let ran = bundle.run();
            assert!(ran.code != 0 || ran.stdout == "/\n", "{path}: {ran}");
        }
    }
}

#[test]
fn user_and_groups() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/user", json!({"uid": 1000, "gid": 2000, "additionalGids": [3000, 0, 4000]}));
    bundle.config.args(["cat", "/proc/self/status"]);
    let text = bundle.output();
    assert_eq!(status_line(&text, "Uid"), "1000 1000 1000 1000");
    assert_eq!(status_line(&text, "Gid"), "2000 2000 2000 2000");
    let mut groups: Vec<String> = status_line(&text, "Groups").split(' ').map(str::to_owned).collect();
    groups.retain(|group| group != "2000");
    assert_eq!(groups, ["0", "3000", "4000"]);
}

#[test]
fn groups_of_the_caller_are_dropped() {
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/status"]);
    let call = bundle.run_call().arg(&bundle.id).through(["setpriv", "--groups", "7001,7002", "--"]);
    assert_eq!(status_line(&call.ok().stdout, "Groups"), "");
}

#[test]
fn groups_of_the_caller_are_kept_if_an_annotation_asks() {
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/status"]).set("/annotations/run.oci.keep_original_groups", "1");
    let call = bundle.run_call().arg(&bundle.id).through(["setpriv", "--groups", "7001,7002", "--"]);
    assert_eq!(status_line(&call.ok().stdout, "Groups"), "7001 7002");
}

#[test]
fn umask() {
    let mut bundle = Bundle::new();
    let with = |bundle: &Bundle| {
        let call = bundle.run_call().arg(&bundle.id).after("umask 077");
        status_line(&call.ok().stdout, "Umask")
    };
    bundle.config.args(["cat", "/proc/self/status"]);
    assert_eq!(with(&bundle), "0022", "the caller's is not inherited");
    bundle.config.set("/process/user/umask", 0o27);
    assert_eq!(with(&bundle), "0027");
    bundle.config.set("/process/user/umask", 0);
    assert_eq!(with(&bundle), "0000");
}

/// Soft and hard limit of a line of /proc/self/limits.
fn limit(limits: &str, name: &str) -> (String, String) {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {limits}"));
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().expect("a soft limit"), words.next().expect("a hard limit"))
}

#[test]
fn rlimits() {
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
fn rlimits_that_are_not_named_are_the_callers() {
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/limits"]).remove("/process/rlimits");
    let call = bundle.run_call().arg(&bundle.id).after("ulimit -S -n 321; ulimit -H -n 654");
    assert_eq!(limit(&call.ok().stdout, "Max open files"), ("321".to_owned(), "654".to_owned()));
}

#[test]
fn rlimits_without_limit() {
    let mut bundle = Bundle::new();
    let infinity = json!([{"type": "RLIMIT_FSIZE", "soft": u64::MAX, "hard": u64::MAX}]);
    bundle.config.set("/process/rlimits", infinity).args(["cat", "/proc/self/limits"]);
    let call = bundle.run_call().arg(&bundle.id).after("ulimit -S -f 1000");
    let unlimited = "unlimited".to_owned();
    assert_eq!(limit(&call.ok().stdout, "Max file size"), (unlimited.clone(), unlimited));
}

#[test]
fn rlimits_that_make_no_sense() {
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

/// The capability sets of the container's program: inheritable, permitted, effective, bounding, ambient.
fn capability_sets(bundle: &mut Bundle) -> [String; 5] {
    bundle.config.args(["cat", "/proc/self/status"]);
    let status = bundle.output();
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| status_line(&status, name))
}

#[test]
fn capabilities_of_root() {
    let (few, more) = (["CAP_CHOWN", "CAP_KILL"], ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]);
    let (few_set, more_set) = (capability_set(&few), capability_set(&more));
    let none = capability_set(&[]);
    let mut bundle = Bundle::new();
    // no_new_privs keeps execve(2) from giving root the whole bounding set.
    let capabilities = json!({"bounding": more, "permitted": few, "effective": few});
    bundle.config.set("/process/noNewPrivileges", true).set("/process/capabilities", capabilities);
    assert_eq!(capability_sets(&mut bundle), [&none, &few_set, &few_set, &more_set, &none].map(String::as_str));
    bundle.config.set("/process/noNewPrivileges", false);
    assert_eq!(capability_sets(&mut bundle), [&none, &more_set, &more_set, &more_set, &none].map(String::as_str));
}

#[test]
fn capabilities_of_a_user() {
    let names = ["CAP_CHOWN", "CAP_NET_RAW"];
    let set = capability_set(&names);
    let none = capability_set(&[]);
    let mut bundle = Bundle::new();
    bundle.config.set("/process/user/uid", 1000);
    bundle.config.capabilities(&["bounding", "permitted", "effective"], &names);
    assert_eq!(capability_sets(&mut bundle), [&none, &none, &none, &set, &none].map(String::as_str));
    bundle.config.capabilities(&["bounding", "permitted", "effective", "inheritable"], &names);
    assert_eq!(capability_sets(&mut bundle), [&set, &none, &none, &set, &none].map(String::as_str));
    bundle.config.capabilities(&["bounding", "permitted", "effective", "inheritable", "ambient"], &names);
    assert_eq!(capability_sets(&mut bundle), [&set, &set, &set, &set, &set].map(String::as_str));
    let one = capability_set(&["CAP_CHOWN"]);
    bundle.config.set("/process/capabilities/ambient", json!(["CAP_CHOWN"]));
    assert_eq!(capability_sets(&mut bundle), [&set, &one, &one, &set, &one].map(String::as_str));
}

#[test]
fn capabilities_work() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/noNewPrivileges", true);
    bundle.config.capabilities(&["bounding", "permitted", "effective"], &["CAP_CHOWN"]);
    assert_eq!(bundle.shell("touch /f; chown 7 /f; stat -c %u /f; mount -t tmpfs x /tmp 2>&1 || true"), {
        "7\nmount: permission denied (are you root?)\n"
    });
}

#[test]
fn no_capabilities_unless_given() {
    let none = capability_set(&[]);
    let mut bundle = Bundle::new();
    bundle.config.remove("/process/capabilities");
    assert_eq!(capability_sets(&mut bundle), [&none; 5].map(String::as_str));
    bundle.config.set("/process/capabilities", json!({}));
    assert_eq!(capability_sets(&mut bundle), [&none; 5].map(String::as_str));
}

#[test]
fn every_capability() {
    let mut bundle = Bundle::new();
    bundle.config.all_capabilities();
    let names = own_capabilities();
    let set = capability_set(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let [_, permitted, effective, bounding, _] = capability_sets(&mut bundle);
    assert_eq!([permitted, effective, bounding], [&set; 3].map(String::as_str));
}

#[test]
fn unknown_capabilities_are_left_out() {
    let set = capability_set(&["CAP_KILL"]);
    let mut bundle = Bundle::new();
    bundle.config.capabilities(&["bounding", "permitted", "effective"], &["CAP_KILL", "CAP_NO_SUCH"]);
    let [_, permitted, _, bounding, _] = capability_sets(&mut bundle);
    assert_eq!([permitted, bounding], [&set; 2].map(String::as_str));
}

#[test]
fn no_new_privileges() {
    let mut bundle = Bundle::new();
    bundle.add_probe();
    host(&format!("chmod 4755 {}/bin/probe", bundle.rootfs.display()));
    bundle.config.set("/process/user/uid", 1000);
    for (given, line, effective) in [(true, "1", "effective_user 1000"), (false, "0", "effective_user 0")] {
        bundle.config.set("/process/noNewPrivileges", given);
        assert_eq!(status(&mut bundle, "NoNewPrivs"), line);
        bundle.config.args(["probe", "process"]);
        assert!(bundle.output().lines().any(|line| line == effective), "noNewPrivileges: {given}");
    }
    bundle.config.remove("/process/noNewPrivileges");
    assert_eq!(status(&mut bundle, "NoNewPrivs"), "0");
}

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

#[test]
fn signals_are_as_at_the_beginning() {
    // Engines, shells and the Rust library leave ignored and blocked signals behind, and execve(2) keeps them.
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/status"]);
    let call = bundle.run_call().arg(&bundle.id).through([
        "env",
        "--block-signal=USR1,TERM,CHLD",
        "--ignore-signal=PIPE,INT,QUIT,USR2,HUP",
    ]);
    let status = call.ok().stdout;
    for name in ["SigBlk", "SigIgn", "ShdPnd", "SigPnd"] {
        assert_eq!(status_line(&status, name), "0000000000000000", "{name}");
    }
}

#[test]
fn nothing_of_the_runtime_sticks_to_the_program() {
    let mut bundle = Bundle::new();
    let text = bundle.probe(&["process"]);
    for line in [
        "dumpable 1",
        "parent_death_signal 0",
        "subreaper 0",
        "keep_capabilities 0",
        "securebits 0",
        "session 1",
        "group 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in {text}");
    }
    assert_eq!(status(&mut bundle, "Seccomp"), "0");
    assert_eq!(status(&mut bundle, "Threads"), "1");
}

#[test]
fn affinity_of_the_caller_is_reset() {
    // An engine that is bound to one CPU must not bind its containers: the cpuset decides.
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/status"]);
    let all = fs::read_to_string("/proc/self/status").expect("read the tests' status");
    let all = status_line(&all, "Cpus_allowed_list");
    let call = bundle.run_call().arg(&bundle.id).through(["taskset", "--cpu-list", "0"]);
    assert_eq!(status_line(&call.ok().stdout, "Cpus_allowed_list"), all);
}

#[test]
fn stdio_belongs_to_the_user() {
    let mut bundle = Bundle::script("echo out >/proc/self/fd/1; echo err >/proc/self/fd/2; cat /proc/self/fd/0");
    bundle.config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let ran = bundle.run_call().arg(&bundle.id).input("in\n").run();
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "out\nin\n", "err\n"), "{ran}");
    // The null device is everybody's: it must not change its owner.
    assert_eq!(bundle.run().code, 0);
    assert_eq!(fs::metadata("/dev/null").expect("look at the null device").uid(), 0);
}

#[test]
fn a_file_that_the_caller_only_reads_stays_the_callers() {
    // Its owner could make it writable, and it may be any file of the host.
    let mut bundle = Bundle::script("cat");
    bundle.config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let path = bundle.write_file("input", "in\n");
    let owner = || fs::metadata(&path).expect("look at the input").uid();
    let call = bundle.run_call().arg(&bundle.id).stdin(fs::File::open(&path).expect("open the input"));
    assert_eq!((call.ok().stdout.as_str(), owner()), ("in\n", 0));
    bundle.config.user_namespace(100_000);
    let call = bundle.run_call().arg(&bundle.id).stdin(fs::File::open(&path).expect("open the input"));
    assert_eq!((call.ok().stdout.as_str(), owner()), ("in\n", 0));
}

#[test]
fn properties_that_nobody_knows_are_ignored() {
    let mut bundle = Bundle::script("echo fine");
    bundle.config.set("/process/futureProperty", json!({"deep": [1, 2]})).set("/future", json!(null));
    bundle.config.set("/linux/future", json!([])).set("/root/future", "x").set("/process/user/future", 3);
    bundle.config.set("/mounts/0/future", true).set("/linux/resources/future", json!({"limit": 1}));
    bundle.config.set("/solaris", json!({})).set("/windows", json!({"layerFolders": []})).set("/zos", json!({}));
    assert_eq!(bundle.output(), "fine\n");
}
