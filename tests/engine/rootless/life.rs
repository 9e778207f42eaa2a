//! What every container needs, when it isn't root's.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use super::user::{self, FIRST, USER, assert_nothing_left};
use crate::harness::*;

#[test]
fn root_inside_is_the_user_outside() {
    let place = user::place();
    place.detached("web", &[], "sleep 1000");
    let maps = place.ctn(&["exec", "web", "cat", "/proc/self/uid_map"]);
    let words: Vec<&str> = maps.split_whitespace().collect();
    assert_eq!(words, ["0", "3000", "1", "1", "400000", "65536"]);
    let owner = |name: &str| fs::metadata(format!("/proc/{}", place.field(name, ".State.Pid"))).unwrap().uid();
    assert_eq!(owner("web"), USER);
    place.detached("other", &["-u", "web"], "sleep 1000");
    assert_eq!(owner("other"), FIRST + 33 - 1);
    assert_eq!(place.ctn(&["exec", "-u", "web", "web", "id", "-u"]), "33\n");
    assert_eq!(place.ctn(&["exec", "web", "id", "-u"]), "0\n");
    place.ctn(&["rm", "-f", "web", "other"]);
    assert_nothing_left(&place);
}

#[test]
fn what_is_told_of_what_keeps_containers_in() {
    let place = user::place();
    assert_eq!(
        place.ctn(&["info", "--format", "{{.SecurityOptions}}"]),
        "[name=seccomp,profile=builtin name=rootless name=cgroupns]\n"
    );
    // It has no group, so nothing is counted but its traffic.
    place.detached("web", &[], "sleep 1000");
    let format = "{{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.BlockIO}} {{.PIDs}}";
    assert_eq!(place.ctn(&["stats", "--no-stream", "--format", format, "web"]), "-- -- / -- -- -- --\n");
    place.ctn(&["stop", "-t", "0", "web"]);
    assert_eq!(place.ctn(&["stats", "--no-stream", "--format", "{{.CPUPerc}} {{.PIDs}}", "web"]), "0.00% 0\n");
    place.ctn(&["rm", "web"]);
    assert_nothing_left(&place);
}

/// systemd-tmpfiles(8) passes over a directory that is locked, and with it over all below.
#[test]
fn what_a_container_runs_by_is_not_aged_away() {
    let place = user::place();
    place.detached("web", &[], "sleep 1000");
    let directory = user::run(&place).unwrap().parent().unwrap().to_owned();
    let is_locked = || {
        let tried = std::process::Command::new("flock").args(["-n", "-x"]).arg(&directory).arg("true").status();
        !tried.unwrap().success()
    };
    assert!(is_locked(), "{directory:?}");
    place.ctn(&["rm", "-f", "web"]);
    until("nobody needs it any more", || !is_locked());
    assert_nothing_left(&place);
}

/// What a user mounts inside is in the user's namespaces alone, and the machine sees nothing of it.
#[test]
fn shared_mounts_stay_the_users() {
    let place = user::place();
    let shared = place.join("shared");
    fs::create_dir_all(shared.join("below")).unwrap();
    chown(&shared, Some(USER), Some(USER)).unwrap();
    let before = place.mounts();
    for propagation in ["rshared", "rslave"] {
        let bind = format!("{}:/in:{propagation}", shared.display());
        let flags = ["--privileged", "-v", &bind];
        assert_eq!(place.inside(&flags, "mount -t tmpfs x /in/below && touch /in/below/mark; ls /in/below"), "mark\n");
        assert!(!shared.join("below/mark").exists(), "{propagation}");
        assert_eq!(place.mounts(), before, "{propagation}");
    }
    assert_nothing_left(&place);
}

#[test]
fn files_are_the_users() {
    let place = user::place();
    fs::create_dir(place.join("shared")).unwrap();
    chown(place.join("shared"), Some(USER), Some(USER)).unwrap();
    let volume = format!("{}:/shared", place.join("shared").display());
    let flags = ["-v", &volume, "-v", "named:/data", "--tmpfs", "/scratch"];
    let said = place.inside(&flags, "touch /shared/x /scratch/y && cat /data/of-image && stat -c %u /shared/x");
    assert_eq!(said, "from the image\n0\n");
    assert_eq!(fs::metadata(place.join("shared/x")).unwrap().uid(), USER);
    assert_eq!(place.ctn(&["volume", "rm", "named"]), "named\n");
    assert_nothing_left(&place);
}

#[test]
fn all_that_is_done_to_a_container() {
    let place = user::place();
    place.detached("web", &[], "echo said; sleep 1000");
    until("it has said so", || place.ctn(&["logs", "web"]) == "said\n");
    place.ctn(&["exec", "web", "touch", "/made"]);
    assert!(place.ctn(&["diff", "web"]).contains("A /made"));
    fs::write(place.join("file"), "content").unwrap();
    place.ctn(&["cp", "file", "web:/file"]);
    assert_eq!(place.ctn(&["exec", "web", "cat", "/file"]), "content");
    assert!(place.ctn(&["top", "web"]).contains("sleep 1000"));
    place.ctn(&["restart", "-t", "0", "web"]);
    assert_eq!(place.ctn(&["exec", "web", "cat", "/file"]), "content");
    place.ctn(&["rename", "web", "other"]);
    place.ctn(&["stop", "-t", "0", "other"]);
    assert_eq!(place.field("other", ".State.Status"), "exited");
    place.ctn(&["cp", "other:/file", "back"]);
    assert_eq!(fs::read_to_string(place.join("back")).unwrap(), "content");
    place.ctn(&["commit", "other", "kept"]);
    place.ctn(&["rm", "other"]);
    assert_eq!(place.ctn(&["run", "--rm", "--network", "none", "kept", "cat", "/file"]), "content");
    assert_eq!(place.outcome(&["run", "--rm", "--network", "none", "box", "sh", "-c", "exit 7"]).0, Some(7));
    assert_nothing_left(&place);
}

#[test]
fn namespaces_of_the_machine() {
    let place = user::place();
    let said = place.ctn(&[
        "run",
        "--rm",
        "--network",
        "host",
        "--pid",
        "host",
        "--ipc",
        "host",
        "box",
        "sh",
        "-c",
        "ls /sys/class/net; ls /proc",
    ]);
    assert!(said.lines().any(|line| line == "lo"), "{said}");
    let own = std::process::id().to_string();
    assert!(said.lines().any(|line| line == own), "the tests are seen: {said}");
    assert_nothing_left(&place);
}

#[test]
fn devices_of_the_machine() {
    let place = user::place();
    let said = place.inside(&["--device", "/dev/zero:/dev/nothing"], "head -c 3 /dev/nothing | wc -c");
    assert_eq!(said.trim(), "3");
    assert_nothing_left(&place);
}

#[test]
fn a_limit_without_a_cgroup_is_refused() {
    let place = user::place();
    for flags in [["-m", "100m"], ["--pids-limit", "10"], ["--cpus", "0.5"]] {
        let refusal =
            place.refusal(125, &[&["run", "--rm", "--network", "none"], &flags[..], &["box", "true"]].concat());
        assert!(refusal.contains("needs a cgroup") && refusal.contains("delegated"), "{flags:?}: {refusal}");
    }
    assert_nothing_left(&place);
}

#[test]
fn a_restart_policy_is_kept() {
    let place = user::place();
    place.ctn(&["run", "-d", "--network", "none", "--name", "again", "--restart", "on-failure:2", "box", "false"]);
    place.until_field("again", ".State.Status", "exited");
    assert_eq!(place.field("again", ".RestartCount"), "2");
    place.ctn(&["rm", "again"]);
    assert_nothing_left(&place);
}

#[test]
fn a_killed_monitor_is_seen_to_by_the_next_command() {
    let place = user::place();
    place.detached("web", &[], "sleep 1000");
    place.detached("other", &["--rm"], "sleep 1000");
    let process: i32 = place.field("web", ".State.Pid").parse().unwrap();
    kill(place.monitor_of("web"));
    kill(place.monitor_of("other"));
    assert!(place.ctn(&["ps", "-a"]).contains("Exited (137)"));
    assert!(fs::read_link(format!("/proc/{process}/exe")).is_err(), "its process has ended, too");
    assert_eq!(place.ctn(&["ps", "-aq"]).lines().count(), 1, "one went with its end");
    place.ctn(&["start", "web"]);
    place.ctn(&["rm", "-f", "web"]);
    assert_nothing_left(&place);
}

#[test]
fn who_holds_the_namespace_may_be_killed() {
    let place = user::place();
    place.detached("web", &[], "sleep 1000");
    let holder = user::processes(&place).into_iter().find(|line| line.contains("ctn holder")).unwrap();
    kill(holder.split(' ').next().unwrap().parse().unwrap());
    // A monitor shows the way in.
    assert_eq!(place.ctn(&["exec", "web", "id", "-u"]), "0\n");
    place.detached("second", &[], "sleep 1000");
    let namespace = |name: &str| fs::read_link(format!("/proc/{}/ns/user", place.field(name, ".State.Pid"))).unwrap();
    assert_eq!(namespace("web"), namespace("second"));
    place.ctn(&["rm", "-f", "web", "second"]);
    assert_nothing_left(&place);
}

/// As one leaves it that is killed, or whose command is, before it has written its number; and as one whose number is another's by now.
#[test]
fn what_a_holder_left_leads_nowhere() {
    let place = user::place();
    until("the holder of the import ends", || user::processes(&place).is_empty());
    let file = place.join("run/corten/holder");
    for text in ["", "1", "0", "nonsense"] {
        fs::write(&file, text).unwrap();
        let lock = fs::File::open(&file).unwrap();
        if text.is_empty() {
            rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        }
        let mut call = place.spawn(&["ps", "-a"]);
        let mut ended = None;
        until(&format!("the command ends, with {text:?} in the file"), || {
            ended = call.try_wait().unwrap();
            ended.is_some()
        });
        assert!(ended.unwrap().success(), "{text:?}");
        drop(lock);
        until("its holder ends", || user::processes(&place).is_empty());
    }
    assert_nothing_left(&place);
}

#[test]
fn commands_at_once_share_a_namespace() {
    let place = user::place();
    until("the holder of the import ends", || user::processes(&place).is_empty());
    let names: Vec<String> = (0..6).map(|number| format!("c{number}")).collect();
    let calls: Vec<_> = names
        .iter()
        .map(|name| place.spawn(&["run", "-d", "--network", "none", "--name", name, "box", "sleep", "1000"]))
        .collect();
    for call in calls {
        succeeded(&call.wait_with_output().unwrap(), "run");
    }
    let mut namespaces: Vec<_> = names
        .iter()
        .map(|name| fs::read_link(format!("/proc/{}/ns/user", place.field(name, ".State.Pid"))).unwrap())
        .collect();
    namespaces.dedup();
    assert_eq!(namespaces.len(), 1);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    place.ctn(&[&["rm", "-f"], &names[..]].concat());
    assert_nothing_left(&place);
}

#[test]
fn a_user_without_subordinate_ids_and_without_a_runtime_directory() {
    let place = user::place_in(
        "set -e; mkdir -p tmp; chmod 1777 tmp; mount --bind tmp /tmp; unset XDG_RUNTIME_DIR
         for file in subuid subgid; do mount --bind /dev/null /etc/$file; done",
    );
    assert_eq!(
        place.inside(&[], "id -u; cat /proc/self/uid_map").split_whitespace().collect::<Vec<_>>(),
        ["0", "0", "3000", "1"]
    );
    assert!(fs::metadata(place.join("tmp/corten-3000/members")).is_ok());
    for (flags, words) in [
        (["-u", "web"], "the user 33 of the container has no id on the machine"),
        (["--userns", "keep-id"], "--userns: keep-id needs subordinate ids, and /etc/subuid"),
        (["--userns", "nomap"], "--userns: nomap needs subordinate ids, and /etc/subuid"),
        (["--userns", "auto"], "--userns: auto is root's"),
    ] {
        let refusal =
            place.refusal(125, &[&["run", "--rm", "--network", "none"], &flags[..], &["box", "true"]].concat());
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
    }
    assert_nothing_left(&place);
}

#[test]
fn a_delegated_cgroup_is_used() {
    let group = format!("/sys/fs/cgroup/delegated-{}", std::process::id());
    let place = user::place_in(&format!(
        "set -e; mkdir -p {group}/session; chown -R {USER} {group}; echo $$ >{group}/session/cgroup.procs"
    ));
    let id = place.detached("web", &[], "sleep 1000");
    assert!(fs::exists(format!("{group}/{id}/cgroup.procs")).unwrap());
    place.ctn(&["pause", "web"]);
    assert_eq!(place.field("web", ".State.Status"), "paused");
    place.ctn(&["unpause", "web"]);
    assert_eq!(place.field("web", ".State.Status"), "running");
    place.ctn(&["rm", "-f", "web"]);
    assert!(!fs::exists(format!("{group}/{id}")).unwrap());
    assert_nothing_left(&place);
    until("the group is empty", || fs::remove_dir(format!("{group}/session")).is_ok());
    fs::remove_dir(group).unwrap();
}

#[test]
fn a_systemd_that_makes_no_scope_is_done_without() {
    // The machine has one, and the user's answers nobody.
    let place = user::place_in("set -e; mkdir -p machine/system /run/systemd; mount --bind machine /run/systemd");
    fs::create_dir_all(place.join("run/systemd")).unwrap();
    fs::write(place.join("run/systemd/private"), "").unwrap();
    let run = ["run", "-d", "--network", "none", "--name", "web"];
    let (status, _, warning) = place.outcome(&[&run[..], &["box", "sleep", "1000"]].concat());
    assert_eq!(status, Some(0), "{warning}");
    assert!(warning.contains("may end with this session") && warning.contains("systemd/private"), "{warning}");
    assert_eq!(place.ctn(&["exec", "web", "id", "-u"]), "0\n");
    place.ctn(&["rm", "-f", "web"]);
    // Who asks for a slice has to get one.
    let slice = ["run", "--rm", "--network", "none", "--cgroup-parent", "mine.slice", "box", "true"];
    let refusal = place.refusal(125, &slice);
    assert!(refusal.contains("reach the user's systemd"), "{refusal}");
    assert_nothing_left(&place);
}
