//! Landlock: what the annotation `org.corten.landlock` leaves a container to do with files, root or not.

use serde_json::json;

use crate::harness::Bundle;
use crate::skip;

const ANNOTATION: &str = "org.corten.landlock";

/// A bundle with rules, if the kernel has Landlock in a version that will do (Linux 6.2).
fn restricted(rules: &str) -> Option<Bundle> {
    let mut bundle = Bundle::new();
    bundle.config.set("/annotations", json!({ANNOTATION: "rx:/"})).args(["true"]);
    let ran = bundle.run();
    let lacks = ["function not implemented", "operation not supported"];
    if ran.code != 0 && lacks.iter().any(|lack| ran.stderr.contains(lack)) {
        return None;
    }
    assert_eq!(ran.code, 0, "{ran}");
    bundle.config.all_capabilities().set("/annotations", json!({ANNOTATION: rules}));
    Some(bundle)
}

const WHY: &str = "this kernel has no Landlock, or too old a one";

/// Every way to change something: of a file, of a directory, from one to another.
const TRY: &str = "try() { echo \"$1 $( (eval \"$2\") >/dev/null 2>&1 && echo done || echo refused)\"; }
    try write 'echo x >/data/file'; try cut ': >/data/file'; try append 'echo x >>/data/file'; try make 'mkdir /data/new'
    try remove 'rm /data/other'; try move 'mv /tmp/mine /data/'; try node 'mknod /data/node p'; try list 'ls /data'
    try read 'cat /data/file'; try own 'echo x >/tmp/file && mkdir /tmp/new && rm -r /tmp/file /tmp/new'
    try null 'echo x >/dev/null'; try execute '/data/program'";

#[test]
fn what_no_rule_allows_is_refused() {
    let Some(mut bundle) = restricted("rx:/bin r:/data rw:/tmp rw:/dev/null") else { skip!("{WHY}") };
    for name in ["data/file", "data/other", "tmp/mine"] {
        bundle.write_file(&format!("rootfs/{name}"), "text");
    }
    crate::harness::host::write_program(&bundle.rootfs.join("data/program"), "#!/bin/sh\n");
    let refused = ["write", "cut", "append", "make", "remove", "move", "node"].map(|what| format!("{what} refused\n"));
    let expected = format!("{}list done\nread done\nown done\nnull done\nexecute refused\n", refused.concat());
    for no_new_privileges in [true, false] {
        for uid in [0, 1000] {
            bundle.config.set("/process/noNewPrivileges", no_new_privileges);
            bundle.config.set("/process/user", json!({"uid": uid, "gid": uid}));
            std::fs::set_permissions(bundle.rootfs.join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777))
                .expect("open /tmp to everybody");
            assert_eq!(bundle.shell(TRY), expected, "{no_new_privileges} {uid}");
        }
    }
    // With the same rights, and none of the rules.
    bundle.config.remove("/annotations").set("/process/user", json!({"uid": 0, "gid": 0}));
    assert!(!bundle.shell(TRY).contains("refused"));
}

#[test]
fn exec_and_a_started_container_have_the_same_rules() {
    let Some(mut bundle) = restricted("rx:/ rw:/tmp") else { skip!("{WHY}") };
    bundle.config.script("echo x >/file || echo refused; sleep infinity");
    let container = bundle.create();
    container.start();
    let script = "echo x >/file || echo refused; echo x >/tmp/file && echo written";
    for no_new_privileges in [true, false] {
        let call = container.call("exec").args(no_new_privileges.then_some("--no-new-privs")).arg(&container.id);
        assert_eq!(call.args(["sh", "-c", script]).ok().stdout, "refused\nwritten\n");
    }
    container.stop();
    assert_eq!(container.printed().matches("refused").count(), 1, "{}", container.printed());
}

#[test]
fn beside_a_filter_and_a_user_namespace() {
    let Some(mut bundle) = restricted("rx:/ rw:/tmp") else { skip!("{WHY}") };
    // What puts the rules in force is refused by the filter, which comes after them.
    let names = ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"];
    bundle.config.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": names, "action": "SCMP_ACT_KILL_PROCESS"}]}),
    );
    bundle.config.user_namespace(100_000);
    let kill = json!(["CAP_KILL"]);
    let capabilities = json!({"bounding": kill, "permitted": kill, "effective": kill});
    bundle.config.set("/process/capabilities", capabilities);
    let script = "echo x >/etc/file || echo refused; grep -e CapPrm -e CapEff /proc/self/status";
    let expected = "refused\nCapPrm:\t0000000000000020\nCapEff:\t0000000000000020\n";
    for no_new_privileges in [true, false] {
        bundle.config.set("/process/noNewPrivileges", no_new_privileges);
        assert_eq!(bundle.shell(script), expected, "{no_new_privileges}");
    }
    // The right that it takes without no_new_privs is gone before the start, without a filter, too.
    bundle.config.remove("/linux/seccomp").stay();
    let status = bundle.create().proc_file("status");
    assert!(status.contains("CapEff:\t0000000000000020\n"), "{status}");
}

#[test]
fn what_can_not_be_put_in_force_is_refused() {
    let Some(mut bundle) = restricted("rx:/ rw:/missing") else { skip!("{WHY}") };
    bundle.refused(&["annotations[", ANNOTATION, "/missing", "no such file or directory"]);
    bundle.config.set("/annotations", json!({ANNOTATION: "rx:/ everything"}));
    bundle.refused(&["annotations[", ANNOTATION, "everything"]);
    // No rule lets the program be executed.
    bundle.config.set("/annotations", json!({ANNOTATION: "rw:/tmp"})).args(["true"]);
    let ran = bundle.run();
    assert!(ran.code == 1 && ran.stderr.contains("permission denied"), "{ran}");
}
