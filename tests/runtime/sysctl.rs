//! `linux.sysctl`: kernel parameters of the container's own namespaces, and no others.

use serde_json::json;

use crate::harness::host::unshare;
use crate::harness::{Bundle, Config, each, host};

#[test]
fn parameters_of_the_containers_namespaces() {
    let mut bundle = Bundle::new();
    bundle.config.set(
        "/linux/sysctl",
        json!({
            "net.ipv4.ip_forward": "1",
            "net.ipv4.ping_group_range": "0 2147483647",
            "net.core.somaxconn": "999",
            "kernel.msgmax": "9000",
            "kernel.shmmni": "777",
            "kernel.sem": "200 1000 30 100",
            "kernel.shm_rmid_forced": "1",
            "fs.mqueue.msg_max": "33",
            "kernel.domainname": "sysctl.example"
        }),
    );
    let script = "cd /proc/sys; cat net/ipv4/ip_forward net/core/somaxconn kernel/msgmax kernel/shmmni \
        kernel/shm_rmid_forced fs/mqueue/msg_max kernel/domainname; cat kernel/sem net/ipv4/ping_group_range";
    assert_eq!(bundle.shell(script), "1\n999\n9000\n777\n1\n33\nsysctl.example\n200\t1000\t30\t100\n0\t2147483647\n");
    assert_ne!(host("cat /proc/sys/kernel/msgmax"), "9000\n");
}

#[test]
fn a_domain_name_as_parameter_wins() {
    // As with runc, which sets the property first.
    let mut bundle = Bundle::new();
    bundle.config.set("/domainname", "property.example");
    bundle.config.set("/linux/sysctl", json!({"kernel.domainname": "sysctl.example"}));
    assert_eq!(bundle.shell("cat /proc/sys/kernel/domainname"), "sysctl.example\n");
}

#[test]
fn without_a_mount_namespace() {
    let mut bundle = Bundle::new();
    bundle.config.set("/mounts", json!([])).set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
    bundle.config.without_namespace("mount").set("/domainname", "property.example");
    bundle.config.set("/linux/sysctl", json!({"net.core.somaxconn": "999", "kernel.domainname": "sysctl.example"}));
    bundle.config.args(["sleep", "infinity"]);
    let container = bundle.start();
    let show = format!("nsenter --target {} --net --uts", container.process.pid.as_raw_nonzero());
    let shown = host(&format!("{show} cat /proc/sys/net/core/somaxconn /proc/sys/kernel/domainname"));
    assert_eq!(shown, "999\nsysctl.example\n");
}

#[test]
fn slashes_separate_as_well_as_dots() {
    let mut bundle = Bundle::new();
    bundle
        .config
        .set("/linux/sysctl", json!({"net/ipv4/conf/lo/forwarding": "1", "net.ipv4.conf.default.forwarding": "1"}));
    assert_eq!(bundle.shell("cd /proc/sys/net/ipv4/conf; cat lo/forwarding default/forwarding"), "1\n1\n");
}

#[test]
fn without_a_proc_mount() {
    let mut bundle = Bundle::new();
    bundle.config.set("/mounts/0/options", json!(["nosuid", "noexec", "nodev", "subset=pid"]));
    bundle.config.set("/linux/readonlyPaths", json!([])).set("/linux/maskedPaths", json!([]));
    bundle.config.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    assert_eq!(
        bundle.shell("[ -e /proc/sys ] || echo no sys; ip route add 192.0.2.0/24 dev lo 2>&1 | head -c 0; echo ran"),
        { "no sys\nran\n" }
    );
}

#[test]
fn parameters_of_the_host_are_refused() {
    let mut bundle = Bundle::new();
    for key in [
        "vm.swappiness",
        "kernel.panic",
        "kernel.core_pattern",
        "fs.file-max",
        "kernel.hostname",
        "user.max_net_namespaces",
    ] {
        bundle.config = Config::usual();
        bundle.config.set(&format!("/linux/sysctl/{key}"), "1");
        bundle.refused(&["linux.sysctl", key]);
    }
}

#[test]
fn parameters_need_a_namespace_of_their_own() {
    let mut bundle = Bundle::new();
    each(
        [
            ("network", "net.ipv4.ip_forward"),
            ("ipc", "kernel.msgmax"),
            ("ipc", "fs.mqueue.msg_max"),
            ("uts", "kernel.domainname"),
        ],
        |(kind, key)| {
            bundle.config = Config::usual();
            bundle.config.without_namespace(kind).without_mount("/dev/mqueue").remove("/hostname");
            bundle.config.set(&format!("/linux/sysctl/{key}"), "1");
            bundle.refused(&["linux.sysctl", key]);
        },
    );
    // A path that leads to the runtime's own namespace, here one of the test's.
    unshare(rustix::thread::UnshareFlags::NEWNET);
    bundle.config = Config::usual();
    bundle.config.join_namespace("network", "/proc/self/ns/net").set("/linux/sysctl/net.ipv4.ip_forward", "1");
    bundle.refused(&["linux.sysctl", "net.ipv4.ip_forward"]);
}

#[test]
fn parameters_of_a_joined_namespace() {
    let first = Bundle::staying();
    let container = first.start();
    let mut second = Bundle::new();
    second.config.join_namespace("network", container.namespace_path("net"));
    second.config.set("/linux/sysctl/net.ipv4.ip_forward", "1");
    assert_eq!(second.shell("cat /proc/sys/net/ipv4/ip_forward"), "1\n");
}

#[test]
fn parameters_that_the_kernel_refuses() {
    let mut bundle = Bundle::new();
    let before = host("cat /proc/sys/kernel/panic");
    each(
        [
            ("net.ipv4.no_such_parameter", "1"),
            ("net.ipv4.ip_forward", "not a number"),
            ("net", "1"),
            ("net.ipv4", "1"),
            ("net.ipv4.../../kernel/panic", "1"),
            ("net/../kernel/panic", "1"),
            ("", "1"),
        ],
        |(key, value)| {
            bundle.config = Config::usual();
            bundle.config.set("/linux/sysctl", json!({key: value}));
            bundle.refused(&["sysctl", key.rsplit(['.', '/']).next().expect("a last part")]);
        },
    );
    assert_eq!(host("cat /proc/sys/kernel/panic"), before);
}
