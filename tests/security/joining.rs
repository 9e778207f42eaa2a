//! A process on its way into a container (CVE-2016-9962): it is in the container's namespaces and still has what it
//! brought along. Nobody inside may trace it, or reach its descriptors, its root or its program.

use crate::attacker;
use crate::harness::wait::read_until;
use crate::harness::{Bundle, Container};

/// Every way into a process that the attacker tries.
const WAYS: [&str; 10] = ["fd/0", "fd/1", "fd/2", "root", "cwd", "exe", "ns/mnt", "mem", "pidfd_getfd", "ptrace"];

#[track_caller]
fn assert_closed(tries: &str) {
    assert!(tries.contains("process\n"), "the attacker met nobody: {tries}");
    for way in WAYS {
        let answer = tries.lines().find_map(|line| line.strip_prefix(way)?.strip_prefix(' '));
        let answer = answer.unwrap_or_else(|| panic!("{way} was not tried: {tries}"));
        assert!(matches!(answer, "EACCES" | "EPERM"), "{way} {answer}: {tries}");
    }
}

/// Makes the container's program an ambush on whoever executes `program`, and starts it.
#[track_caller]
fn lie_in_wait(bundle: &mut Bundle, program: &str) -> Container {
    attacker::enter(bundle);
    bundle.config.args(["attacker", "ambush", program]);
    bundle.start_until("waiting").0
}

#[test]
fn exec() {
    let mut bundle = Bundle::new();
    bundle.write_file("rootfs/bin/victim", "#!/bin/true\n");
    crate::harness::host(&format!("chmod 755 {}/bin/victim", bundle.rootfs.display()));
    let container = lie_in_wait(&mut bundle, "/bin/victim");
    let ran = container.exec(["victim"]);
    assert_eq!(container.process.wait(), 0, "{ran}: {}", container.printed());
    assert_closed(&container.printed());
}

#[test]
fn the_first_process() {
    // In a pid namespace that is there already, as in a pod.
    let mut ambush = Bundle::new();
    let shared = ambush.make_directory("shared");
    ambush.write_file("shared/victim", "#!/bin/true\n");
    crate::harness::host(&format!("chmod 755 {}/victim", shared.display()));
    ambush.config.bind(&shared, "/shared", &["bind"]);
    let container = lie_in_wait(&mut ambush, "/shared/victim");
    let mut bundle = Bundle::new();
    bundle.config.bind(&shared, "/shared", &["bind"]).join_namespace("pid", container.namespace_path("pid"));
    bundle.config.args(["/shared/victim"]);
    let ran = bundle.run();
    assert_eq!(container.process.wait(), 0, "{ran}: {}", container.printed());
    assert_closed(&container.printed());
}

#[test]
fn the_first_process_of_a_new_user_namespace() {
    // It is born with every right in its namespace, and the owner of that is root: a root of few capabilities that
    // sees the process could take it over before its ids are mapped.
    let mut watching = Bundle::new();
    attacker::enter(&watching);
    watching.config.without_namespace("pid").stay();
    let watcher = watching.start();
    let mut bundle = Bundle::new();
    crate::harness::host(&format!("chown -R --no-dereference 100000:100000 {}", bundle.rootfs.display()));
    bundle.config.user_namespace(100_000);
    let (reader, errors) = std::io::pipe().expect("make a pipe");
    let (stdin, word) = std::io::pipe().expect("make a pipe");
    let call = bundle.run_call().arg(&bundle.id).through([attacker::text(), "hold", "/uid_map"]);
    let running = call.stderr(errors).stdin(stdin).spawn();
    read_until(reader, "held");
    let runtime = child_of(&running.pid().to_string());
    let tries = watcher.exec(["attacker", "look-into", &child_of(&runtime)]);
    drop(word);
    let ran = running.wait();
    assert_eq!(ran.code, 0, "{ran}");
    assert_closed(&format!("process\n{}", tries.stdout));
}

/// The one child of a process.
#[track_caller]
fn child_of(pid: &str) -> String {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
    let child = children.trim();
    assert!(!child.is_empty() && !child.contains(' '), "{pid} has not one child but {children:?}");
    child.to_owned()
}
