use std::fs;

use crate::harness::{Place, allocated, until};

#[test]
fn a_monitor_is_small_and_has_one_thread() {
    let place = Place::new();
    place.detached("small", &[], "seq 1 10000; sleep 1000");
    until("it spoke", || place.ctn(&["logs", "-n", "1", "small"]) == "10000\n");
    let monitor = place.monitor_of("small");
    let status = fs::read_to_string(format!("/proc/{monitor}/status")).unwrap();
    assert!(status.contains("Threads:\t1\n"), "{status}");
    // What it has allocated: the program's own file, which relocations of this build make private, is not counted.
    let kibibytes = allocated(monitor);
    assert!(kibibytes < 1500, "{kibibytes} KiB");
    // Nothing of the caller is open in it.
    for entry in fs::read_dir(format!("/proc/{monitor}/fd")).unwrap() {
        let target = fs::read_link(entry.unwrap().path()).unwrap_or_default().display().to_string();
        let known = [
            "/dev/null",
            "pipe:",
            "socket:",
            "anon_inode:",
            "-json.log",
            "/monitor",
            "/containers/",
            "/sys/fs/cgroup/",
        ];
        assert!(known.iter().any(|known| target.contains(known)), "{target}");
    }
}

#[test]
fn health_is_asked_and_told() {
    let place = Place::new();
    let flags =
        ["--health-cmd", "echo asked; test -e /tmp/well", "--health-interval", "100ms", "--health-retries", "2"];
    place.detached("ill", &flags, "sleep 1000");
    place.until_field("ill", ".State.Health.Status", "unhealthy");
    assert!(place.ctn(&["ps"]).contains("(unhealthy)"));
    place.ctn(&["exec", "ill", "touch", "/tmp/well"]);
    place.until_field("ill", ".State.Health.Status", "healthy");
    let log = place.ctn(&["inspect", "-f", "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}", "ill"]);
    assert!(log.contains("1 asked") && log.contains("0 asked"), "{log}");
    place.detached(
        "slow",
        &[
            "--health-cmd",
            "sleep 1000",
            "--health-interval",
            "50ms",
            "--health-timeout",
            "50ms",
            "--health-retries",
            "1",
        ],
        "sleep 1000",
    );
    place.until_field("slow", ".State.Health.Status", "unhealthy");
    let told = place.ctn(&["inspect", "-f", "{{range .State.Health.Log}}{{.Output}}{{end}}", "slow"]);
    assert!(told.contains("exceeded timeout"), "{told}");
}
