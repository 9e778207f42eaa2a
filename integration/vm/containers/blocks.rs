//! `--blkio-weight`, `--device-read-bps` and the like.

use std::fs;

use crate::group::{Group, host, said};
use crate::harness::Place;

/// The disk that the programs under test came on: 4 MiB can be read of it.
const DISK: &str = "/dev/vdb";

fn numbers(device: &str) -> String {
    let name = device.strip_prefix("/dev/").unwrap();
    fs::read_to_string(format!("/sys/class/block/{name}/dev")).unwrap().trim().to_owned()
}

/// A loop device on a file of 8 MiB, gone with the machine.
fn writable() -> String {
    let line = "file=$(mktemp /var/tmp/disk.XXXXXX); truncate -s 8M $file; losetup --find --show --direct-io=on $file";
    host(line).trim().to_owned()
}

/// Starts a container that runs one dd, and says how many seconds that took.
fn seconds(place: &Place, name: &str, flags: &[&str], dd: &str) -> f64 {
    let script = format!(
        "from=$(cut -d ' ' -f 1 /proc/uptime); dd {dd} 2>/dev/null; \
         echo from $from to $(cut -d ' ' -f 1 /proc/uptime) done; exec sleep 1000"
    );
    place.detached(name, flags, &script);
    let all = said(place, name, " done\n");
    let moments: Vec<f64> = all.split(' ').filter_map(|word| word.parse().ok()).collect();
    moments[1] - moments[0]
}

#[test]
fn reading_is_held_at_its_rate() {
    let place = Place::new();
    let dd = "if=/dev/vdb of=/dev/null bs=256k count=16 iflag=direct";
    let at_will = seconds(&place, "free", &["--device", DISK], dd);
    let throttled = seconds(&place, "held", &["--device", DISK, "--device-read-bps", "/dev/vdb:1mb"], dd);
    let group = Group::of(&place, "held");
    group.holds(&[("io.max", &format!("{} rbps=1048576 wbps=max riops=max wiops=max", numbers(DISK)))]);
    assert!(group.read("io.stat").contains("rbytes=4194304 "), "{}", group.read("io.stat"));
    // The first second's worth may come at once.
    assert!(throttled > 2.5, "4 MiB at 1 MiB/s took {throttled} s");
    assert!(throttled > 1.5 * at_will, "{throttled} s, and {at_will} s without a limit");
}

#[test]
fn writing_is_held_at_its_rate() {
    let place = Place::new();
    let disk = writable();
    let device = format!("{disk}:/dev/disk");
    let rate = format!("{disk}:1mb");
    let dd = "if=/dev/zero of=/dev/disk bs=256k count=16 oflag=direct";
    let throttled = seconds(&place, "held", &["--device", &device, "--device-write-bps", &rate], dd);
    let expected = format!("{} rbps=max wbps=1048576 riops=max wiops=max", numbers(&disk));
    Group::of(&place, "held").holds(&[("io.max", &expected)]);
    assert!(throttled > 2.5, "4 MiB at 1 MiB/s took {throttled} s");
}

#[test]
fn operations_are_held_at_their_rate() {
    let place = Place::new();
    let flags = ["--device", DISK, "--device-read-iops", "/dev/vdb:10", "--device-write-iops", "/dev/vdb:20"];
    let throttled = seconds(&place, "held", &flags, "if=/dev/vdb of=/dev/null bs=4k count=40 iflag=direct");
    let expected = format!("{} rbps=max wbps=max riops=10 wiops=20", numbers(DISK));
    Group::of(&place, "held").holds(&[("io.max", &expected)]);
    assert!(throttled > 2.5, "40 reads at 10 a second took {throttled} s");
}

#[test]
fn a_weight_is_that_of_the_scheduler_that_is_there() {
    let place = Place::new();
    place.detached("weighed", &["--blkio-weight", "500"], "exec sleep 1000");
    let group = Group::of(&place, "weighed");
    match fs::exists("/sys/module/bfq").unwrap() {
        true => group.holds(&[("io.bfq.weight", "default 500")]),
        false => group.holds(&[("io.weight", "default 4950")]),
    }
}

#[test]
fn a_weight_may_be_one_disks() {
    let place = Place::new();
    host("modprobe bfq");
    let disk = writable();
    host(&format!("echo bfq >/sys/dev/block/{}/queue/scheduler", numbers(&disk)));
    let weight = format!("{disk}:300");
    place.detached("weighed", &["--blkio-weight", "100", "--blkio-weight-device", &weight], "exec sleep 1000");
    let expected = format!("default 100\n{} 300", numbers(&disk));
    Group::of(&place, "weighed").holds(&[("io.bfq.weight", &expected)]);
}

#[test]
fn what_is_no_block_device_is_refused() {
    let place = Place::new();
    let refusal =
        place.refusal(125, &["run", "--network", "none", "--device-read-bps", "/dev/nonesuch:1mb", "box", "true"]);
    assert!(refusal.contains("/dev/nonesuch"), "{refusal}");
}
