//! A volume of another file system, whose container's monitor is stopped after every call that makes mounts, and killed, while another
//! container waits for the same volume.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{Place, ctn, kill, until};

/// Runs a container whose processes strace(1) stops after their nth call of a kind; says which of them was the first, if any was.
fn stopped_after(place: &Place, kind: &str, number: usize, arguments: &[&str]) -> (std::process::Child, Option<i32>) {
    let log = place.join("strace.log");
    let _ = fs::remove_file(&log);
    let mut command = Command::new("strace");
    command.arg("-f").arg("-o").arg(&log).args(["-e", &format!("trace={kind}")]);
    command.args(["-e", &format!("inject={kind}:signal=SIGSTOP:when={number}")]).arg(ctn()).args(arguments);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CTN_ROOT", place.store());
    command.current_dir(&place.path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut call = command.spawn().unwrap();
    let mut stopped = None;
    until("a process is stopped, or all is over", || {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let line = said.lines().find(|line| line.ends_with("--- stopped by SIGSTOP ---"));
        stopped = line.map(|line| line.split_whitespace().next().unwrap().parse().unwrap());
        stopped.is_some() || call.try_wait().unwrap().is_some()
    });
    (call, stopped)
}

#[test]
fn a_volume_has_its_flags_before_it_is_there() {
    let place = Place::new();
    let shared = place.join("shared");
    fs::create_dir(&shared).unwrap();
    let device = format!("device={}", shared.display());
    place.ctn(&["volume", "create", "-o", "type=none", "-o", &device, "-o", "o=bind,ro,nosuid", "bound"]);
    let run = |script| ["run", "--rm", "--network", "none", "-v", "bound:/v", "box", "sh", "-c", script];
    let look = "busybox touch /v/x 2>/dev/null && echo written; grep ' /v ' /proc/mounts";
    let mut waited = 0;
    for kind in ["mount", "mount_setattr", "move_mount"] {
        for number in 1..=3 {
            let (mut first, stopped) = stopped_after(&place, kind, number, &run("true"));
            let Some(stopped) = stopped else { continue };
            let mut second = place.spawn(&run(look));
            let mut waits = false;
            until("the second waits for the volume, or has it", || {
                let locks = fs::read_to_string("/proc/locks").unwrap();
                waits = locks.lines().any(|line| line.contains("-> FLOCK"));
                waits || second.try_wait().unwrap().is_some()
            });
            waited += u32::from(waits);
            kill(stopped);
            let said = second.wait_with_output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            let has_flags = said.contains(" /v ") && said.contains(" ro,nosuid,");
            assert!(has_flags && !said.contains("written"), "{kind} {number}: {said}");
            // What else is stopped is the killed one's, and ends with the next command.
            until("nothing is left", || {
                place.ctn(&["ps", "-q"]);
                for id in place.ctn(&["ps", "-aq", "--filter", "status=created"]).lines() {
                    place.outcome(&["rm", id]);
                }
                first.try_wait().unwrap().is_some() && place.leftovers().is_empty()
            });
        }
    }
    assert!(waited > 0, "nobody waited");
}
