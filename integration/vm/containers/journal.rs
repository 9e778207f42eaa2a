//! `--log-driver journald`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::group::{host, said};
use crate::harness::call::install_script;
use crate::harness::{Place, succeeded, until};

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

/// A journalctl of the test's own, for calls with some word, in place of the machine's.
fn with_journalctl(place: &Place, word: &str, then: &str) -> String {
    let directory = place.join("bin");
    let script = format!("case \" $* \" in *' {word}'*) {then};; esac\nexec /usr/bin/journalctl \"$@\"");
    std::fs::create_dir_all(&directory).unwrap();
    install_script(&directory.join("journalctl"), &script);
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", directory.display())
}

/// The journalctl that follows says nothing before the container has ended: all that was said since is still to come.
#[test]
fn who_follows_from_now_on_misses_no_last_words() {
    let place = Place::new();
    let note = place.join("follows");
    let path = with_journalctl(&place, "--follow", &format!("echo >{}; exec sleep 1000", note.display()));
    for (tail, wanted) in [("0", "last\nwords\n"), ("2", "2\n3\nlast\nwords\n")] {
        place.detached("talks", &["-i", "--log-driver", "journald"], "seq 1 3; head -n 1; echo words");
        said(&place, "talks", "3\n");
        let mut following = place.command(&["logs", "-f", "--tail", tail, "talks"]);
        let following = following.env("PATH", &path).stdout(Stdio::piped()).spawn().unwrap();
        until("it follows", || note.exists());
        let mut attached = place.command(&["attach", "talks"]).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(attached.stdin.as_mut().unwrap(), b"last\n").unwrap();
        drop(attached.stdin.take());
        attached.wait().unwrap();
        assert_eq!(succeeded(&following.wait_with_output().unwrap(), "logs"), wanted);
        std::fs::remove_file(&note).unwrap();
        place.ctn(&["rm", "-f", "talks"]);
    }
    place.assert_nothing_left();
}

#[test]
fn a_journal_that_cant_be_read_is_an_error() {
    let place = Place::new();
    place.detached("talks", &["--log-driver", "journald"], "echo said");
    place.ctn(&["wait", "talks"]);
    let path = with_journalctl(&place, "--output=export", "echo 'it is torn' >&2; exit 3");
    let output = place.command(&["logs", "talks"]).env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors, "Error: read the log: read the journal by journalctl (exit status: 3): it is torn\n");
    place.ctn(&["rm", "talks"]);
    place.assert_nothing_left();
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
