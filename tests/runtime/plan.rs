//! `corten plan`: what would be done, compared with what was expected; no root, no change.
//!
//! `tests/golden` has, for each configuration (an engine's of `tests/data/configs` or one of its own), root's plan as text
//! and as JSON and the plan of an ordinary user, who can do less.
//! `CORTEN_UPDATE_GOLDEN=1` writes them anew; read the difference before it is kept.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::host::{SPAWNING, copy_program};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// A directory for a bundle, without any of the privileges that the other tests need.
struct Directory(PathBuf);

impl Directory {
    fn new(config: &Path) -> Directory {
        let path = std::env::temp_dir().join(crate::harness::host::unique("corten-plan"));
        fs::create_dir_all(path.join("rootfs")).expect("make a bundle");
        let text = fs::read_to_string(config).unwrap_or_else(|error| panic!("read {}: {error}", config.display()));
        fs::write(path.join("config.json"), text).expect("write config.json");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `plan` prints for a configuration, without the names of this machine. `program` is the runtime, perhaps behind
/// another program.
fn plan(program: &[&OsStr], config: &Path, format: &str) -> String {
    let directory = Directory::new(config);
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg("plan").arg("--bundle").arg(&directory.0).args(["--format", format]);
    let output = {
        let _no_program_is_written = SPAWNING.read();
        command.output().expect("run corten")
    };
    let text = if output.status.success() {
        String::from_utf8(output.stdout).expect("a plan is text")
    } else {
        // What is refused is a plan, too: an ordinary user's.
        let errors = String::from_utf8_lossy(&output.stderr);
        let message = errors.split_once("msg=").unwrap_or_else(|| panic!("{}: {errors}", config.display())).1;
        format!("refused: {message}")
    };
    let directory = directory.0.to_str().expect("text");
    without_kcore(&text.replace(directory, "/BUNDLE").replace(&format!("{}/", cgroup_mount()), "/CGROUP/"))
}

/// The plan of a kernel without /proc/kcore (CONFIG_PROC_KCORE), where there is one step less.
fn without_kcore(text: &str) -> String {
    let mut made = String::new();
    let mut left_out = 0;
    for line in text.split_inclusive('\n') {
        let step = line.trim_start().split_once("  ");
        match step.and_then(|(number, step)| Some((number.parse::<usize>().ok()?, step))) {
            _ if line.contains(r#""/dev/core" to "/proc/kcore""#) || line.contains(r#"\"/dev/core\" to"#) => {
                left_out = 1
            }
            Some((number, step)) => made += &format!("{:>4}  {step}", number - left_out),
            None => {
                // The numbers begin anew in each section.
                left_out = 0;
                made += line;
            }
        }
    }
    made
}

#[test]
fn a_step_that_only_some_kernels_need_is_not_compared() {
    let with = "init:\n   1  a\n   2  make symlink \"/dev/core\" to \"/proc/kcore\"\n   3  c\nafter:\n   1  d\n";
    assert_eq!(without_kcore(with), "init:\n   1  a\n   2  c\nafter:\n   1  d\n");
    let with = "[\n    \"a\",\n    \"make symlink \\\"/dev/core\\\" to \\\"/proc/kcore\\\"\",\n    \"c\"\n]\n";
    assert_eq!(without_kcore(with), "[\n    \"a\",\n    \"c\"\n]\n");
}

/// Where cgroup2 is mounted.
fn cgroup_mount() -> String {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("read the mounts");
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("cgroup2 is mounted");
    line.split(' ').nth(4).expect("a mount point").to_owned()
}

/// Compares a configuration's plan, as root has it, with the kept ones.
fn compare_for_root(config: &Path, name: &str) {
    if !rustix::process::geteuid().is_root() {
        crate::skip!("it would be the plan of an ordinary user, which has a test of its own");
    }
    let program = [OsStr::new(env!("CARGO_BIN_EXE_corten"))];
    let text = plan(&program, config, "text");
    assert!(!text.starts_with("refused"), "{text}");
    compare(&text, &format!("{name}.txt"));
    let json = plan(&program, config, "json");
    assert!(serde_json::from_str::<Value>(&json).is_ok_and(|value| value.is_object()), "{json}");
    compare(&json, &format!("{name}.json"));
}

/// Compares a plan with a kept one.
fn compare(made: &str, kept: &str) {
    let kept = repository("golden").join(kept);
    if std::env::var_os("CORTEN_UPDATE_GOLDEN").is_some() {
        fs::write(&kept, made).expect("write the golden file");
        return;
    }
    let expected = fs::read_to_string(&kept).unwrap_or_else(|error| panic!("read {}: {error}", kept.display()));
    let different = made.lines().zip(expected.lines()).position(|(made, kept)| made != kept);
    let line = different.unwrap_or_else(|| made.lines().count().min(expected.lines().count()));
    assert!(
        made == expected,
        "{}, line {}:\n kept: {}\n made: {}",
        kept.display(),
        line + 1,
        expected.lines().nth(line).unwrap_or("(the end)"),
        made.lines().nth(line).unwrap_or("(the end)")
    );
}

macro_rules! golden {
    ($($name:ident: $directory:literal $file:literal;)+) => {
        $(#[test]
        fn $name() {
            compare_for_root(&repository($directory).join(concat!($file, ".json")), $file);
        })+

        const FILES: &[(&str, &str)] = &[$(($directory, $file)),+];
    };
}

golden! {
    of_every_property: "golden/configs" "every-property";
    of_nearly_nothing: "golden/configs" "nearly-nothing";
    of_joined_namespaces: "golden/configs" "joined-namespaces";
    of_docker: "data/configs" "docker-default";
    of_docker_hardened: "data/configs" "docker-hardened";
    of_docker_privileged: "data/configs" "docker-privileged";
    of_docker_with_limits: "data/configs" "docker-limits";
    of_podman: "data/configs" "podman-default";
    of_podman_with_a_user_namespace: "data/configs" "podman-userns";
    of_containerd: "data/configs" "ctr-default";
}

#[test]
fn every_golden_file_has_its_test() {
    for entry in fs::read_dir(repository("golden")).expect("list the golden files").flatten() {
        let name = entry.file_name().into_string().expect("text");
        let stem = name.trim_end_matches(".json").trim_end_matches(".txt").trim_end_matches(".user");
        assert!(name == "configs" || FILES.iter().any(|(_, file)| *file == stem), "{name}");
    }
}

#[test]
fn for_an_ordinary_user() {
    let copy = Directory::new(&repository(FILES[0].0).join(format!("{}.json", FILES[0].1)));
    let program = copy.0.join("corten");
    copy_program(Path::new(env!("CARGO_BIN_EXE_corten")), &program);
    let become_one = ["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups", "--"].map(OsStr::new);
    let through: &[&OsStr] = if rustix::process::geteuid().is_root() { &become_one } else { &[] };
    let program = [through, &[program.as_os_str()]].concat();
    for (place, file) in FILES {
        let config = repository(place).join(format!("{file}.json"));
        compare(&plan(&program, &config, "text"), &format!("{file}.user.txt"));
    }
}

#[test]
fn it_changes_nothing() {
    let directory = Directory::new(&repository("data/configs/docker-default.json"));
    let listing = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path).expect("list").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let before = (listing(&directory.0), listing(&directory.0.join("rootfs")), listing(Path::new(&cgroup_mount())));
    let status = {
        let _no_program_is_written = SPAWNING.read();
        Command::new(env!("CARGO_BIN_EXE_corten")).arg("plan").arg("--bundle").arg(&directory.0).output()
    };
    assert!(status.expect("run corten").status.success());
    let after = (listing(&directory.0), listing(&directory.0.join("rootfs")), listing(Path::new(&cgroup_mount())));
    assert_eq!((before.0, before.1), (after.0, after.1));
    let new = after.2.iter().find(|name| !before.2.contains(name) && name.to_string_lossy().contains("corten-plan"));
    assert_eq!(new, None);
}
