//! `process.apparmorProfile`.

use std::sync::LazyLock;

use crate::harness::{Bundle, host};

/// Allows everything but a directory, and one more that allows another.
static PROFILES: LazyLock<()> = LazyLock::new(|| {
    for (name, denied) in [("corten-test-one", "/tmp/one"), ("corten-test-two", "/tmp/two")] {
        let profile = format!(
            "profile {name} flags=(attach_disconnected,mediate_deleted) {{
                file, capability, network, signal, ptrace, mount, umount, pivot_root, unix, dbus,
                deny {denied} w,
            }}"
        );
        let path = format!("/run/{name}");
        std::fs::write(&path, profile).expect("write a profile");
        host(&format!("apparmor_parser --replace {path}"));
    }
});

const TRY: &str =
    "cat /proc/self/attr/apparmor/current; for name in one two; do (: > /tmp/$name) 2>&1 || :; done; ls /tmp";

fn confined(profile: &str) -> Bundle {
    LazyLock::force(&PROFILES);
    let mut bundle = Bundle::new();
    bundle.config.set("/process/apparmorProfile", profile);
    bundle
}

#[test]
fn the_profile_holds_for_the_program() {
    for no_new_privileges in [true, false] {
        let mut bundle = confined("corten-test-one");
        bundle.config.set("/process/noNewPrivileges", no_new_privileges);
        let printed = bundle.shell(TRY);
        assert!(printed.starts_with("corten-test-one (enforce)\n"), "{printed}");
        assert!(printed.contains("/tmp/one: Permission denied") && printed.ends_with("\ntwo\n"), "{printed}");
    }
}

#[test]
fn without_a_profile_the_program_is_not_confined() {
    let printed = Bundle::new().shell(TRY);
    assert!(printed.starts_with("unconfined\n") && printed.ends_with("one\ntwo\n"), "{printed}");
}

#[test]
fn the_host_sees_it_too_and_exec_has_its_own() {
    let mut bundle = confined("corten-test-one");
    bundle.config.stay();
    let container = bundle.start();
    assert_eq!(container.proc_file("attr/apparmor/current"), "corten-test-one (enforce)\n");
    assert!(container.shell(TRY).starts_with("corten-test-one (enforce)\n"), "exec has the container's");
    let other = container.call("exec").args(["--apparmor", "corten-test-two", &container.id, "sh", "-c", TRY]).ok();
    assert!(other.stdout.starts_with("corten-test-two (enforce)\n"), "{other}");
    assert!(other.stdout.contains("/tmp/two: Permission denied"), "{other}");
}

#[test]
fn a_profile_that_is_not_loaded_is_refused() {
    let mut bundle = confined("corten-test-nonesuch");
    bundle.refused(&["process.apparmorProfile", "corten-test-nonesuch"]);
    bundle.config.set("/process/apparmorProfile", "corten-test-one").stay();
    let container = bundle.start();
    let ran = container.call("exec").args(["--apparmor", "corten-test-nonesuch", &container.id, "true"]).run();
    assert!(ran.code != 0 && ran.stderr.contains("corten-test-nonesuch"), "{ran}");
}

#[test]
fn features_tell_of_it() {
    let features = Bundle::new().call("features").ok().json();
    assert_eq!(features["linux"]["apparmor"]["enabled"], true);
}
