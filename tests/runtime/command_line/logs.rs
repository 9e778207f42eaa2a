//! `--log`, `--log-format` and `--debug`: into a file, the system log, the journal.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use serde_json::Value;

use super::bare;
use crate::harness::wait::{LIMIT, readable};
use crate::harness::{Bundle, Call, host};

/// Logs a failing call in a format and returns the log and the standard error.
fn logged(bundle: &Bundle, format: &[&str]) -> (String, String) {
    let log = bundle.path("log");
    let _ = fs::remove_file(&log);
    let call = bare(bundle).arg("--root").arg(&bundle.state).arg("--log").arg(&log).args(format);
    let ran = call.args(["start", "unknown"]).run().refused(&["does not exist"]);
    (fs::read_to_string(&log).expect("read the log"), ran.stderr)
}

#[test]
fn the_log_in_json() {
    let bundle = Bundle::new();
    let (log, stderr) = logged(&bundle, &["--log-format", "json"]);
    // podman reads the whole file as one object, containerd the last error of it.
    let record: Value = serde_json::from_str(&log).unwrap_or_else(|error| panic!("{error}: {log}"));
    assert!(log.ends_with("}\n") && log.lines().count() == 1, "one line, one record: {log:?}");
    assert_eq!(record["level"], "error");
    let message = record["msg"].as_str().expect("the message is text");
    assert!(stderr.contains(message), "the same error goes to stderr: {stderr}");
    assert!(!stderr.contains("\"msg\""), "stderr is for people and conmon: {stderr}");
    let time = record["time"].as_str().expect("the time is text");
    Call::of("date", &bundle.directory).args(["--date", time]).ok();
    assert!(time.len() >= 20 && &time[10..11] == "T", "RFC 3339: {time}");
}

#[test]
fn the_log_in_text() {
    let bundle = Bundle::new();
    for format in [&[][..], &["--log-format", "text"], &["--log-format=text"]] {
        let (log, _) = logged(&bundle, format);
        assert!(log.contains("level=error") && log.contains("msg=") && log.contains("time="), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
    }
}

#[test]
fn the_log_is_appended_to_and_not_written_without_reason() {
    let bundle = Bundle::script("true");
    let log =
        bundle.write_file("log", "{\"level\":\"warning\",\"msg\":\"before\",\"time\":\"2026-01-01T00:00:00Z\"}\n");
    let before = bundle.read_file("log");
    bundle.write();
    let call = || {
        let call = bare(&bundle).arg("--root").arg(&bundle.state).arg("--log").arg(&log);
        call.args(["--log-format", "json"])
    };
    call().arg("run").arg("--bundle").arg(&bundle.directory).arg(&bundle.id).ok();
    assert_eq!(bundle.read_file("log"), before, "a success has nothing to say");
    call().args(["start", "unknown"]).run().refused(&[]);
    let after = bundle.read_file("log");
    assert!(after.starts_with(&before) && after.lines().count() == 2, "{after}");
    // Made if it isn't there, before anything else is looked at: containerd opens it after every failure.
    fs::remove_file(&log).expect("remove the log");
    call().args(["start", "unknown"]).run().refused(&[]);
    assert_eq!(bundle.read_file("log").lines().count(), 1);
}

#[test]
fn the_log_has_the_runtimes_errors_of_create_and_run() {
    let mut bundle = Bundle::new();
    bundle.config.args(["no-such-program"]);
    bundle.write();
    for command in ["create", "run"] {
        let log = bundle.path(command);
        let call = bare(&bundle).arg("--root").arg(&bundle.state).arg("--log").arg(&log);
        let call = call.args(["--log-format", "json", command, "--bundle"]).arg(&bundle.directory).arg(&bundle.id);
        call.run().refused(&["executable file not found in $PATH"]);
        let log = fs::read_to_string(&log).expect("read the log");
        let record: Value = serde_json::from_str(&log).expect("one record");
        let message = record["msg"].as_str().expect("the message is text");
        assert!(message.contains("exec: \"no-such-program\": executable file not found in $PATH"), "{message}");
        assert!(!message.contains('\n') && message.matches("no-such-program").count() == 1, "said once: {message}");
    }
    bundle.assert_nothing_left();
}

#[test]
fn an_unknown_log_format() {
    let bundle = Bundle::new();
    let call = bare(&bundle).arg("--root").arg(&bundle.state).args(["--log-format", "xml", "list"]);
    call.run().refused(&["log-format", "xml"]);
}

#[test]
fn a_log_that_can_not_be_opened() {
    let bundle = Bundle::new();
    let call = bare(&bundle).arg("--root").arg(&bundle.state).args(["--log", "/nonexistent/log", "list"]);
    call.run().refused(&["/nonexistent/log"]);
}

#[test]
fn the_logs_mode() {
    let bundle = Bundle::new();
    logged(&bundle, &[]);
    let mode = fs::metadata(bundle.path("log")).expect("the log is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o644);
}

#[test]
fn debug_says_more_and_succeeds() {
    let bundle = Bundle::script("true");
    bundle.write();
    let log = bundle.path("log");
    let call = bare(&bundle).args(["--debug", "--log"]).arg(&log).arg("--root").arg(&bundle.state).arg("run");
    call.arg("--bundle").arg(&bundle.directory).arg(&bundle.id).ok();
    let log = fs::read_to_string(log).expect("read the log");
    assert!(log.contains("level=debug"), "{log}");
}

#[test]
fn a_log_named_as_crun_names_it() {
    let bundle = Bundle::new();
    let log = bundle.path("log");
    let spelling = format!("--log=file:{}", log.display());
    let call = || bare(&bundle).arg("--root").arg(&bundle.state).arg(&spelling);
    call().args(["start", "unknown"]).run().refused(&["does not exist"]);
    let text = fs::read_to_string(&log).expect("read the log");
    assert!(text.contains("unknown"), "{text}");
    for level in ["debug", "warning", "error"] {
        call().args(["--log-level", level, "list"]).ok();
    }
    call().args(["--log-level", "loud", "list"]).run().refused(&["loud"]);
}

#[test]
fn a_log_in_the_system_log() {
    let bundle = Bundle::new();
    // The /dev of a test's host is its own.
    let socket = UnixDatagram::bind("/dev/log").expect("listen as a system log");
    let call = bare(&bundle).arg("--root").arg(&bundle.state).arg("--log=syslog:a-tag");
    call.args(["start", "unknown"]).run().refused(&["does not exist"]);
    let message = received(&socket);
    assert!(message.contains("a-tag") && message.contains("does not exist"), "{message}");
    fs::remove_file("/dev/log").expect("remove the socket");
}

#[test]
fn a_log_in_the_journal() {
    let mut bundle = Bundle::new();
    host("mount -t tmpfs run /run; mkdir -p /run/systemd/journal");
    bundle.accept_mounts();
    let socket = UnixDatagram::bind("/run/systemd/journal/socket").expect("listen as the journal");
    let call = bare(&bundle).arg("--root").arg(&bundle.state).arg("--log=journald:a-tag");
    call.args(["start", "unknown"]).run().refused(&["does not exist"]);
    let message = received(&socket);
    for part in ["MESSAGE=", "does not exist", "PRIORITY=3", "a-tag"] {
        assert!(message.contains(part), "no {part} in {message}");
    }
    drop(socket);
    host("umount /run");
}

/// One datagram, as text.
fn received(socket: &UnixDatagram) -> String {
    assert!(readable(socket, Instant::now() + LIMIT), "nothing was logged");
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("receive a log record");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}
