//! The agent that answers for a container's system calls (`SCMP_ACT_NOTIFY`): what it is told, and what becomes of a
//! container whose agent is missing, silent or gone.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::LazyLock;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
use serde_json::{Value, json};

use crate::harness::call::Running;
use crate::harness::wait::read_until;
use crate::harness::{Bundle, Call, Ran, probe};

fn program() -> &'static PathBuf {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| probe::compile("agent", include_str!("../helpers/agent.c")));
    &PROGRAM
}

/// Starts an agent at a bundle's `agent.sock`.
#[track_caller]
fn agent(bundle: &Bundle, connections: u32, answer: &str) -> Running {
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let call = Call::of(program(), &bundle.directory).arg(bundle.path("agent.sock"));
    let running = call.args([&connections.to_string(), answer]).stderr(writer).spawn();
    read_until(reader, "listening");
    running
}

/// A bundle in which an agent answers for `names`; the sockets of its rules are in the bundle.
fn asking(names: &[&str]) -> Bundle {
    let mut bundle = Bundle::new();
    let rules = json!([{"names": ["uname"], "action": "SCMP_ACT_LOG"}, {"names": names, "action": "SCMP_ACT_NOTIFY"}]);
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": bundle.text_path("agent.sock"),
        "listenerMetadata": "how to answer", "syscalls": rules});
    bundle.config.set("/linux/seccomp", profile).set("/annotations", json!({"org.example": "x"}));
    bundle
}

/// The messages that an agent was sent, each with the number of descriptors.
#[track_caller]
fn messages(agent: Running) -> Vec<(u32, Value)> {
    let ran = agent.wait();
    assert_eq!(ran.code, 0, "the agent failed: {ran}");
    let split = |line: &str| {
        let (count, text) = line.split_once(' ').expect("a number stands before the message");
        let message = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (count.parse().expect("a number of descriptors"), message)
    };
    ran.stdout.lines().map(split).collect()
}

const MKDIR: [&str; 2] = ["mkdir", "mkdirat"];

#[test]
fn of_a_container_and_of_exec() {
    for no_new_privileges in [true, false] {
        let mut bundle = asking(&MKDIR);
        let agent = agent(&bundle, 2, "28");
        bundle.config.set("/process/noNewPrivileges", no_new_privileges);
        bundle.config.script("mkdir /made 2>&1 || true; sleep infinity");
        let container = bundle.start();
        let ran = container.exec(["mkdir", "/made"]);
        assert!(ran.code == 1 && ran.stderr.contains("No space left on device"), "{ran}");
        container.stop();
        assert!(container.printed().contains("No space left on device"), "{}", container.printed());

        let messages = messages(agent);
        let [(1, init), (1, exec)] = messages.as_slice() else { panic!("{messages:#?}") };
        let pid = container.process.pid.as_raw_nonzero().get();
        let state = |status: &str| {
            json!({"ociVersion": init["state"]["ociVersion"], "id": container.id, "status": status, "pid": pid,
                "bundle": bundle.directory, "annotations": {"org.example": "x"}})
        };
        assert_eq!(init["ociVersion"], init["state"]["ociVersion"]);
        assert_eq!((&init["fds"], &exec["fds"]), (&json!(["seccompFd"]), &json!(["seccompFd"])));
        assert_eq!((&init["metadata"], &exec["metadata"]), (&json!("how to answer"), &json!("how to answer")));
        assert_eq!((&init["state"], &exec["state"]), (&state("creating"), &state("running")));
        assert_eq!(init["pid"], pid);
        assert!(exec["pid"].as_i64().is_some_and(|of_exec| of_exec != i64::from(pid)), "{exec}");
    }
}

#[test]
fn with_every_flag() {
    // A listener and TSYNC need a flag more than the profile has (seccomp(2), SECCOMP_FILTER_FLAG_TSYNC_ESRCH).
    let mut bundle = asking(&MKDIR);
    let agent = agent(&bundle, 2, "28");
    let flags = ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"].map(|name| format!("SECCOMP_FILTER_FLAG_{name}"));
    bundle.config.set("/linux/seccomp/flags", json!(flags)).stay();
    let container = bundle.start();
    assert!(container.exec(["mkdir", "/made"]).stderr.contains("No space left on device"));
    container.stop();
    assert_eq!(messages(agent).len(), 2);
}

#[test]
fn of_a_container_that_waits_for_its_start() {
    let mut bundle = asking(&MKDIR);
    let agent = agent(&bundle, 1, "continue");
    bundle.config.script("mkdir /made && echo made");
    let container = bundle.create();
    assert_eq!(container.start_and_wait(), 0);
    assert_eq!(container.printed(), "made\n");
    assert_eq!(messages(agent).len(), 1);
}

#[test]
fn of_a_container_with_a_user_namespace() {
    let mut bundle = asking(&MKDIR);
    let agent = agent(&bundle, 1, "0");
    bundle.config.user_namespace(100_000);
    // Said to be made, and not made.
    assert_eq!(bundle.shell("mkdir /made; ls -d /made 2>/dev/null || echo no"), "no\n");
    assert_eq!(messages(agent).len(), 1);
}

#[test]
fn named_by_an_annotation() {
    let mut bundle = asking(&MKDIR);
    let agent = agent(&bundle, 2, "28");
    bundle.config.remove("/linux/seccomp/listenerPath");
    bundle.config.set("/annotations", json!({"run.oci.seccomp.receiver": bundle.text_path("agent.sock")})).stay();
    let container = bundle.start();
    assert!(container.exec(["mkdir", "/made"]).stderr.contains("No space left on device"));
    container.stop();
    container.delete();
    assert_eq!(messages(agent).len(), 2);

    bundle.config.set("/annotations", json!({"run.oci.seccomp.receiver": "agent.sock"}));
    bundle.refused(&["run.oci.seccomp.receiver", "is not an absolute path"]);
}

#[test]
fn the_profiles_own_word_counts_before_the_annotation() {
    let mut bundle = asking(&MKDIR);
    let agent = agent(&bundle, 1, "28");
    bundle.config.set("/annotations", json!({"run.oci.seccomp.receiver": "/nobody"}));
    bundle.config.args(["mkdir", "/made"]);
    assert!(bundle.run().stderr.contains("No space left on device"));
    assert_eq!(messages(agent).len(), 1);
}

#[test]
fn that_answers_for_what_init_itself_calls() {
    let mut bundle = asking(&["capset", "execve", "prctl", "read"]);
    let agent = agent(&bundle, 2, "continue");
    bundle.config.stay();
    let container = bundle.start();
    assert_eq!(container.shell("echo x | cat"), "x\n");
    container.stop();
    assert_eq!(messages(agent).len(), 2);
}

/// The rule that asks.
const RULE: &str = "linux.seccomp.syscalls[1]: ";

#[track_caller]
fn assert_refused(ran: Ran, what: &str) {
    ran.refused(&[RULE, "agent.sock\"", what]);
}

#[test]
fn that_is_not_there() {
    let mut bundle = asking(&MKDIR);
    bundle.refused(&[RULE, "agent.sock\": no such file or directory"]);
    drop(UnixListener::bind(bundle.path("agent.sock")).expect("make a socket"));
    bundle.refused(&[RULE, "agent.sock\": connection refused"]);
    std::fs::remove_file(bundle.path("agent.sock")).expect("remove the socket");

    let agent = agent(&bundle, 1, "28");
    bundle.config.stay();
    let container = bundle.start();
    // For the first process there was one.
    container.exec(["true"]).failed(255, &[RULE, "agent.sock\": connection refused"]);
    container.stop();
    assert_eq!(messages(agent).len(), 1);
}

#[test]
fn that_closes_at_once() {
    // Whether the runtime notices or not: what nobody answers for does not exist (seccomp_unotify(2)), and nothing hangs.
    let mut bundle = asking(&MKDIR);
    let agent = agent(&bundle, 1, "close");
    bundle.config.script("mkdir /made 2>&1 || true");
    let ran = bundle.run();
    assert!(ran.stdout.contains("Function not implemented") || ran.stderr.contains(RULE), "{ran}");
    assert_eq!(agent.wait().code, 0);
}

#[test]
fn that_does_not_accept() {
    let bundle = asking(&MKDIR);
    let address = SocketAddrUnix::new(bundle.path("agent.sock")).expect("a path of the tests fits");
    let agent = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("make a socket");
    bind(&agent, &address).expect("name the socket");
    listen(&agent, 0).expect("listen");
    let _first = UnixStream::connect(bundle.path("agent.sock")).expect("fill the queue");
    assert_refused(bundle.create_call().arg(&bundle.id).run(), "connection timed out");
}

#[test]
fn that_does_not_answer() {
    // Calls that init itself makes on the way to the program.
    for name in ["capset", "execve"] {
        let bundle = asking(&[name]);
        let agent = agent(&bundle, 1, "silence");
        assert_refused(bundle.run(), "does not answer");
        assert_eq!(messages(agent).len(), 1);
        bundle.assert_nothing_left();
    }
    let mut bundle = asking(&["execve"]);
    let agent = agent(&bundle, 1, "silence");
    bundle.config.stay();
    let container = bundle.create();
    assert_refused(container.run("start"), "does not answer");
    assert_eq!(container.status(), "stopped");
    assert_eq!(messages(agent).len(), 1);
}

#[test]
fn that_does_not_answer_beside_hooks() {
    // For a hook's program, which init waits for, and for the container's, when the hook is over.
    for (answer, has_run) in [("silence", false), ("continue-1", true)] {
        let mut bundle = asking(&["execve"]);
        bundle.config.hook("startContainer", json!({"path": "/bin/touch", "args": ["touch", "/ran"]}));
        bundle.config.stay();
        let first = agent(&bundle, 1, answer);
        assert_refused(bundle.run(), "does not answer");
        assert_eq!(messages(first).len(), 1);
        bundle.assert_nothing_left();
        assert_eq!(bundle.rootfs.join("ran").exists(), has_run, "{answer}");

        std::fs::remove_file(bundle.path("agent.sock")).expect("remove the socket");
        let second = agent(&bundle, 1, answer);
        let container = bundle.create();
        assert_refused(container.run("start"), "does not answer");
        assert_eq!(container.status(), "stopped");
        assert_eq!(messages(second).len(), 1);
    }
}

#[test]
fn that_has_more_time_when_a_hook_takes_it() {
    // Longer than any agent has, without a time of the hook's own and with one.
    let mut bundle = asking(&["execve"]);
    let agent = agent(&bundle, 2, "continue");
    let hook = json!({"path": "/bin/sleep", "args": ["sleep", "11"]});
    bundle.config.hook("startContainer", hook);
    assert_eq!(bundle.shell("echo ran"), "ran\n");
    bundle.config.set("/hooks/startContainer/0/timeout", 100);
    let container = bundle.create();
    assert_eq!(container.start_and_wait(), 0);
    assert_eq!(container.printed(), "ran\n");
    assert_eq!(messages(agent).len(), 2);
}
