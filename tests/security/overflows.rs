//! What is longer than the number that says its length (CVE-2021-43784: the part of a message that says which namespaces
//! and ids a container gets was cut by a long path before it). A value is taken whole or refused; none makes a wall of
//! the same configuration fall away.

use serde_json::{Value, json};

use crate::harness::{Bundle, host};

/// Around the most that 8, 12 and 16 bits can say, and beyond.
const LENGTHS: [usize; 6] = [255, 4096, 65_532, 65_536, 65_536 + 64, 200_000];

/// A configuration with walls of every kind, and a script that looks for them.
fn walled() -> Bundle {
    let mut bundle = Bundle::new();
    host(&format!("chown -R --no-dereference 100000:100000 {}", bundle.rootfs.display()));
    bundle.config.user_namespace(100_000).set("/linux/readonlyPaths", json!(["/etc"]));
    bundle.config.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}),
    );
    bundle.config.script(
        "cat /proc/self/uid_map; mkdir /tmp/x 2>/dev/null || echo filtered; touch /etc/x 2>/dev/null || echo read-only
        grep -q '^NoNewPrivs:.1$' /proc/self/status && echo no-new; ls /sys/class/net",
    );
    bundle
}

/// What the script prints with all walls up: not the host's ids, network and files.
const WALLS: &str = "         0     100000      65536\nfiltered\nread-only\nno-new\nlo\n";

#[track_caller]
fn assert_walls(bundle: &Bundle, what: &str) {
    let ran = bundle.run();
    assert!(ran.code == 1 && ran.stdout.is_empty() || ran.stdout == WALLS, "{what}: {ran}");
}

#[test]
fn with_no_value_too_long() {
    assert_eq!(walled().output(), WALLS);
}

/// A place in a configuration, and what is put there.
type Place = (&'static str, fn(String) -> Value);

const PLACES: [Place; 10] = [
    ("/hostname", |long| long.into()),
    ("/domainname", |long| long.into()),
    ("/linux/cgroupsPath", |long| long.into()),
    ("/linux/mountLabel", |long| long.into()),
    ("/process/apparmorProfile", |long| long.into()),
    ("/process/cwd", |long| format!("/{long}").into()),
    ("/process/env", |long| json!(["PATH=/bin", format!("A={long}")])),
    ("/linux/maskedPaths", |long| json!([format!("/{long}")])),
    ("/annotations", |long| json!({"org.example": long})),
    ("/linux/sysctl", |long| json!({"net.ipv4.ip_forward": long})),
];

#[test]
fn of_paths_and_names() {
    let mut bundle = walled();
    let usual = bundle.config.clone();
    for (place, value) in PLACES {
        for length in LENGTHS {
            bundle.config = usual.clone();
            bundle.config.set(place, value("a".repeat(length)));
            assert_walls(&bundle, &format!("{place} of {length}"));
        }
    }
}

#[test]
fn of_the_path_of_a_namespace() {
    // The attack itself: a path of 65,536 bytes and some more, and behind it what the overflow cuts off.
    let mut bundle = walled();
    let usual = bundle.config.clone();
    for length in LENGTHS {
        let path = format!("{}/proc/self/ns/net", "/".repeat(length));
        bundle.config = usual.clone();
        bundle.config.join_namespace("network", path);
        assert_walls(&bundle, &format!("a path of {length}"));
    }
}

#[test]
fn of_the_maps_of_ids() {
    let mut bundle = walled();
    let usual = bundle.config.clone();
    // 340 is the most that the kernel takes; the multiples are of what 16 bits can say of bytes in a message.
    for count in [341, 1_365, 5_461, 21_845] {
        let more =
            (1..count).map(|number| json!({"containerID": 65_536 + number, "hostID": 200_000 + number, "size": 1}));
        let maps: Vec<Value> =
            std::iter::once(json!({"containerID": 0, "hostID": 100_000, "size": 65_536})).chain(more).collect();
        bundle.config = usual.clone();
        bundle.config.set("/linux/uidMappings", maps.clone()).set("/linux/gidMappings", maps);
        bundle.refused(&["linux.uidMappings"]);
    }
}

#[test]
fn of_the_names_of_network_devices() {
    let mut bundle = walled();
    bundle.config.without_namespace("user").remove("/linux/uidMappings").remove("/linux/gidMappings");
    let usual = bundle.config.clone();
    for length in LENGTHS {
        bundle.config = usual.clone();
        bundle.config.set("/linux/netDevices", json!({"lo": {"name": "a".repeat(length)}}));
        bundle.refused(&["linux.netDevices[\"lo\"]"]);
        bundle.config.set("/linux/netDevices", json!({"a".repeat(length): {}}));
        bundle.refused(&["linux.netDevices"]);
    }
}
