//! Descriptors of the host (CVE-2024-21626): until execve(2) has closed them, `/proc/self/fd/N` leads out of the
//! container, as the program, as its interpreter and as the working directory.

use std::fs;

use crate::attacker;
use crate::harness::call::Ran;
use crate::harness::host::write_program;
use crate::harness::{Bundle, Call};

/// Opens a directory of the host before a call, as descriptor 7.
fn careless(call: Call, directory: &std::path::Path) -> Call {
    call.after(&format!("exec 7<{}", directory.display()))
}

/// The numbers that a descriptor of the runtime, or of whoever called it, may have.
const NUMBERS: std::ops::Range<u32> = 3..64;

/// Every way to a directory of the host through a descriptor that is open somewhere on the host.
fn ways_out(directory: &std::path::Path) -> Vec<String> {
    let up = "/..".repeat(16);
    NUMBERS.map(|number| format!("/proc/self/fd/{number}{up}{}", directory.display())).collect()
}

/// A bundle whose PATH leads out of it by every descriptor.
fn bundle_with_path_out() -> (Bundle, std::path::PathBuf) {
    let mut bundle = Bundle::new();
    let outside = attacker::on_the_host(&bundle);
    let path = [vec!["/bin".to_owned(), "/proc/self/fd/7".to_owned()], ways_out(&outside)].concat().join(":");
    bundle.config.set("/process/env", vec![format!("PATH={path}")]);
    (bundle, outside)
}

#[track_caller]
fn assert_confined(ran: &Ran) {
    assert!(!ran.stdout.contains("escaped"), "a program of the host ran in the container: {ran}");
    assert_ne!(ran.code, 0, "{ran}");
}

#[test]
fn the_program_of_run() {
    let (mut bundle, outside) = bundle_with_path_out();
    bundle.config.args(["escape", "escaped"]);
    assert_confined(&careless(bundle.run_call().arg(&bundle.id), &outside).run());
}

#[test]
fn the_program_of_create() {
    let (mut bundle, outside) = bundle_with_path_out();
    bundle.config.args(["escape", "escaped"]);
    let created = careless(bundle.create_call().arg(&bundle.id), &outside).run();
    assert_confined(&created);
}

#[test]
fn the_program_of_exec() {
    let (mut bundle, outside) = bundle_with_path_out();
    bundle.config.stay();
    let container = bundle.start();
    assert_confined(&careless(container.call("exec").args([&container.id, "escape", "escaped"]), &outside).run());
}

#[test]
fn a_link_of_the_image_as_program_of_exec() {
    let mut bundle = Bundle::staying();
    let outside = attacker::on_the_host(&bundle);
    let container = bundle.start();
    for (number, way) in ways_out(&outside).iter().enumerate() {
        std::os::unix::fs::symlink(format!("{way}/escape"), bundle.rootfs.join(format!("bin/tool-{number}")))
            .expect("link");
    }
    let tools = container.shell("ls /bin | grep tool-");
    assert_eq!(tools.lines().count(), NUMBERS.count(), "{tools}");
    // One after the other, but only a few by a call: the shell itself has none of the runtime's descriptors.
    for tool in tools.lines().take(24) {
        assert_confined(&container.call("exec").args([&container.id, tool, "escaped"]).run());
    }
    bundle.config.stay();
}

#[test]
fn the_interpreter_of_a_script() {
    let mut bundle = Bundle::new();
    let outside = attacker::on_the_host(&bundle);
    write_program(&bundle.rootfs.join("bin/script"), "#!/proc/self/fd/7/escape escaped\n");
    bundle.config.args(["script"]);
    assert_confined(&careless(bundle.run_call().arg(&bundle.id), &outside).run());
    bundle.config.stay();
    let container = bundle.start();
    assert_confined(&careless(container.call("exec").args([&container.id, "script"]), &outside).run());
}

#[test]
fn the_working_directory() {
    let mut bundle = Bundle::new();
    let outside = attacker::on_the_host(&bundle);
    // Relative to a directory of the host the container's own busybox finds the host's files.
    bundle.config.script("ls escape ../host-only");
    for cwd in ["/proc/self/fd/7", "/proc/thread-self/fd/7", "/work"] {
        bundle.config.set("/process/cwd", cwd);
        let _ = std::os::unix::fs::symlink("/proc/self/fd/7", bundle.rootfs.join("work"));
        assert_confined(&careless(bundle.run_call().arg(&bundle.id), &outside).run());
    }
    bundle.config.set("/process/cwd", "/").stay();
    let container = bundle.start();
    for cwd in ["/proc/self/fd/7", "/proc/thread-self/fd/7", "/work"] {
        let call = container.call("exec").args(["--cwd", cwd, &container.id, "ls", "escape"]);
        assert_confined(&careless(call, &outside).run());
    }
}

#[test]
fn the_working_directory_through_a_descriptor_that_is_passed_on() {
    // The caller gives a directory away, and nobody may start in it all the same: `..` leads on from there.
    let bundle = Bundle::staying();
    let outside = attacker::on_the_host(&bundle);
    let container = bundle.start();
    let call = container.call("exec").args(["--preserve-fds", "1", "--cwd", "/proc/self/fd/3", &container.id, "pwd"]);
    let ran = call.after(&format!("exec 3<{}", outside.display())).run().failed(255, &["working directory"]);
    assert_confined(&ran);
}

/// The numbers of the mounts in a mountinfo table.
fn mount_numbers(table: &str) -> Vec<&str> {
    table.lines().filter_map(|line| line.split(' ').next()).collect()
}

#[test]
fn what_is_open_before_the_start() {
    // An init that waits has descriptors of its own. None may be a directory outside of its mount namespace.
    let bundle = Bundle::staying();
    let outside = attacker::on_the_host(&bundle);
    let container = bundle.create_with(|call| careless(call, &outside));
    let table = container.proc_file("mountinfo");
    let mounts = mount_numbers(&table);
    let directory = format!("/proc/{}/fd", container.process.pid);
    let mut seen = 0;
    for entry in fs::read_dir(&directory).expect("look at the descriptors of init").flatten() {
        seen += 1;
        if !fs::metadata(entry.path()).is_ok_and(|file| file.is_dir()) {
            continue;
        }
        let number = entry.file_name().into_string().expect("a number is text");
        let about = container.proc_file(&format!("fdinfo/{number}"));
        let mount =
            about.lines().find_map(|line| line.strip_prefix("mnt_id:")).expect("a descriptor has a mount").trim();
        let link = fs::read_link(entry.path()).expect("read a descriptor's link");
        assert!(mounts.contains(&mount), "descriptor {number} leads to {} outside:\n{table}", link.display());
    }
    assert!(seen >= 3, "no descriptors were found");
}
