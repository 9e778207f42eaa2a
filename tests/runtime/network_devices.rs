//! `linux.netDevices`: network devices of the host that move into the container.

use rustix::thread::UnshareFlags;
use serde_json::json;

use crate::harness::host::{unshare, write_program};
use crate::harness::{Bundle, Config, each, host};

/// A host with a network of the test's own: nothing on the machine's network is touched.
fn networked(devices: &str) -> Bundle {
    let bundle = Bundle::new();
    unshare(UnshareFlags::NEWNET);
    host(devices);
    bundle
}

#[test]
fn a_device_moves_and_keeps_what_it_had() {
    let mut bundle = networked(
        "ip link add host0 type veth peer name moved0
         ip addr add 192.0.2.7/24 dev moved0; ip addr add 2001:db8::7/64 dev moved0 nodad
         ip link set moved0 mtu 1400 address 02:00:00:00:00:07; ip link set host0 up; ip link set moved0 up",
    );
    bundle.config.set("/linux/netDevices", json!({"moved0": {}}));
    let shown = bundle.shell("ip addr show moved0; ls /sys/class/net");
    for part in ["UP", "mtu 1400", "02:00:00:00:00:07", "inet 192.0.2.7/24", "inet6 2001:db8::7/64"] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    assert!(shown.ends_with("\nlo\nmoved0\n"), "{shown}");
    // The namespace has ended, and with it the pair.
    assert_eq!(host("ip -br link show | grep -c moved0 || true"), "0\n");
}

#[test]
fn a_device_gets_another_name() {
    let mut bundle = networked("ip link add host0 type veth peer name moved0; ip addr add 192.0.2.7/24 dev moved0");
    bundle.config.set("/linux/netDevices", json!({"moved0": {"name": "eth0"}}));
    let shown = bundle.shell("ip addr show eth0; ls /sys/class/net");
    assert!(shown.contains("inet 192.0.2.7/24") && shown.ends_with("eth0\nlo\n"), "{shown}");
}

#[test]
fn several_devices_work() {
    let mut bundle = networked(
        "ip link add host0 type veth peer name a0; ip link add host1 type veth peer name b0
         ip addr add 192.0.2.1/24 dev host0; ip link set host0 up; ip addr add 192.0.2.7/24 dev a0",
    );
    bundle.config.set("/linux/netDevices", json!({"a0": {"name": "eth0"}, "b0": {"name": "eth1"}}));
    bundle.config.capabilities(&["bounding", "permitted", "effective"], &["CAP_NET_RAW"]);
    let shown = bundle.shell("ls /sys/class/net; ping -c 1 -W 5 192.0.2.1 | grep received");
    assert!(shown.starts_with("eth0\neth1\nlo\n"), "{shown}");
    assert!(shown.contains("1 packets received"), "{shown}");
}

#[test]
fn a_device_moves_into_a_joined_namespace() {
    let mut bundle = networked("ip link add host0 type veth peer name moved0");
    let path = bundle.write_file("netns", "");
    host(&format!("unshare --net={} true", path.display()));
    bundle.config.join_namespace("network", bundle.text_path("netns"));
    bundle.config.set("/linux/netDevices", json!({"moved0": {"name": "eth0"}}));
    assert!(bundle.shell("ls /sys/class/net").contains("eth0\n"));
    host(&format!("umount {}", path.display()));
}

#[test]
fn a_device_moves_into_a_user_namespaces_network() {
    let mut bundle = networked("ip link add host0 type veth peer name moved0; ip addr add 192.0.2.7/24 dev moved0");
    host(&format!("chown -R --no-dereference 100000:100000 {}", bundle.rootfs.display()));
    bundle.config.user_namespace(100_000);
    bundle.config.set("/linux/netDevices", json!({"moved0": {"name": "eth0"}}));
    assert!(bundle.shell("ip addr show eth0").contains("inet 192.0.2.7/24"));
}

#[test]
fn after_a_failure_the_devices_are_as_they_were() {
    // The first is moved and comes back, the second can't be moved, for the name is taken there.
    let mut bundle = networked(
        "ip link add host0 type veth peer name moved0; ip link add host1 type veth peer name other0
         ip addr add 192.0.2.7/24 dev moved0; ip link set moved0 up; ip link set other0 up",
    );
    bundle.config.set("/linux/netDevices", json!({"moved0": {}, "other0": {"name": "lo"}}));
    bundle.refused(&["other0", "lo"]);
    assert_eq!(host("ip -o link show up | grep -c -e moved0@ -e other0@ || true"), "2\n");
    assert!(host("ip addr show moved0").contains("inet 192.0.2.7/24"));
}

#[test]
fn a_container_that_comes_to_nothing_takes_no_device_with_it() {
    let mut bundle = networked(
        "ip link add host0 type veth peer name moved0; ip addr add 192.0.2.7/24 dev moved0
         ip addr add 2001:db8::7/64 dev moved0 nodad; ip link set moved0 up",
    );
    bundle.config.set("/linux/netDevices", json!({"moved0": {"name": "eth0"}})).args(["no-such-program"]);
    bundle.refused(&["executable file not found in $PATH"]);
    assert_as_it_was();

    // When init is prepared, and waits for its word: what is told of it can't be written, and what it executes is no program.
    bundle.config.args(["true"]);
    bundle.run_call().args(["--pid-file", "/no/such/directory/pid", &bundle.id]).run().refused(&["pid file"]);
    assert_as_it_was();
    write_program(&bundle.rootfs.join("bin/no-program"), "text");
    bundle.config.args(["no-program"]);
    bundle.run().refused(&["exec format error"]);
    assert_as_it_was();
    bundle.assert_nothing_left();
}

fn assert_as_it_was() {
    let shown = host("ip addr show moved0");
    for part in ["UP", "inet 192.0.2.7/24", "inet6 2001:db8::7/64"] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
}

#[test]
fn devices_that_can_not_be_moved() {
    const PAIRS: &str = "ip link add host0 type veth peer name moved0; ip link add host1 type veth peer name other0";
    let mut bundle = networked(PAIRS);
    let long = "x".repeat(16);
    each(
        [
            (json!({"missing0": {}}), "missing0"),
            (json!({"moved0": {"name": "lo"}}), "lo"),
            (json!({"moved0": {"name": "eth0"}, "other0": {"name": "eth0"}}), "eth0"),
            (json!({"moved0": {"name": long}}), long.as_str()),
            (json!({"moved0": {"name": "a/b"}}), "a/b"),
            (json!({"moved0": {"name": ".."}}), ".."),
            (json!({"": {}}), "linux.netDevices"),
        ],
        |(devices, needle)| {
            bundle.config = Config::usual();
            bundle.config.set("/linux/netDevices", devices);
            bundle.refused(&[needle]);
            // What could not be moved, or was moved before the failure, is not lost.
            let left = host("ip -o link show | grep -c -e moved0 -e other0 || true");
            host("ip link del host0 2>/dev/null || true; ip link del host1 2>/dev/null || true");
            host(PAIRS);
            assert_eq!(left, "4\n");
        },
    );
    bundle.config = Config::usual();
    bundle.config.without_namespace("network").set("/linux/netDevices", json!({"moved0": {}}));
    bundle.refused(&["linux.netDevices", "network"]);
}
