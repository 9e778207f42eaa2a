//! Flags that change how containers are made, runc's and crun's.

use std::fs;

use super::bare;
use crate::harness::host::unshare;
use crate::harness::{Bundle, Container, host};

#[test]
fn cgroup_managers() {
    let bundle = Bundle::staying();
    bundle.write();
    let with = |manager: &str| {
        let call = bare(&bundle).arg("--root").arg(&bundle.state).args(["--cgroup-manager", manager, "create"]);
        call.arg("--pid-file").arg(bundle.pid_file()).arg("--bundle").arg(&bundle.directory).arg(&bundle.id)
    };
    let container = Container::made(&bundle, &bundle.id, with("cgroupfs").ok());
    assert!(container.proc_file("cgroup").contains(&bundle.id));
    container.delete();

    let own = fs::read_to_string("/proc/thread-self/cgroup").expect("read the tests' control group");
    let container = Container::made(&bundle, &bundle.id, with("disabled").ok());
    assert_eq!(container.proc_file("cgroup"), own, "no control group of its own");
    assert_eq!(crate::harness::leftovers::cgroups_of(&bundle.id), Vec::<std::path::PathBuf>::new());
    container.start();
    container.stop();
    container.delete();
    with("no-such-manager").run().refused(&["no-such-manager"]);
    bundle.assert_nothing_left();
}

#[test]
fn the_systemd_driver_without_systemd() {
    if std::path::Path::new("/run/systemd/system").exists() {
        crate::skip!("systemd runs here, and its driver has tests of its own");
    }
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/cgroupsPath", format!("system.slice:corten:{}", bundle.id));
    bundle.write();
    let call = bare(&bundle).arg("--root").arg(&bundle.state).args(["--systemd-cgroup", "create", "--bundle"]);
    call.arg(&bundle.directory).arg(&bundle.id).run().refused(&["systemd"]);
    bundle.assert_nothing_left();
}

#[test]
fn flags_of_the_other_runtimes_are_taken() {
    let bundle = Bundle::script("echo out");
    let call = bundle.run_call().args(["--no-subreaper", "--no-new-keyring", "--no-pivot", "--preserve-fds", "0"]);
    assert_eq!(call.arg(&bundle.id).ok().stdout, "out\n");
    for rootless in ["true", "false", "auto"] {
        let call = bare(&bundle).args(["--rootless", rootless, "--root"]).arg(&bundle.state).arg("run");
        assert_eq!(call.arg("--bundle").arg(&bundle.directory).arg(&bundle.id).ok().stdout, "out\n");
    }
    let call = bare(&bundle).args(["--rootless", "perhaps", "--root"]).arg(&bundle.state).arg("list");
    call.run().refused(&["rootless"]);
}

#[test]
fn no_pivot_changes_the_root_all_the_same() {
    let bundle = Bundle::script("ls /bin/busybox; ls /tmp/corten-tests 2>/dev/null || echo confined; ls -a / | wc -l");
    let plain = bundle.output();
    let moved = bundle.run_call().args(["--no-pivot", &bundle.id]).ok().stdout;
    assert_eq!(plain, moved);
    assert!(moved.contains("confined"), "{moved}");
}

#[test]
fn a_new_session_keyring_unless_asked_not_to() {
    let mut bundle = Bundle::new();
    bundle.add_probe();
    bundle.config.args(["probe", "keyring"]);
    let name = bundle.output();
    assert_eq!(name, format!("_ses.{}\n", bundle.id));
    let own = bundle.run_call().args(["--no-new-keyring", &bundle.id]).ok().stdout;
    assert_ne!(own, name);
}

#[test]
fn the_runtime_finds_cgroup2_wherever_it_is_mounted() {
    let mut bundle = Bundle::staying();
    let place = bundle.make_directory("cgroups");
    unshare(rustix::thread::UnshareFlags::NEWNS);
    host(&format!(
        "while mountpoint -q /sys/fs/cgroup; do umount --recursive --lazy /sys/fs/cgroup; done
         mount -t cgroup2 cgroup2 {}",
        place.display()
    ));
    bundle.accept_mounts();
    let container = bundle.create();
    let group = container.group();
    assert!(group.ends_with(&container.id), "the container is in the group {group:?}");
    assert!(place.join(group.trim_start_matches('/')).is_dir(), "no group {group} at {}", place.display());
    container.start();
    container.ok("pause");
    assert_eq!(container.status(), "paused");
    container.ok("resume");
    container.stop();
    container.delete();
}
