//! The runtime's own program (CVE-2019-5736): a container can run it, as `/proc/self/exe` is the runtime's until
//! execve(2), and keep hold of its file. The host's file must not be open to writing by that.
//!
//! All of this is done to a copy of the runtime, so that a success harms nobody.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::attacker;
use crate::harness::host::{copy_program, write_program};
use crate::harness::wait::Process;
use crate::harness::{Bundle, Call, Container, call};
use crate::rootless::Rootless;

/// A copy of the runtime in the bundle, and in the container what it takes to run it there.
fn copy_of_the_runtime(bundle: &Bundle) -> PathBuf {
    let copy = bundle.path("corten");
    copy_program(&call::program(), &copy);
    for library in libraries(&copy) {
        let inside = bundle.rootfs.join(library.strip_prefix("/").expect("a library's path is absolute"));
        fs::create_dir_all(inside.parent().expect("a library is in a directory")).expect("make a library's directory");
        copy_program(&library, &inside);
    }
    copy
}

/// The libraries that a program is loaded with; none of a static one.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("run ldd");
    let text = String::from_utf8(output.stdout).expect("ldd prints text");
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// Calls a copy of the runtime on a bundle's state.
fn call_copy(runtime: &Path, bundle: &Bundle, command: &str) -> Call {
    Call::of(runtime, &bundle.directory).arg("--root").arg(&bundle.state).arg(command)
}

/// A container whose attacker waits, under a copy of the runtime.
fn start(runtime: &Path, bundle: &mut Bundle) -> Container {
    attacker::enter(bundle);
    // A configuration that the runtime, run inside, waits for.
    fs::create_dir_all(bundle.rootfs.join("b")).expect("make a directory in the root");
    Command::new("mkfifo").arg(bundle.rootfs.join("b/config.json")).status().expect("run mkfifo");
    bundle.config.stay();
    let run = call_copy(runtime, bundle.write(), "run").args(["--detach", "--pid-file"]).arg(bundle.pid_file());
    Container::made(bundle, &bundle.id, run.arg("--bundle").arg(&bundle.directory).arg(&bundle.id).ok())
}

/// Runs a program in the container and does not wait for it: its process, and where its output goes.
fn exec_detached<I>(call: Call, bundle: &Bundle, id: &str, arguments: I) -> (Process, PathBuf)
where
    I: IntoIterator<Item: AsRef<OsStr>>,
{
    let ran = call.args(["--detach", "--pid-file"]).arg(bundle.pid_file()).arg(id).args(arguments).ok();
    let pid = fs::read_to_string(bundle.pid_file()).expect("read the pid file");
    (Process::watch(pid.parse().expect("a pid file is a number")), ran.output)
}

/// The number of a process in its own pid namespace.
fn pid_inside(process: &Process) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).expect("read a process's status");
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("a status has pids");
    numbers.split_whitespace().last().expect("there is one at least").to_owned()
}

/// A process that runs `running` in the container takes hold of its program, the runtime; then the runtime's file is
/// written to by every way there is. `exec` makes a call of `exec`.
fn steal(bundle: &Bundle, id: &str, exec: impl Fn() -> Call, running: &[&str]) -> String {
    let (victim, _) = exec_detached(exec(), bundle, id, running);
    let exe = fs::read_link(format!("/proc/{}/exe", victim.pid)).expect("read the victim's program");
    assert!(!exe.starts_with("/bin"), "the container does not run the runtime but {}", exe.display());
    let tries = send_thief(exec(), bundle, id, &pid_inside(&victim));
    victim.wait();
    tries
}

fn send_thief(exec: Call, bundle: &Bundle, id: &str, victim: &str) -> String {
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let (thief, output) = exec_detached(exec.stdin(reader), bundle, id, ["attacker", "steal", victim]);
    // The call has ended, and with it the last process of the host that runs the runtime.
    drop(writer);
    thief.wait();
    fs::read_to_string(output).expect("read the thief's output")
}

#[track_caller]
fn assert_intact(runtime: &Path, tries: &str) {
    assert!(tries.contains("running") && tries.contains("write-at-last"), "the attack was not made: {tries}");

    assert!(!tries.contains("done"), "the runtime's program could be got at: {tries}");
    let same = fs::read(runtime).expect("read the copy") == fs::read(call::program()).expect("read the runtime");
    assert!(same, "the runtime's program was overwritten: {tries}");
    assert!(
        Command::new(runtime).arg("--version").output().is_ok_and(|ran| ran.status.success()),
        "the copy is broken"
    );
}

#[test]
fn as_program_of_exec() {
    let mut bundle = Bundle::new();
    let runtime = copy_of_the_runtime(&bundle);
    bundle.config.all_capabilities();
    let container = start(&runtime, &mut bundle);
    let exec = || call_copy(&runtime, &bundle, "exec");
    let tries = steal(&bundle, &container.id, exec, &["/proc/self/exe", "plan", "--bundle", "/b"]);
    assert_intact(&runtime, &tries);
}

#[test]
fn as_interpreter_of_a_script() {
    let mut bundle = Bundle::new();
    let runtime = copy_of_the_runtime(&bundle);
    bundle.config.all_capabilities();
    // The kernel adds the script's path, which is no container's id; the configuration is waited for before that matters.
    write_program(&bundle.rootfs.join("bin/script"), "#!/proc/self/exe create\n");
    let container = start(&runtime, &mut bundle);
    let exec = || call_copy(&runtime, &bundle, "exec").args(["--cwd", "/b"]);
    assert_intact(&runtime, &steal(&bundle, &container.id, exec, &["script"]));
}

#[test]
fn as_a_link_of_the_image() {
    let mut bundle = Bundle::new();
    let runtime = copy_of_the_runtime(&bundle);
    bundle.config.all_capabilities();
    std::os::unix::fs::symlink("/proc/self/exe", bundle.rootfs.join("bin/bash")).expect("link");
    let container = start(&runtime, &mut bundle);
    let exec = || call_copy(&runtime, &bundle, "exec");
    assert_intact(&runtime, &steal(&bundle, &container.id, exec, &["bash", "plan", "--bundle", "/b"]));
}

#[test]
fn as_entry_point() {
    // The thief is in another container, which shares its pid namespace: the end of its own first process would end it.
    let mut thieves = Bundle::new();
    let runtime = copy_of_the_runtime(&thieves);
    thieves.config.all_capabilities();
    let thief = start(&runtime, &mut thieves);
    let mut bundle = Bundle::new();
    copy_of_the_runtime(&bundle);
    Command::new("mkfifo").arg(bundle.rootfs.join("config.json")).status().expect("run mkfifo");
    bundle.config.all_capabilities().join_namespace("pid", thief.namespace_path("pid"));
    bundle.config.args(["/proc/self/exe", "plan", "--bundle", "/"]);
    let run = call_copy(&runtime, bundle.write(), "run").args(["--detach", "--pid-file"]).arg(bundle.pid_file());
    let victim = Container::made(&bundle, &bundle.id, run.arg("--bundle").arg(&bundle.directory).arg(&bundle.id).ok());
    let exec = call_copy(&runtime, &thieves, "exec");
    let tries = send_thief(exec, &thieves, &thief.id, &pid_inside(&victim.process));
    victim.process.wait();
    assert_intact(&runtime, &tries);
}

#[test]
fn of_an_ordinary_user() {
    // Who can't mount runs a copy in memory, which must not be open to writing either.
    let mut rootless = Rootless::new();
    copy_of_the_runtime(&rootless.bundle);
    rootless.own();
    attacker::enter(&rootless.bundle);
    fs::create_dir(rootless.bundle.rootfs.join("b")).expect("make a directory in the root");
    Command::new("mkfifo").arg(rootless.bundle.rootfs.join("b/config.json")).status().expect("run mkfifo");
    rootless.own();
    rootless.bundle.config.all_capabilities().stay();
    let container = rootless.start();
    let exec = || rootless.call("exec");
    let tries = steal(&rootless.bundle, &container.id, exec, &["/proc/self/exe", "plan", "--bundle", "/b"]);
    assert_intact(&rootless.bundle.path("corten"), &tries);
}
