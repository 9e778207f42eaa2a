//! `linux.resources.blockIO`.

use std::fs;

use serde_json::{Value, json};

use crate::group::{Group, MIB};
use crate::harness::{Bundle, Container, host};

/// A block device of the machine, by its numbers.
struct Device {
    major: u32,
    minor: u32,
}

impl Device {
    #[track_caller]
    fn named(name: &str) -> Device {
        let path = format!("/sys/class/block/{name}/dev");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
        let (major, minor) = text.trim().split_once(':').expect("a device has two numbers");
        Device { major: major.parse().expect("a number"), minor: minor.parse().expect("a number") }
    }

    /// A loop device on a file of 8 MiB, gone with the machine.
    #[track_caller]
    fn writable() -> Device {
        let name = host(
            "file=$(mktemp /var/tmp/disk.XXXXXX); truncate -s 8M $file; losetup --find --show --direct-io=on $file",
        );
        Device::named(name.trim().strip_prefix("/dev/").expect("a device is in /dev"))
    }

    fn numbers(&self) -> String {
        format!("{}:{}", self.major, self.minor)
    }

    fn rate(&self, rate: i64) -> Value {
        json!([{"major": self.major, "minor": self.minor, "rate": rate}])
    }
}

/// A container that has the device at /dev/disk and may use it, and runs `script`.
fn with(device: &Device, script: &str) -> Bundle {
    let mut bundle = Bundle::script(script);
    let Device { major, minor } = device;
    bundle.config.push("/linux/devices", json!({"path": "/dev/disk", "type": "b", "major": major, "minor": minor}));
    let rule = json!({"allow": true, "type": "b", "major": major, "minor": minor, "access": "rw"});
    bundle.config.push("/linux/resources/devices", rule);
    bundle
}

/// Runs one dd, then says between which moments, and stays.
fn timed(dd: &str) -> String {
    format!(
        "from=$(cut -d ' ' -f 1 /proc/uptime); dd {dd} 2>/dev/null; \
         echo from $from to $(cut -d ' ' -f 1 /proc/uptime) done >&2; exec sleep infinity"
    )
}

/// Starts it and waits for its dd: how many seconds that took.
fn seconds(bundle: &Bundle) -> (Container, f64) {
    let (container, said) = bundle.start_until(" done\n");
    let moments: Vec<f64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    (container, moments[1] - moments[0])
}

#[test]
fn reading_is_held_at_its_rate() {
    let disk = Device::named("vdb");
    let script = timed("if=/dev/disk of=/dev/null bs=256k count=16 iflag=direct");
    let bundle = with(&disk, &script);
    let (free, at_will) = seconds(&bundle);
    assert_eq!(Group::of(&free).read("io.max"), "");
    free.stop();

    let mut bundle = with(&disk, &script);
    bundle.config.set("/linux/resources/blockIO", json!({"throttleReadBpsDevice": disk.rate(MIB)}));
    let (held, throttled) = seconds(&bundle);
    let group = Group::of(&held);
    group.holds(&[("io.max", &format!("{} rbps=1048576 wbps=max riops=max wiops=max", disk.numbers()))]);
    assert!(group.read("io.stat").contains("rbytes=4194304 "), "{}", group.read("io.stat"));
    // The first second's worth may come at once.
    assert!(throttled > 2.5, "4 MiB at 1 MiB/s took {throttled} s");
    assert!(throttled > 1.5 * at_will, "{throttled} s, and {at_will} s without a limit");
}

#[test]
fn writing_is_held_at_its_rate() {
    let disk = Device::writable();
    let mut bundle = with(&disk, &timed("if=/dev/zero of=/dev/disk bs=256k count=16 oflag=direct"));
    bundle.config.set("/linux/resources/blockIO", json!({"throttleWriteBpsDevice": disk.rate(MIB)}));
    let (held, throttled) = seconds(&bundle);
    let group = Group::of(&held);
    group.holds(&[("io.max", &format!("{} rbps=max wbps=1048576 riops=max wiops=max", disk.numbers()))]);
    assert!(throttled > 2.5, "4 MiB at 1 MiB/s took {throttled} s");
}

#[test]
fn operations_are_held_at_their_rate() {
    let disk = Device::named("vdb");
    let mut bundle = with(&disk, &timed("if=/dev/disk of=/dev/null bs=4k count=40 iflag=direct"));
    let limits = json!({"throttleReadIOPSDevice": disk.rate(10), "throttleWriteIOPSDevice": disk.rate(20)});
    bundle.config.set("/linux/resources/blockIO", limits);
    let (held, throttled) = seconds(&bundle);
    let group = Group::of(&held);
    group.holds(&[("io.max", &format!("{} rbps=max wbps=max riops=10 wiops=20", disk.numbers()))]);
    assert!(throttled > 2.5, "40 reads at 10 a second took {throttled} s");
}

#[test]
fn a_rate_can_be_changed_and_lifted() {
    let disk = Device::named("vdb");
    let mut bundle = with(&disk, "exec sleep infinity");
    let limits = json!({"throttleReadBpsDevice": disk.rate(MIB), "throttleWriteBpsDevice": disk.rate(2 * MIB)});
    bundle.config.set("/linux/resources/blockIO", limits);
    let container = bundle.start();
    let group = Group::of(&container);
    let update = |block_io: Value| {
        let resources = json!({"blockIO": block_io}).to_string();
        container.call("update").args(["--resources", "-", &container.id]).input(&resources).ok();
    };
    update(json!({"throttleReadBpsDevice": disk.rate(3 * MIB)}));
    group.holds(&[("io.max", &format!("{} rbps=3145728 wbps=2097152 riops=max wiops=max", disk.numbers()))]);
    update(json!({"throttleReadBpsDevice": disk.rate(0), "throttleWriteBpsDevice": disk.rate(0)}));
    group.holds(&[("io.max", "")]);
}

#[test]
fn weights_are_those_of_the_scheduler_that_is_there() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/resources/blockIO", json!({"weight": 500}));
    let bfq = || fs::exists("/sys/module/bfq").expect("look for the scheduler");
    if !bfq() {
        Group::of(&bundle.start()).holds(&[("io.weight", "default 4950")]);
        bundle.call("delete").args(["--force", &bundle.id]).ok();
        host("modprobe bfq");
    }
    assert!(bfq());
    Group::of(&bundle.start()).holds(&[("io.bfq.weight", "default 500")]);
}

#[test]
fn weights_of_one_device_are_beside_the_others() {
    host("modprobe bfq");
    let device = Device::writable();
    host(&format!("echo bfq >/sys/dev/block/{}/queue/scheduler", device.numbers()));
    let mut bundle = Bundle::staying();
    let own = json!([{"major": device.major, "minor": device.minor, "weight": 300}]);
    bundle.config.set("/linux/resources/blockIO", json!({"weight": 100, "weightDevice": own}));
    let group = Group::of(&bundle.start());
    group.holds(&[("io.bfq.weight", &format!("default 100\n{} 300", device.numbers()))]);
}

#[test]
fn what_is_no_whole_device_is_refused() {
    let mut bundle = Bundle::staying();
    bundle
        .config
        .set("/linux/resources/blockIO", json!({"throttleReadBpsDevice": [{"major": 259, "minor": 77, "rate": MIB}]}));
    bundle.refused(&[
        "linux.resources.blockIO.throttleReadBpsDevice[0]",
        "io.max",
        "259:77 rbps=1048576",
        "no such device",
    ]);
}
