//! An ordinary user, with a part of the tree of groups and without one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::group::{Group, MIB, MOUNT_POINT};
use crate::harness::host::{copy_program, unique};
use crate::harness::{Bundle, Call, Container, host, host_fails};

/// The machine's one ordinary user.
pub const USER: u32 = 4000;

/// A bundle of the user's, with a copy of the runtime that the user can reach.
pub fn bundle() -> Bundle {
    let mut bundle = Bundle::staying();
    copy_program(&crate::harness::call::program(), &bundle.path("corten"));
    bundle.config.without_namespace("network").remove("/linux/resources");
    bundle.config.without_mount("/sys").without_mount("/sys/fs/cgroup").without_mount("/dev/pts");
    bundle.config.namespace("user");
    for ids in ["/linux/uidMappings", "/linux/gidMappings"] {
        bundle.config.set(ids, json!([{"containerID": 0, "hostID": USER, "size": 1}]));
    }
    host(&format!("chown -R --no-dereference {USER}:{USER} {}", bundle.directory.display()));
    bundle
}

/// A group of the user's own, as cgroups(7) has it: the directory, and the files that move processes and hand down
/// controllers. The user's processes are in one below.
struct Delegated(PathBuf);

impl Delegated {
    fn make() -> Delegated {
        let path = Path::new(MOUNT_POINT).join(unique("above")).join("delegated");
        host(&format!(
            "echo '+cpu +memory +pids' >{MOUNT_POINT}/cgroup.subtree_control
             mkdir -p {0}/caller; cd {0}
             echo '+cpu +memory +pids' >../cgroup.subtree_control
             chown {USER} . cgroup.procs cgroup.threads cgroup.subtree_control caller caller/cgroup.procs",
            path.display()
        ));
        Delegated(path)
    }

    /// A call by the user, from within.
    fn call(&self, bundle: &Bundle, command: &str) -> Call {
        let call =
            Call::of(bundle.write().path("corten"), &bundle.directory).arg("--root").arg(&bundle.state).arg(command);
        let id = USER.to_string();
        let call = call.through(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"]);
        call.after(&format!("echo $$ >{}/caller/cgroup.procs", self.0.display()))
    }

    #[track_caller]
    fn start(&self, bundle: &Bundle) -> Container {
        let call = self.call(bundle, "run").arg("--detach").arg("--bundle").arg(&bundle.directory);
        let ran = call.arg("--pid-file").arg(bundle.pid_file()).arg(&bundle.id).ok();
        Container::made(bundle, &bundle.id, ran)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let above = self.0.parent().expect("it has one above");
        let _ = fs::write(above.join("cgroup.kill"), "1");
        host_fails(&format!("find {} -depth -type d -exec rmdir {{}} +", above.display()));
    }
}

#[test]
fn a_delegated_group_is_used() {
    let delegated = Delegated::make();
    let mut bundle = bundle();
    bundle
        .config
        .set("/linux/resources", json!({"memory": {"limit": 32 * MIB, "swap": 32 * MIB}, "pids": {"limit": 20}}));
    let container = delegated.start(&bundle);
    let group = Group::of(&container);
    assert_eq!(group.0, delegated.0.join(&container.id), "beside the caller's");
    group.holds(&[("memory.max", "33554432"), ("pids.max", "20")]);
    let id = container.id.as_str();
    let use_up = ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1"];
    let killed = delegated.call(&bundle, "exec").arg(id).args(use_up).run();
    assert_eq!(killed.code, 137, "{killed}");
    assert_eq!(group.count("memory.events", "oom_kill"), 1);
    delegated.call(&bundle, "update").args(["--pids-limit", "30", id]).ok();
    group.holds(&[("memory.max", "33554432"), ("pids.max", "30")]);
    delegated.call(&bundle, "pause").arg(id).ok();
    group.holds(&[("cgroup.freeze", "1")]);
    delegated.call(&bundle, "resume").arg(id).ok();
    delegated.call(&bundle, "kill").args([id, "KILL"]).ok();
    container.process.wait();
    delegated.call(&bundle, "delete").arg(id).ok();
    assert!(!group.0.exists());
    bundle.assert_nothing_left();
}

#[test]
fn a_controller_that_was_not_delegated_is_named() {
    let delegated = Delegated::make();
    let mut bundle = bundle();
    bundle.config.set("/linux/resources", json!({"pids": {"limit": 20}, "cpu": {"cpus": "0"}}));
    let call = delegated.call(&bundle, "create").arg("--bundle").arg(&bundle.directory);
    call.arg(&bundle.id).run().refused(&[
        "linux.resources.cpu.cpus",
        "+cpuset",
        "not delegated to this user",
        "permission denied",
    ]);
    assert!(!delegated.0.join(&bundle.id).exists());
    bundle.assert_nothing_left();
}

/// A call by the user from a group of root's.
fn undelegated(bundle: &Bundle, command: &str) -> Call {
    let call = Call::of(bundle.write().path("corten"), &bundle.directory).user(USER, USER);
    call.arg("--root").arg(&bundle.state).arg(command).arg("--bundle").arg(&bundle.directory)
}

#[test]
fn without_one_a_container_without_limits_runs() {
    let mut bundle = bundle();
    bundle.config.script("echo in");
    let ran = undelegated(&bundle, "run").arg(&bundle.id).ok();
    assert_eq!(ran.stdout, "in\n", "{ran}");
    bundle.assert_nothing_left();
}

#[test]
fn without_one_a_container_with_limits_is_refused() {
    let mut bundle = bundle();
    for (resources, field) in [
        (json!({"pids": {"limit": 100}}), "linux.resources.pids.limit"),
        (json!({"memory": {"limit": 32 * MIB}}), "linux.resources.memory.limit"),
        (json!({"unified": {"memory.high": "max"}}), "linux.resources.unified[\"memory.high\"]"),
    ] {
        bundle.config.set("/linux/resources", resources);
        let ran = undelegated(&bundle, "create").arg(&bundle.id).run();
        ran.refused(&[
            &format!("{field}: it needs a cgroup, and this user may not make one"),
            "permission denied",
            "Delegate=yes",
        ]);
        bundle.assert_nothing_left();
    }
    bundle.config.remove("/linux/resources").set("/linux/cgroupsPath", "/not/for/users");
    undelegated(&bundle, "create").arg(&bundle.id).run().refused(&["linux.cgroupsPath: it needs a cgroup"]);
    bundle.assert_nothing_left();
}
