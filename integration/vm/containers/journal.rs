//! `--log-driver journald`.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::group::{host, said};
use crate::harness::{Place, succeeded};

/// What the journal has of a container, entry by entry.
fn entries(id: &str) -> Vec<Value> {
    let text = host(&format!("journalctl --sync; journalctl -o json --all CONTAINER_ID_FULL={id}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lines_are_entries_with_dockers_fields() {
    let place = Place::new();
    let flags = [
        "--log-driver",
        "journald",
        "--log-opt",
        "tag={{.Name}}/{{.ID}}",
        "--log-opt",
        "labels=com.example.team",
        "--log-opt",
        "env=COLOUR",
        "-l",
        "com.example.team=blue",
        "-e",
        "COLOUR=red",
    ];
    let id = place.detached("talks", &flags, "echo out; echo err >&2; echo; printf 'no end'");
    place.ctn(&["wait", "talks"]);
    let entries = entries(&id);
    let find = |message: &str| {
        entries.iter().find(|entry| entry["MESSAGE"] == message).unwrap_or_else(|| panic!("{entries:?}"))
    };
    let out = find("out");
    for (field, value) in [
        ("CONTAINER_ID", &id[..12]),
        ("CONTAINER_NAME", "talks"),
        ("CONTAINER_TAG", &format!("talks/{}", &id[..12])),
        ("SYSLOG_IDENTIFIER", &format!("talks/{}", &id[..12])),
        ("IMAGE_NAME", "box"),
        ("COM_EXAMPLE_TEAM", "blue"),
        ("COLOUR", "red"),
        ("PRIORITY", "6"),
        // The journal's own word for who has sent it: the monitor, in the container's scope.
        ("_SYSTEMD_UNIT", &format!("corten-{id}.scope")),
    ] {
        assert_eq!(out[field], value, "{field}");
    }
    assert_eq!(find("err")["PRIORITY"], "3");
    assert_eq!(find("no end")["CONTAINER_PARTIAL_MESSAGE"], "true");
    // They come back as from any other driver.
    let (code, output, errors) = place.outcome(&["logs", "talks"]);
    assert_eq!((code, output.as_str(), errors.as_str()), (Some(0), "out\n\nno end", "err\n"));
    assert_eq!(place.outcome(&["logs", "-n", "1", "talks"]).1, "no end");
    let details = place.outcome(&["logs", "--details", "-n", "1", "talks"]).1;
    assert_eq!(details, "COLOUR=red,COM_EXAMPLE_TEAM=blue no end");
    let stamped = place.ctn(&["logs", "-t", "talks"]);
    assert!(stamped.lines().next().unwrap().ends_with("Z out"), "{stamped}");
    assert_eq!(place.ctn(&["logs", "--since", "2099-01-01T00:00:00Z", "talks"]), "");
    assert_eq!(place.field("talks", ".LogPath"), "");
    assert_eq!(place.field("talks", ".HostConfig.LogConfig.Type"), "journald");
    // It is what it is after a start, too.
    place.ctn(&["start", "-a", "talks"]);
    assert_eq!(place.ctn(&["logs", "talks"]), "out\n\nno endout\n\nno end");
    place.ctn(&["rm", "talks"]);
    place.assert_nothing_left();
}

#[test]
fn who_follows_hears_everything_and_the_end() {
    let place = Place::new();
    place.detached("talks", &["-i", "--log-driver", "journald"], "seq 1 100; cat; seq 101 103");
    said(&place, "talks", "\n100\n");
    let mut following = place.spawn(&["logs", "-f", "--tail", "1", "talks"]);
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "100");
    let mut attached = place.command(&["attach", "talks"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(attached.stdin.as_mut().unwrap(), b"echoed\n").unwrap();
    assert_eq!(lines.next().unwrap(), "echoed");
    place.ctn(&["stop", "-t", "0", "talks"]);
    assert_eq!(lines.next(), None);
    assert!(following.wait().unwrap().success());
    attached.wait().unwrap();
    // One that ends by itself: nothing of its last words is missed.
    place.detached("short", &["--log-driver", "journald"], "seq 1 2000");
    let output = place.call(&["logs", "-f", "short"]);
    assert_eq!(succeeded(&output, "logs").lines().count(), 2000);
}

#[test]
fn what_is_larger_than_a_datagram_comes_whole() {
    let place = Place::new();
    // Fields of 300 KiB, and a line that is written in parts.
    let labels = ["a", "b", "c"].map(|name| format!("{name}={}\n", name.repeat(100 << 10))).concat();
    std::fs::write(place.join("labels"), labels).unwrap();
    let flags = ["--log-driver", "journald", "--label-file", "labels", "--log-opt", "labels=a,b,c"];
    let script = "dd if=/dev/zero bs=1k count=40 2>/dev/null | busybox tr '\\0' x; echo";
    let id = place.detached("large", &flags, script);
    place.ctn(&["wait", "large"]);
    assert_eq!(place.ctn(&["logs", "large"]), "x".repeat(40 << 10) + "\n");
    let text = host(&format!("journalctl -o export CONTAINER_ID_FULL={id}"));
    assert!(text.contains(&format!("\nC={}\n", "c".repeat(100 << 10))), "{} bytes", text.len());
}

#[test]
fn others_cant_speak_for_a_container() {
    let place = Place::new();
    let id = place.detached("honest", &["--log-driver", "journald"], "echo true");
    place.ctn(&["wait", "honest"]);
    let forged = format!("MESSAGE=forged\\nCONTAINER_ID_FULL={id}\\nPRIORITY=6\\n");
    host(&format!("printf '{forged}' | setpriv --reuid 4000 --regid 4000 --clear-groups logger --journald"));
    assert_eq!(entries(&id).len(), 2, "the journal has it");
    assert_eq!(place.ctn(&["logs", "honest"]), "true\n");
}

#[test]
fn what_is_wrong_is_said() {
    let place = Place::new();
    for (options, word) in [
        (&["--log-opt", "tag={{.Nonsense}}"][..], ".Nonsense"),
        (&["--log-opt", "max-size=1m"], "max-size"),
        (&["--log-opt", "env-regex=("], "env-regex"),
    ] {
        let refusal = place.refusal(
            125,
            &[&["run", "--network", "none", "--log-driver", "journald"], options, &["box", "true"]].concat(),
        );
        assert!(refusal.contains(word), "{refusal}");
    }
    place.assert_nothing_left();
}
