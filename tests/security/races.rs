//! Races: somebody with a place in a shared volume exchanges a directory of it for a link while a container is made
//! (CVE-2021-30465, CVE-2024-45310).
//!
//! The supervisor makes the runtime wait before each call that touches a file, and exchanges the names exactly there:
//! one run for each place at which the race can be won.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::attacker;
use crate::harness::call::Ran;
use crate::harness::{Bundle, Call, Config};

/// Two names that a neighbour can exchange.
pub struct Exchange {
    pub one: PathBuf,
    pub other: PathBuf,
}

/// For how long the names are exchanged.
#[derive(Debug, Clone, Copy)]
pub enum Lasting {
    /// During the one call.
    Call,
    /// From then on.
    Ever,
}

impl Exchange {
    /// Runs the bundle's container once for each moment of the exchange. `prepare` puts everything back before each
    /// run, `check` looks at what came of it.
    #[track_caller]
    pub fn at_every_moment(&self, bundle: &Bundle, lasting: Lasting, prepare: impl Fn(), check: impl Fn(&str, &Ran)) {
        let mut started = 0;
        // Up to the first run that is over before the moment comes.
        for moment in 1.. {
            prepare();
            let (ran, calls) = self.run(bundle, moment, lasting);
            check(&format!("exchanged before call {moment} for {lasting:?}"), &ran);
            started += u32::from(ran.code == 0);
            if calls < moment {
                assert!(ran.code == 0 && calls > 20, "undisturbed, with {calls} calls: {ran}");
                break;
            }
        }
        assert!(started > 1, "no container was started in spite of an exchange");
    }

    fn run(&self, bundle: &Bundle, moment: u32, lasting: Lasting) -> (Ran, u32) {
        let until = match lasting {
            Lasting::Call => "back",
            Lasting::Ever => "stay",
        };
        let count = bundle.path("calls");
        let names = [self.one.as_os_str(), self.other.as_os_str()];
        let ran = supervised(bundle.run_call(), names, moment, until, &count).arg(&bundle.id).run();
        let calls = bundle.read_file("calls");
        (ran, calls.parse().expect("the supervisor wrote a number"))
    }
}

fn supervised(call: Call, names: [&std::ffi::OsStr; 2], moment: u32, lasting: &str, count: &Path) -> Call {
    let moment = moment.to_string();
    let [one, other] = names;
    call.through([
        attacker::program().as_os_str(),
        "supervise".as_ref(),
        one,
        other,
        moment.as_ref(),
        lasting.as_ref(),
        count.as_os_str(),
    ])
}

/// Everything that can be seen of a directory of the host.
pub fn look(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    for path in std::iter::once(directory.to_owned()).chain(entries(directory)) {
        let about = fs::symlink_metadata(&path).expect("look at a file of the host");
        let content =
            if about.is_file() { fs::read_to_string(&path).expect("read a file of the host") } else { String::new() };
        let (mode, uid, gid, device) = (about.mode(), about.uid(), about.gid(), about.rdev());
        seen.insert(path, format!("{mode:o} {uid} {gid} {device} {content}"));
    }
    seen
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let own = fs::read_dir(directory).expect("list a directory of the host").flatten().map(|entry| entry.path());
    own.flat_map(|path| {
        let below = if path.is_dir() && !path.is_symlink() { entries(&path) } else { Vec::new() };
        std::iter::once(path).chain(below)
    })
    .collect()
}

/// A directory of the host that links lead to, with files under every name that the tests use.
pub fn outside(bundle: &Bundle) -> PathBuf {
    let outside = bundle.make_directory("outside");
    fs::create_dir(outside.join("dir")).expect("make a directory of the host");
    for name in ["file", "dev0", "masked"] {
        let path = bundle.write_file(&format!("outside/{name}"), "secret\n");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("close a file of the host");
    }
    outside
}

/// What makes few calls, so that there are few moments.
pub fn small(config: &mut Config) {
    for destination in ["/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"] {
        config.without_mount(destination);
    }
    config.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([])).args(["true"]);
}

/// A hook writes down the mounts of the container's namespace, before the host's are detached from it.
fn record_mounts(bundle: &mut Bundle) {
    let to = bundle.text_path("mounts-seen");
    bundle.config.hook(
        "createContainer",
        json!({"path": "/bin/sh", "args": ["sh", "-c", format!("cat /proc/self/mountinfo >{to}")]}),
    );
}

/// Nothing was mounted on what the host has beside the container's root.
#[track_caller]
fn assert_not_mounted_on(bundle: &Bundle, outside: &Path, when: &str) {
    let seen = fs::read_to_string(bundle.path("mounts-seen")).unwrap_or_default();
    let outside = outside.to_str().expect("text");
    let on_it: Vec<&str> =
        seen.lines().filter(|line| line.split(' ').nth(4).is_some_and(|at| at.starts_with(outside))).collect();
    assert!(on_it.is_empty(), "{when}: mounted on the host's tree: {on_it:?}");
}

/// A bundle with a volume in which everything that the runtime makes and mounts has a place below `/vol/target`.
fn bundle_with_volume() -> (Bundle, PathBuf, PathBuf) {
    let mut bundle = Bundle::new();
    small(&mut bundle.config);
    bundle.config.without_mount("/dev/pts");
    let outside = outside(&bundle);
    let volume = bundle.make_directory("volume");
    bundle.write_file("data/file", "data\n");
    bundle.bind("volume", "/vol", &["rbind"]).bind("data", "/vol/target/dir", &["bind"]);
    bundle.bind("data", "/vol/target/made/dir", &["bind"]).bind("data/file", "/vol/target/file", &["bind"]);
    bundle.config.mount("/vol/target/tmpfs", "tmpfs", "tmpfs", &["tmpcopyup", "ro"]);
    bundle.config.push("/linux/devices", json!({"type": "c", "path": "/vol/target/dev0", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 1000, "gid": 1000}));
    bundle.config.push("/linux/maskedPaths", "/vol/target/masked").push("/linux/readonlyPaths", "/vol/target/dir");
    bundle.config.set("/process/cwd", "/vol/target/cwd");
    record_mounts(&mut bundle);
    (bundle, volume, outside)
}

/// A volume's directory as it is before the race.
fn fill(target: &Path) {
    let _ = fs::remove_dir_all(target);
    let _ = fs::remove_file(target);
    fs::create_dir_all(target.join("dir")).expect("make the target");
    fs::write(target.join("masked"), "x").expect("write a file of the target");
}

#[track_caller]
fn race_for_the_directory(lasting: Lasting) {
    let (bundle, volume, outside) = bundle_with_volume();
    let exchange = Exchange { one: volume.join("target"), other: volume.join("link") };
    let before = look(&outside);
    let prepare = || {
        fill(&exchange.one);
        let _ = fs::remove_dir_all(&exchange.other);
        let _ = fs::remove_file(&exchange.other);
        symlink(&outside, &exchange.other).expect("link");
    };
    exchange.at_every_moment(&bundle, lasting, prepare, |when, _| {
        assert_eq!(look(&outside), before, "{when}: the host's files were changed");
        assert_not_mounted_on(&bundle, &outside, when);
    });
}

#[test]
fn a_directory_of_a_volume_is_a_link_for_a_moment() {
    race_for_the_directory(Lasting::Call);
}

#[test]
fn a_directory_of_a_volume_becomes_a_link() {
    race_for_the_directory(Lasting::Ever);
}

#[test]
fn a_device_of_a_volume_becomes_a_link() {
    // Once the node has been made the names can be exchanged; before that nothing comes of it.
    let (bundle, volume, outside) = bundle_with_volume();
    let exchange = Exchange { one: volume.join("target/dev0"), other: volume.join("target/link") };
    let before = look(&outside);
    let prepare = || {
        fill(&volume.join("target"));
        symlink(outside.join("dev0"), &exchange.other).expect("link");
    };
    exchange.at_every_moment(&bundle, Lasting::Ever, prepare, |when, _| {
        assert_eq!(look(&outside), before, "{when}: the host's files were changed");
        assert_not_mounted_on(&bundle, &outside, when);
    });
}

#[test]
fn by_chance() {
    // The same without a supervisor, as a neighbour would: he exchanges the names as fast as he can.
    let (bundle, volume, outside) = bundle_with_volume();
    let before = look(&outside);
    fill(&volume.join("target"));
    symlink(&outside, volume.join("link")).expect("link");
    let mut neighbour = Bundle::with(Config::usual());
    attacker::enter(&neighbour);
    neighbour.config.bind(&volume, "/vol", &["bind"]);
    neighbour.config.args(["attacker", "exchange", "/vol/target", "/vol/link", "1000000000"]);
    let (neighbours, _) = neighbour.start_until("racing");
    for turn in 0..40 {
        bundle.run();
        assert_eq!(look(&outside), before, "turn {turn}: the host's files were changed");
        assert_not_mounted_on(&bundle, &outside, "by chance");
    }
    assert!(neighbours.process.alive(), "the neighbour stopped early");
}
