//! SELinux: `process.selinuxLabel`, `linux.mountLabel`, and the label of the keyring. On a machine that was booted with it, the
//! second boot of `make vm`, and under a policy of the tests' own, `selinux.cil`.

use std::path::Path;
use std::sync::LazyLock;

use crate::harness::{Bundle, host};
use crate::skip;

const CONTAINER: &str = "test_u:test_r:container_t";
const OTHER: &str = "test_u:test_r:other_t";
const FILES: &str = "test_u:object_r:container_file_t";

/// Loads the policy, which `integration/vm/run` has compiled, and puts it in force.
static POLICY: LazyLock<bool> = LazyLock::new(|| {
    // The kernel makes the mount point where SELinux is on (selinuxfs).
    if !Path::new("/sys/fs/selinux").exists() {
        return false;
    }
    host(
        "[ -e /sys/fs/selinux/load ] || mount -t selinuxfs selinuxfs /sys/fs/selinux
        dd if=/payload/selinux.policy of=/sys/fs/selinux/load bs=1M 2>/dev/null; echo 1 >/sys/fs/selinux/enforce",
    );
    true
});

/// A bundle whose program has a label, if there is SELinux.
fn labelled() -> Option<Bundle> {
    POLICY.then(|| {
        let mut bundle = Bundle::new();
        bundle.config.set("/process/selinuxLabel", CONTAINER);
        bundle
    })
}

const WHY: &str = "this machine was booted without SELinux";

const TRY: &str = "tr -d '\\0' </proc/self/attr/current; echo; echo text >/tmp/file && echo written";

#[test]
fn the_label_is_the_programs_and_holds() {
    let Some(mut bundle) = labelled() else { skip!("{WHY}") };
    for no_new_privileges in [true, false] {
        bundle.config.set("/process/noNewPrivileges", no_new_privileges).args(["sh", "-c", TRY]);
        let ran = bundle.run();
        assert_eq!(ran.stdout, format!("{CONTAINER}\n"), "{ran}");
        assert!(ran.code != 0 && ran.stderr.contains("Permission denied"), "{ran}");
    }
}

#[test]
fn without_a_label_the_program_has_the_callers() {
    if !*POLICY {
        skip!("{WHY}");
    }
    let shown = Bundle::new().shell(TRY);
    assert_eq!(shown, "test_u:test_r:host_t\nwritten\n");
}

#[test]
fn exec_has_the_containers_label_or_its_own() {
    let Some(mut bundle) = labelled() else { skip!("{WHY}") };
    bundle.config.stay();
    let container = bundle.start();
    assert_eq!(container.proc_file("attr/current").trim_end_matches('\0'), CONTAINER);
    let show = ["sh", "-c", "tr -d '\\0' </proc/self/attr/current"];
    assert_eq!(container.exec(show).stdout, CONTAINER);
    let other = container.call("exec").args(["--process-label", OTHER, &container.id]).args(show).ok();
    assert_eq!(other.stdout, OTHER, "{other}");
}

#[test]
fn a_label_that_the_policy_does_not_have_is_refused() {
    let Some(mut bundle) = labelled() else { skip!("{WHY}") };
    bundle.config.set("/process/selinuxLabel", "test_u:test_r:nobody_t");
    bundle.refused(&["process.selinuxLabel"]);
    bundle.config.set("/process/selinuxLabel", CONTAINER).set("/linux/mountLabel", "test_u:object_r:nobody_t");
    bundle.refused(&["mounts["]);
}

#[test]
fn mounts_have_the_mount_label() {
    let Some(mut bundle) = labelled() else { skip!("{WHY}") };
    bundle.config.set("/linux/mountLabel", FILES);
    bundle.config.mount("/tmp", "tmpfs", "tmpfs", &["mode=1777"]).args(["sh", "-c", TRY]);
    assert_eq!(bundle.output(), format!("{CONTAINER}\nwritten\n"));
    // A mask, and what takes no label as an option.
    bundle.config.set("/linux/maskedPaths", serde_json::json!(["/usr"]));
    for place in ["/tmp", "/dev", "/dev/shm", "/dev/pts", "/dev/mqueue", "/usr"] {
        assert_eq!(bundle.probe(&["file-label", place]), format!("{FILES}\n"), "{place}");
    }
}

#[test]
fn the_keyring_has_the_programs_label() {
    let Some(mut bundle) = labelled() else { skip!("{WHY}") };
    assert_eq!(bundle.probe(&["keyring-label"]), format!("{CONTAINER}\n"));
    bundle.config.stay();
    assert_eq!(bundle.start().exec(["probe", "keyring-label"]).stdout, format!("{CONTAINER}\n"));
}

#[test]
fn features_tell_of_it() {
    let features = Bundle::new().call("features").ok().json();
    assert_eq!(features["linux"]["selinux"]["enabled"], true);
}
