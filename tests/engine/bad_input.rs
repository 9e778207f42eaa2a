//! One sentence, docker's exit status, and nothing left.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::harness::{Place, is_one_sentence};

#[test]
fn what_contradicts_itself_or_is_not_there() {
    let place = Place::new();
    place.ctn(&["create", "--name", "taken", "--network", "none", "box"]);
    let taken = place.leftovers();
    for (flags, words) in [
        (&["--pull", "never", "nosuch"][..], "No such image: nosuch"),
        (&["localhost:1/nosuch"], "pull localhost:1/nosuch"),
        (&["--name", "taken", "box"], "already in use"),
        (&["--name", "a b", "box"], "Invalid container name"),
        (&["--mount", "type=bind,src=/nonsense/path,dst=/x", "box"], "bind source path does not exist: /nonsense/path"),
        (&["-v", "/a:/b:nonsense", "box"], "invalid mode: nonsense"),
        (&["-v", "/a:/b", "-v", "/c:/b", "box"], "Duplicate mount point: /b"),
        (&["--rm", "--restart", "always", "box"], "--restart and --rm"),
        (&["-m", "1k", "box"], "Minimum memory limit"),
        (&["--memory", "nonsense", "box"], "invalid size"),
        (&["--cap-add", "nonsense", "box"], "unknown capability"),
        (&["--security-opt", "nonsense", "box"], "--security-opt"),
        (&["--security-opt", "seccomp=/nonsense", "box", "true"], "seccomp profile"),
        (&["--ulimit", "nonsense=1", "box"], "invalid ulimit type"),
        (&["--log-driver", "nonsense", "box"], "is not supported"),
        (&["--log-opt", "max-size=x", "box"], "max-size"),
        (&["-p", "1:2:3:4", "box"], "invalid IP address"),
        (&["-u", "nobody", "box"], "unable to find user nobody"),
        (&["-w", "relative", "box"], "needs to be an absolute path"),
        (&["--env-file", "nonsense", "box"], "nonsense"),
        (&["--stop-signal", "nonsense", "box"], "Invalid signal"),
        (&["--stop-signal", "0", "box"], "Invalid signal: 0"),
        (&["--health-cmd", "true", "--health-interval", "500us", "box"], "cannot be less than 1ms"),
        (&["--cidfile", "/nonsense/path", "box"], "create the container ID file \"/nonsense/path\": no such file"),
        (&["--add-host", ":1.2.3.4", "box"], "bad format for add-host"),
        (&["--name", "--rm", "box"], "Invalid container name (--rm)"),
        (&["--userns", "keep-id", "box"], "--userns"),
        (&["--health-interval", "5s", "box"], "need --health-cmd"),
        (&["--network", "nonsense", "box"], "nonsense"),
        (&["--nonsense", "box"], "--nonsense"),
        (&["--pull", "sometimes", "box"], "sometimes"),
    ] {
        let network: &[&str] = if flags.contains(&"--network") { &[] } else { &["--network", "none"] };
        let refusal = place.refusal(125, &[&["run"], network, flags].concat());
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
        assert!(!refusal.contains("panicked"), "{refusal}");
        // Of a container that was made and could not be started, the container is left, as with docker.
        let made = place.ctn(&["ps", "-aq", "--filter", "since=taken"]);
        for id in made.lines() {
            place.ctn(&["rm", id]);
        }
        assert_eq!(place.leftovers(), taken, "{flags:?}");
    }
}

#[test]
fn programs_that_cannot_be_executed() {
    let place = Place::new();
    for (flags, words) in
        [(&["-d", "-a", "stdout"][..], "Conflicting options: -a and -d"), (&["-it"], "the input device is not a TTY")]
    {
        let refusal = place.refusal(1, &[&["run"], flags, &["box"]].concat());
        assert_eq!(refusal, format!("Error: {words}\n"));
    }
    for (program, status, words) in [
        ("nonsense", 127, "executable file not found"),
        ("/nonsense", 127, "no such file or directory"),
        ("/not-executable", 126, "permission denied"),
        ("/data", 126, "permission denied"),
    ] {
        let refusal = place.refusal(status, &["run", "--rm", "--network", "none", "box", program]);
        assert!(refusal.contains(words), "{program}: {refusal}");
        place.assert_nothing_left();
        let refusal = place.refusal(status, &["run", "--name", "left", "--network", "none", "box", program]);
        assert!(refusal.contains(words), "{program}: {refusal}");
        assert_eq!(place.field("left", ".State.Status"), "created");
        assert_eq!(place.field("left", ".State.ExitCode"), status.to_string());
        assert!(place.refusal(1, &["start", "left"]).contains(words));
        place.ctn(&["rm", "left"]);
    }
    place.assert_nothing_left();
}

#[test]
fn commands_on_what_is_not_there() {
    let place = Place::new();
    for command in
        ["start", "stop", "restart", "kill", "rm", "logs", "attach", "wait", "pause", "unpause", "top", "port"]
    {
        let refusal = place.refusal(1, &[command, "nobody"]);
        assert_eq!(refusal, "Error: No such container: nobody\n", "{command}");
    }
    let refusal = place.refusal(1, &["update", "--restart", "no", "nobody"]);
    assert_eq!(refusal, "Error: No such container: nobody\n");
    assert_eq!(place.refusal(1, &["exec", "nobody", "true"]), "Error: No such container: nobody\n");
    assert_eq!(place.outcome(&["rm", "-f", "nobody"]).0, Some(0));
    assert_eq!(place.outcome(&["run"]).0, Some(1));
    // An image that a container was made of stays.
    place.ctn(&["create", "--name", "user", "--network", "none", "box"]);
    let refusal = place.refusal(1, &["rmi", "box"]);
    assert!(refusal.contains("is using its referenced image"), "{refusal}");
    place.ctn(&["rmi", "-f", "box"]);
    assert_eq!(place.outcome(&["start", "-a", "user"]).0, Some(0));
    place.ctn(&["rm", "user"]);
    place.ctn(&["image", "prune", "-af"]);
    assert_eq!(std::fs::read_dir(place.store().join("layers/sha256")).unwrap().count(), 0);
}

#[test]
fn a_journal_that_is_not_there_is_said() {
    if std::path::Path::new("/run/systemd/journal/socket").exists() {
        // Not println!: libtest would swallow it.
        let line = "skipped bad_input::a_journal_that_is_not_there_is_said: this machine has one\n";
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
        return;
    }
    let place = Place::new();
    let refusal = place.refusal(125, &["run", "--rm", "--network", "none", "--log-driver", "journald", "box", "true"]);
    assert!(refusal.contains("connect to the journal at"), "{refusal}");
    place.assert_nothing_left();
}

#[test]
fn what_is_no_utf8_is_refused() {
    let place = Place::new();
    for (arguments, odd) in [
        (&["run", "-v"][..], &b"/\xff:/x"[..]),
        (&["run", "--network", "none"], b"box\xff!"),
        (&["create", "box"], b"echo \xff"),
    ] {
        let output = place.command(arguments).arg(OsStr::from_bytes(odd)).arg("box").output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(125), "{errors}");
        assert!(errors.contains("invalid UTF-8") && is_one_sentence(&errors), "{errors}");
    }
    place.assert_nothing_left();
}
