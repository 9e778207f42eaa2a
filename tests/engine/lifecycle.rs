use std::fs;
use std::process::Stdio;

use rustix::fs::{FlockOperation, flock};

use crate::harness::{Place, until};
use crate::lock;

#[test]
fn a_container_is_run_and_gone() {
    let place = Place::new();
    assert_eq!(place.inside(&[], "echo out; echo err >&2"), "out\n");
    let (code, output, errors) =
        place.outcome(&["run", "--rm", "--network=none", "box", "sh", "-c", "echo err >&2; exit 7"]);
    assert_eq!((code, output.as_str(), errors.as_str()), (Some(7), "", "err\n"));
    place.assert_nothing_left();
}

#[test]
fn a_life_from_create_to_rm() {
    let place = Place::new();
    let id = place.ctn(&[
        "create",
        "--name",
        "web",
        "--network",
        "none",
        "-e",
        "A=1",
        "box",
        "sh",
        "-c",
        "echo $A $OF; exec sleep 1000",
    ]);
    let id = id.trim();
    assert_eq!(id.len(), 64);
    assert_eq!(place.field("web", ".State.Status"), "created");
    assert_eq!(place.ctn(&["start", "web"]), "web\n");
    assert_eq!(place.field(&id[..12], ".State.Running"), "true");
    until("the log has its line", || place.ctn(&["logs", "web"]) == "1 image\n");
    assert_eq!(place.ctn(&["exec", "web", "echo", "hi"]), "hi\n");
    assert_eq!(place.outcome(&["exec", "web", "sh", "-c", "exit 9"]).0, Some(9));
    // Started again while it runs, it stays as it is.
    let pid = place.field("web", ".State.Pid");
    place.ctn(&["start", "web"]);
    assert_eq!(place.field("web", ".State.Pid"), pid);
    let refusal = place.refusal(1, &["rm", "web"]);
    assert!(refusal.contains("container is running"), "{refusal}");
    place.ctn(&["rename", "web", "other"]);
    assert_eq!(place.ctn(&["stop", "-t", "0", "other"]), "other\n");
    assert_eq!(place.field("other", ".State.ExitCode"), "137");
    assert_eq!(place.ctn(&["wait", "other"]), "137\n");
    place.ctn(&["restart", "other"]);
    assert_eq!(place.field("other", ".State.Status"), "running");
    place.ctn(&["rm", "-f", "other"]);
    assert_eq!(place.refusal(1, &["inspect", "other"]), "Error: No such object: other\n");
    place.assert_nothing_left();
}

/// docker restarts and removes such ones, too.
#[test]
fn one_that_goes_at_its_end_is_restarted_and_removed() {
    let place = Place::new();
    place.detached("goes", &["--rm", "-v", "/data"], "echo started; touch /kept; exec sleep 1000");
    let pid = place.field("goes", ".State.Pid");
    until("it said so", || place.ctn(&["logs", "goes"]) == "started\n");
    assert_eq!(place.ctn(&["restart", "-t", "0", "goes"]), "goes\n");
    assert_ne!(place.field("goes", ".State.Pid"), pid);
    until("it said so again", || place.ctn(&["logs", "goes"]) == "started\nstarted\n");
    assert_eq!(place.ctn(&["exec", "goes", "ls", "/kept"]), "/kept\n");
    assert_eq!(place.field("goes", ".RestartCount"), "0");
    let events = ["events", "--since", "1h", "--until", "0s", "--filter", "container=goes", "--format", "{{.Action}}"];
    let events = place.ctn(&events);
    assert!(events.contains("kill\ndie\nstop\nstart\nrestart\n"), "{events}");
    for _ in 0..5 {
        let (status, output, errors) = place.outcome(&["rm", "-f", "goes"]);
        assert_eq!((status, output.as_str(), errors.as_str()), (Some(0), "goes\n", ""));
        place.assert_nothing_left();
        place.detached("goes", &["--rm"], "exec sleep 1000");
    }
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
    place.ctn(&["stop", "-t", "0", "goes"]);
    place.assert_nothing_left();
    // Who is attached stays so.
    let attached = place.spawn(&["run", "--rm", "--name", "fore", "--network", "none", "box", "sleep", "1000"]);
    until("it runs", || place.outcome(&["inspect", "-f", "{{.State.Running}}", "fore"]).1 == "true\n");
    place.ctn(&["restart", "-t", "0", "fore"]);
    place.ctn(&["kill", "fore"]);
    assert_eq!(attached.wait_with_output().unwrap().status.code(), Some(137));
    place.assert_nothing_left();
}

/// docker's `--interactive` attaches what the program reads, whatever `--attach` says.
#[test]
fn what_is_interactive_reads() {
    let place = Place::new();
    let run = ["run", "-i", "--rm", "--network", "none", "-a", "stdout", "box", "cat"];
    let mut child = place.command(&run).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"through").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"through");
}

/// Who waited for the container's lock finds that it was removed.
#[test]
fn one_that_was_removed_is_not_started() {
    let place = Place::new();
    for command in [&["start", "one"][..], &["rename", "one", "two"], &["update", "--restart", "always", "one"]] {
        let id = place.ctn(&["create", "--name", "one", "--network", "none", "box"]).trim().to_owned();
        let directory = place.store().join("containers").join(&id);
        let other = fs::File::open(&directory).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        let mut child = place.spawn(command);
        lock::wait_for_lock(&mut child);
        fs::remove_dir_all(&directory).unwrap();
        fs::remove_file(place.store().join("names/one")).unwrap();
        drop(other);
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), errors.as_str()),
            (Some(1), "Error: No such container: one\n"),
            "{command:?}"
        );
        let run = place.run().unwrap();
        assert!(!run.join(&id).exists() && !run.join("runtime").join(&id).exists());
        place.ctn(&["ps"]);
    }
}

#[test]
fn what_was_written_stays_until_rm() {
    let place = Place::new();
    place.ctn(&[
        "run",
        "--name",
        "keeper",
        "--network",
        "none",
        "box",
        "sh",
        "-c",
        "echo kept >>/root/file; cat /root/file",
    ]);
    let (_, output, _) = place.outcome(&["start", "-a", "keeper"]);
    assert_eq!(output, "kept\nkept\n");
    place.ctn(&["rm", "keeper"]);
    place.assert_nothing_left();
}

#[test]
fn signals_and_the_stop_signal() {
    let place = Place::new();
    let script = "trap 'echo usr1' USR1; trap 'exit 5' INT; echo ready; while :; do sleep 0.05; done";
    place.detached("traps", &["--stop-signal", "SIGINT"], script);
    until("the traps are set", || place.ctn(&["logs", "traps"]) == "ready\n");
    place.ctn(&["kill", "-s", "USR1", "traps"]);
    until("the signal came", || place.ctn(&["logs", "traps"]) == "ready\nusr1\n");
    place.ctn(&["stop", "traps"]);
    assert_eq!(place.field("traps", ".State.ExitCode"), "5");
    assert!(place.refusal(1, &["kill", "traps"]).contains("is not running"));
}

#[test]
fn a_frozen_container_is_thawed_and_can_be_stopped() {
    let place = Place::new();
    place.detached("ice", &[], "sleep 1000");
    place.ctn(&["pause", "ice"]);
    assert_eq!(place.field("ice", ".State.Status"), "paused");
    assert!(place.ctn(&["ps"]).contains("(Paused)"));
    assert!(place.refusal(1, &["exec", "ice", "true"]).contains("paused"));
    place.ctn(&["unpause", "ice"]);
    assert_eq!(place.field("ice", ".State.Status"), "running");
    place.ctn(&["pause", "ice"]);
    place.ctn(&["rm", "-f", "ice"]);
    place.assert_nothing_left();
}

#[test]
fn wait_waits_for_the_end() {
    let place = Place::new();
    place.detached("waited", &["-i"], "cat >/dev/null; exit 3");
    let waiting = place.spawn(&["wait", "waited"]);
    place.ctn(&["kill", "-s", "KILL", "waited"]);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "137\n");
}

#[test]
fn input_comes_and_ends() {
    use std::io::Write;
    let place = Place::new();
    let mut command = place.command(&["run", "--rm", "-i", "--network", "none", "box", "wc", "-c"]);
    let mut child = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let bytes = vec![b'x'; 3 << 20];
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), bytes.len().to_string());
    // Without -i there is nothing to read.
    assert_eq!(place.inside(&[], "cat"), "");
    place.assert_nothing_left();
}

#[test]
fn a_restart_policy_is_kept_until_somebody_stops_it() {
    let place = Place::new();
    place.detached("again", &["--restart", "on-failure:2"], "echo run; exit 1");
    until("it was started twice more", || place.ctn(&["logs", "again"]) == "run\nrun\nrun\n");
    place.until_field("again", ".State.Status", "exited");
    assert_eq!(place.field("again", ".RestartCount"), "2");
    // It is let rest before each start, every time twice as long; a busy machine makes it later, never sooner.
    let filter = ["events", "--since", "0", "--until", "0s", "--filter", "container=again", "--format"];
    let told = place.ctn(&[&filter[..], &["{{.Action}} {{.TimeNano}}"]].concat());
    let of = |action: &str| -> Vec<u64> {
        let lines = told.lines().filter_map(|line| line.split_once(' '));
        lines.filter(|line| line.0 == action).map(|line| line.1.parse().unwrap()).collect()
    };
    let rests: Vec<u64> = of("die").iter().zip(&of("restart")).map(|(die, again)| (again - die) / 1_000_000).collect();
    assert!(rests.len() == 2 && rests[0] >= 100 && rests[1] >= 200, "{rests:?}: {told}");
    place.detached("always", &["--restart", "always"], "exit 0");
    until("it was started again", || place.field("always", ".RestartCount").parse::<u32>().unwrap() > 1);
    place.ctn(&["stop", "always"]);
    assert_eq!(place.field("always", ".State.Status"), "exited");
    place.ctn(&["rm", "again", "always"]);
    place.assert_nothing_left();
}

#[test]
fn the_id_is_written_where_it_is_wanted() {
    let place = Place::new();
    let id = place.ctn(&["run", "-d", "--network", "none", "--cidfile", "id", "box", "true"]);
    assert_eq!(std::fs::read_to_string(place.join("id")).unwrap(), id.trim());
    let refusal = place.refusal(125, &["run", "--network", "none", "--cidfile", "id", "box", "true"]);
    assert!(refusal.contains("container ID file found"), "{refusal}");
}

#[test]
fn an_init_reaps_and_passes_signals_on() {
    let place = Place::new();
    // What nobody waits for is the first process's, which a shell would leave dead; the second is the program.
    let script = "trap 'echo told; exit 9' TERM; (sleep 0.1 &); echo pid $$; \
                  while :; do sleep 0.05; done";
    place.detached("with", &["--init"], script);
    until("it said its pid", || place.ctn(&["logs", "with"]).starts_with("pid "));
    assert_ne!(place.ctn(&["logs", "with"]), "pid 1\n");
    assert_eq!(place.ctn(&["exec", "with", "cat", "/proc/1/comm"]), "docker-init\n");
    assert_eq!(place.field("with", "json .HostConfig.Init"), "true");
    // `exec` leaves an orphan that ends.
    place.ctn(&["exec", "with", "sh", "-c", "sleep 0.05 & :"]);
    // Of the first process's children none but the program stays, neither alive nor dead.
    let orphans = "cat /proc/[0-9]*/stat 2>/dev/null | grep -c '(sleep) . 1 ' || :";
    until("the orphans are reaped", || place.ctn(&["exec", "with", "sh", "-c", orphans]) == "0\n");
    assert_eq!(
        place.ctn(&["exec", "with", "sh", "-c", "echo x 2>/dev/null >/sbin/docker-init || echo refused"]),
        "refused\n"
    );
    place.ctn(&["stop", "with"]);
    assert_eq!(place.field("with", ".State.ExitCode"), "9");
    assert!(place.ctn(&["logs", "with"]).ends_with("told\n"));
    assert!(!place.ctn(&["diff", "with"]).contains("docker-init"));
    let status =
        |script: &str| place.outcome(&["run", "--rm", "--init", "--network", "none", "box", "sh", "-c", script]).0;
    assert_eq!((status("exit 7"), status("kill -KILL $$")), (Some(7), Some(137)));
    let run = |program: &str| place.outcome(&["run", "--rm", "--init", "--network", "none", "box", program]);
    let (code, _, errors) = run("nonsense");
    assert!(code == Some(127) && errors.contains("nonsense"), "{errors}");
    assert_eq!(run("/not-executable").0, Some(126));
    let user = [
        "run",
        "--rm",
        "--init",
        "--read-only",
        "-u",
        "web",
        "--cap-drop",
        "ALL",
        "--network",
        "none",
        "box",
        "id",
        "-u",
    ];
    assert_eq!(place.ctn(&user), "33\n");
    let refusal = place.refusal(125, &["run", "--rm", "--init", "--pid", "host", "box", "true"]);
    assert!(refusal.contains("--init"), "{refusal}");
    place.ctn(&["rm", "with"]);
    place.assert_nothing_left();
}

#[test]
fn a_container_takes_the_place_of_another() {
    let place = Place::new();
    let first = place.detached("web", &[], "sleep 1000");
    assert!(place.refusal(1, &["create", "--name", "web", "box"]).contains("already in use"));
    let second = place.detached("web", &["--replace"], "sleep 1000");
    assert_ne!(first, second);
    assert_eq!(place.ctn(&["ps", "-aq", "--no-trunc"]), format!("{second}\n"));
    // One that is to go with its end goes before it is removed.
    place.ctn(&["rm", "-f", "web"]);
    place.detached("web", &["--rm", "-v", "/data"], "sleep 1000");
    let second = place.detached("web", &["--replace"], "sleep 1000");
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
    // The beginning of an id is no name.
    let short = &second[..12];
    place.ctn(&["create", "--replace", "--name", short, "--network", "none", "box", "true"]);
    assert_eq!(place.ctn(&["ps", "-aq"]).lines().count(), 2);
    assert!(place.refusal(125, &["run", "--replace", "box", "true"]).contains("without --name"));
    place.ctn(&["rm", "-f", "web", short]);
    place.assert_nothing_left();
}

#[test]
fn who_can_not_be_replaced_stays_as_it_was() {
    let place = Place::new();
    let image = place.join("image").display().to_string();
    let bind = format!("{image}:/data");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let used = format!("127.0.0.1:{}:80", other.local_addr().unwrap().port());
    let publish = ["--network", "bridge", "-p", "127.0.0.1:18085:80"];
    let run = |flags: &[&str]| {
        [&["run", "-d", "--name", "web"], flags, &["--replace", "box", "sleep", "1000"]].concat().join("\n")
    };
    place.ctn(&[&["run", "-d", "--name", "web"], &publish[..], &["-v", &bind, "box", "sleep", "1000"]].concat());
    let before = place.field("web", "json .Id .State .Mounts");
    for (flags, words) in [
        (&["--network", "nonesuch"][..], "network nonesuch not found"),
        (&["-p", &used], "port is already allocated"),
        (&["--mount", "type=bind,src=/nonesuch,dst=/v"], "bind source path does not exist"),
        (&["--pid", "container:web"], "conflicting options"),
        (&["-v", "one:/v", "-v", "two:/v"], "Duplicate mount point"),
        (&["--mount", "dst=/v,volume-opt=size=1m"], "'pquota' mount option"),
        (&["--storage-opt", "size=1m"], "'pquota' mount option"),
    ] {
        let command = run(flags);
        let refusal = place.refusal(125, &command.split('\n').collect::<Vec<_>>());
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
        assert_eq!(place.field("web", "json .Id .State .Mounts"), before, "{flags:?}");
        assert_eq!(place.ctn(&["ps", "-aq"]).lines().count(), 1, "{flags:?}");
    }
    // What it has itself is free for who replaces it, and for who isn't started yet all is.
    place.ctn(&run(&publish).split('\n').collect::<Vec<_>>());
    assert_eq!(place.ctn(&["port", "web"]), "80/tcp -> 127.0.0.1:18085\n");
    place.ctn(&["create", "--replace", "--name", "web", "-p", &used, "box", "true"]);
    assert_eq!(place.field("web", ".State.Status"), "created");
    place.ctn(&["rm", "web"]);
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
    place.assert_nothing_left();
}

/// The disk is full, or somebody has removed what a container is kept in: the last thing of all fails.
#[test]
fn who_is_replaced_by_one_that_can_not_be_written_keeps_name_and_place() {
    let place = Place::new();
    let id = place.detached("web", &[], "sleep 1000");
    let names = place.store().join("names");
    let mut command = std::process::Command::new("strace");
    // The record's temporary file is the only one that is synced.
    command.args([
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        "inject=fsync,fdatasync:error=ENOSPC",
    ]);
    command.arg(crate::harness::ctn());
    let create = ["create", "--replace", "--name", "web", "--network", "none", "box", "true"];
    crate::harness::prepare(&mut command, &place.path, &create);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("no space left"), "{output:?}");
    assert_eq!(std::fs::read_link(names.join("web")).unwrap().to_str(), Some(id.as_str()));
    assert_eq!(place.field("web", ".State.Status"), "running");
    assert_eq!(place.ctn(&["ps", "-aq"]).lines().count(), 1);
    place.ctn(&["rm", "-f", "web"]);
    place.assert_nothing_left();
}

#[test]
fn files_are_made_without_the_bits_of_the_umask() {
    let place = Place::new();
    let script = "touch /tmp/file; stat -c %a /tmp/file";
    assert_eq!(place.inside(&[], script), "644\n");
    assert_eq!(place.inside(&["--umask", "0077"], script), "600\n");
    place.detached("stays", &["--umask", "0007"], "sleep 1000");
    assert_eq!(place.ctn(&["exec", "stays", "sh", "-c", script]), "660\n");
    assert_eq!(place.field("stays", ".Config.Umask"), "0007");
    assert!(place.refusal(125, &["run", "--umask", "9", "box", "true"]).contains("invalid umask"));
    place.ctn(&["rm", "-f", "stays"]);
    place.assert_nothing_left();
}
