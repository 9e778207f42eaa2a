//! SIGKILL between every two steps of what changes networks, of the command and of the monitor; one command later all of it is there or
//! nothing is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::harness::{Place, ctn, kill, until};
use crate::wait::Process;
use crate::wire::{Host, files, ip, run};

/// What changes something that others see: messages of netlink(7) and to others, names, mounts, namespaces, processes; and the end, after
/// which nothing is changed any more. strace(1) kills before the call, and counts each kind for itself.
const STEPS: &str = "sendto,sendmsg,write,bind,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,\
                     mkdirat,mknodat,mount,move_mount,umount2,open_tree,fsmount,setns,clone,clone3,vfork,flock,exit_group";

/// A machine of its own with a store, whose containers' groups are nobody else's.
struct Site {
    place: Place,
    _host: Host,
}

impl Site {
    fn new() -> Site {
        let host = Host::new();
        Site { place: Place::new(), _host: host }
    }

    /// `--cgroup-parent`.
    fn parent(&self) -> String {
        format!("/{}", self.place.path.file_name().unwrap().to_str().unwrap())
    }

    fn group(&self) -> PathBuf {
        PathBuf::from(format!("/sys/fs/cgroup{}", self.parent()))
    }

    fn log(&self) -> PathBuf {
        self.place.join("strace.log")
    }

    fn strace(&self, at: Step) -> Command {
        let mut command = Command::new("strace");
        command.arg("-o").arg(self.log()).args(["-e", &format!("trace={STEPS}")]);
        command.args(["-e", &format!("inject={}:signal=SIGKILL:when={}", at.kind, at.number)]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CTN_ROOT", self.place.store());
        command.current_dir(&self.place.path).stdin(Stdio::null());
        command
    }

    /// What was done before the kill; none where it didn't come to that.
    fn kill(&self) -> Option<String> {
        let log = fs::read_to_string(self.log()).unwrap();
        log.contains("+++ killed by SIGKILL").then(|| log.lines().rev().nth(1).unwrap_or_default().to_owned())
    }

    /// Kills a command at its nth step, and waits until the monitor that it may have started has done its work.
    fn kill_command(&self, at: Step, arguments: &[&str]) -> Option<String> {
        self.strace(at).arg(ctn()).args(arguments).output().unwrap();
        until("no monitor is at work", || !arguments.contains(&"run") || self.monitors().is_empty());
        self.kill()
    }

    fn monitors(&self) -> String {
        fs::read_to_string(self.group().join("monitors/cgroup.procs")).unwrap_or_default()
    }

    /// Kills a monitor at its nth step while a command has it do something. It is traced before it goes on.
    fn kill_monitor(&self, at: Step, monitor: i32, go_on: impl FnOnce()) -> Option<String> {
        let tracer = self.strace(at).args(["-p", &monitor.to_string()]).stderr(Stdio::piped()).spawn();
        let mut tracer = Tracer(tracer.unwrap());
        let mut first = String::new();
        BufReader::new(tracer.0.stderr.as_mut().unwrap()).read_line(&mut first).unwrap();
        assert!(first.contains("attached"), "{first}");
        go_on();
        drop(tracer);
        self.kill()
    }

    /// Kills the monitor that a command starts: it is born frozen, so that it is traced before its first step.
    fn kill_monitor_of(&self, at: Step, arguments: &[&str]) -> Option<String> {
        let monitors = self.group().join("monitors");
        fs::create_dir_all(&monitors).unwrap();
        until("the last one has ended", || self.monitors().is_empty());
        let freeze = |value: &str| fs::write(monitors.join("cgroup.freeze"), value).unwrap();
        freeze("1");
        let mut command = self.place.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("a monitor is born", || !self.monitors().is_empty());
        let monitor: i32 = self.monitors().trim().parse().unwrap();
        self.kill_monitor(at, monitor, || {
            freeze("0");
            command.wait().unwrap();
            // One that wasn't killed is at its end.
            until("the monitor has ended", || self.monitors().is_empty());
        })
    }

    /// Links, rules, claims and records of containers, and half-written files; those of containers that may be there aside.
    fn leftovers(&self) -> Vec<String> {
        let mut left = self.place.leftovers();
        left.extend(ports());
        left.extend(links("veth"));
        if let Some(run) = self.place.run().map(|run| run.join("network")).filter(|run| run.exists()) {
            files(&run, &mut left);
        }
        if let Ok(all) = fs::read_dir(self.place.store().join("networks")) {
            let names = all.map(|entry| entry.unwrap().path().display().to_string());
            left.extend(names.filter(|name| name.ends_with(".new")));
        }
        left.retain(|name| !name.ends_with("/lock") && !name.contains("/.last"));
        left
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let groups = self.group();
        let _ = fs::write(groups.join("monitors/cgroup.freeze"), "0");
        // What runs ends with the place, which is dropped after this; an empty group is all that stays.
        let ids = self.place.outcome(&["ps", "-aq"]).1;
        self.place.outcome(&[&["rm", "-fv"], &ids.lines().collect::<Vec<_>>()[..]].concat());
        until("the groups are gone", || {
            for group in [groups.join("monitors"), groups.clone()] {
                let _ = fs::remove_dir(group);
            }
            !groups.exists()
        });
    }
}

/// Lets go of what it traces when the test fails.
struct Tracer(Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

/// Elements of the maps that lead from the host's ports to containers.
fn ports() -> Vec<String> {
    let rules = run("nft", "list ruleset");
    rules.lines().filter(|line| line.contains("comment") && line.contains(" . ")).map(str::to_owned).collect()
}

fn links(beginning: &str) -> Vec<String> {
    ip("-br link").lines().filter(|line| line.starts_with(beginning)).map(str::to_owned).collect()
}

/// The nth call of a kind.
#[derive(Debug, Clone, Copy)]
struct Step {
    kind: &'static str,
    number: usize,
}

/// Kills at each step of each kind that there is; says how often.
fn at_each_step(site: &Site, mut kill: impl FnMut(Step) -> Option<String>, mut check: impl FnMut(&str)) -> usize {
    kill(Step { kind: "exit_group", number: 2 });
    check("killed nowhere");
    let log = fs::read_to_string(site.log()).unwrap();
    let mut kills = 0;
    for kind in STEPS.split(',').filter(|kind| log.lines().any(|line| line.starts_with(&format!("{kind}(")))) {
        for number in 1.. {
            let last = kill(Step { kind, number });
            check(&format!("killed before {kind} {number}: {last:?}"));
            if last.is_none() {
                break;
            }
            kills += 1;
        }
    }
    kills
}

const RUN: [&str; 5] = ["run", "--rm", "-p", "18080:80", "--cgroup-parent"];

/// One command later there is a container that was not started, or nothing.
fn assert_gone(site: &Site, when: &str) {
    let (code, output, errors) = site.place.outcome(&["ps", "-a", "--format", "{{.ID}} {{.State}}"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{when}");
    if let Some((id, state)) = output.trim().split_once(' ') {
        assert_eq!(state, "created", "{when}: {output}");
        site.place.ctn(&["rm", id]);
    }
    // The kernel removes a container's links when its namespace has ended.
    until(&format!("no link is left, {when}"), || links("veth").is_empty());
    assert_eq!(site.leftovers(), [""; 0], "{when}");
    TcpListener::bind("0.0.0.0:18080").unwrap_or_else(|error| panic!("{when}: {error}"));
}

#[test]
fn a_run_whose_command_is_killed() {
    let site = Site::new();
    let parent = site.parent();
    let arguments = [&RUN[..], &[&parent, "box", "true"]].concat();
    let kills = at_each_step(&site, |at| site.kill_command(at, &arguments), |when| assert_gone(&site, when));
    assert!(kills > 20, "only {kills}");
}

#[test]
fn a_run_whose_monitor_is_killed() {
    let site = Site::new();
    let parent = site.parent();
    // The bridge is there, and what the first attach of all does is looked at by another test.
    site.place.ctn(&[&RUN[..], &[&parent, "box", "true"]].concat());
    let arguments = [&RUN[..], &[&parent, "box", "true"]].concat();
    let kills = at_each_step(&site, |at| site.kill_monitor_of(at, &arguments), |when| assert_gone(&site, when));
    assert!(kills > 60, "only {kills}");
}

/// A container in the default network, and a network that it is not in.
struct Member {
    site: Site,
    id: String,
}

impl Member {
    fn new() -> Member {
        let site = Site::new();
        site.place.ctn(&["network", "create", "mine"]);
        let parent = site.parent();
        let flags = ["run", "-d", "--name", "web", "-p", "18080:80", "--cgroup-parent", &parent];
        let id = site.place.ctn(&[&flags[..], &["box", "sleep", "1000"]].concat()).trim().to_owned();
        Member { site, id }
    }

    fn ctn(&self, arguments: &[&str]) -> String {
        self.site.place.ctn(arguments)
    }

    /// Whether it is in the second network; all that belongs to that has to be there, or nothing.
    fn is_connected(&self, when: &str) -> bool {
        let place = &self.site.place;
        let (code, _, errors) = place.outcome(&["ps", "-a"]);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{when}");
        let format = "{{.State.Pid}} {{range $name, $_ := .NetworkSettings.Networks}} {{$name}}{{end}}";
        let of_record = self.ctn(&["inspect", "--format", format, "web"]);
        let (pid, networks) = of_record.split_once(' ').unwrap();
        let is_connected = networks.contains("mine");
        let network = self.ctn(&["network", "inspect", "--format", "{{.Id}}", "mine"]).trim().to_owned();
        let state = |kind: &str| {
            let mut found = Vec::new();
            let directory = place.run().unwrap().join("network").join(kind).join(&network);
            if directory.exists() {
                files(&directory, &mut found);
            }
            found.retain(|name| !name.contains("/.last"));
            found.len()
        };
        let hosts = fs::read_to_string(place.store().join("containers").join(&self.id).join("hosts")).unwrap();
        let inside = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
        let resolving =
            fs::read_to_string(place.store().join("containers").join(&self.id).join("resolv.conf")).unwrap();
        let seen = (
            state("endpoints"),
            state("leases"),
            links("veth").len(),
            inside.contains("eth1"),
            hosts.lines().filter(|line| line.ends_with(&self.id[..12])).count(),
            !is_connected || resolving.contains("127.0.0.11"),
        );
        let wanted = if is_connected { (1, 1, 2, true, 2, true) } else { (0, 0, 1, false, 1, true) };
        assert_eq!(seen, wanted, "{when}: {networks} {hosts}");
        assert_eq!(ports().len(), 1, "{when}");
        is_connected
    }

    /// Whether its own other name is answered, by whom it is asked from inside.
    fn answers(&self) -> bool {
        self.ctn(&["exec", "web", "busybox", "nslookup", "other"]).contains("Address")
    }
}

const CONNECT: [&str; 6] = ["network", "connect", "--alias", "other", "mine", "web"];
const DISCONNECT: [&str; 4] = ["network", "disconnect", "mine", "web"];

#[test]
fn a_connect_that_is_killed() {
    let member = Member::new();
    let mut times = 0;
    let kills = at_each_step(
        &member.site,
        |at| member.site.kill_command(at, &CONNECT),
        |when| {
            if member.is_connected(when) {
                times += 1;
                assert!(member.answers(), "{when}");
                member.ctn(&DISCONNECT);
                assert!(!member.is_connected(when));
            }
        },
    );
    assert!(kills > 20 && times > 0, "{kills} {times}");
}

#[test]
fn a_disconnect_that_is_killed() {
    let member = Member::new();
    member.ctn(&CONNECT);
    let mut times = 0;
    let kills = at_each_step(
        &member.site,
        |at| member.site.kill_command(at, &DISCONNECT),
        |when| {
            if !member.is_connected(when) {
                times += 1;
                member.ctn(&CONNECT);
                assert!(member.is_connected(when));
            }
        },
    );
    assert!(kills > 15 && times > 0, "{kills} {times}");
}

/// The names that are taken, after one more command.
fn names_of(place: &Place, when: &str) -> Vec<String> {
    let (code, _, errors) = place.outcome(&["ps", "-a"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{when}");
    let mut names = Vec::new();
    files(&place.store().join("names"), &mut names);
    names.iter().map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
}

#[test]
fn a_rename_that_is_killed() {
    let member = Member::new();
    let place = &member.site.place;
    let mut times = 0;
    let kills = at_each_step(
        &member.site,
        |at| member.site.kill_command(at, &["rename", "web", "site"]),
        |when| {
            let name = member.ctn(&["ps", "--format", "{{.Names}}"]);
            let mut found = Vec::new();
            files(&place.run().unwrap().join("network/endpoints"), &mut found);
            let of_network = fs::read_to_string(found.iter().find(|path| path.ends_with(&member.id)).unwrap()).unwrap();
            assert!(of_network.contains(&format!("\"name\":{:?}", name.trim())), "{when}: {name} {of_network}");
            assert_eq!(names_of(place, when), [name.trim()], "{when}");
            if name == "site\n" {
                times += 1;
                member.ctn(&["rename", "site", "web"]);
            }
        },
    );
    assert!(kills > 10 && times > 0, "{kills} {times}");
}

#[test]
fn a_rename_of_a_stopped_container_that_is_killed() {
    let site = Site::new();
    let place = &site.place;
    place.ctn(&["create", "--name", "web", "box", "true"]);
    let mut times = 0;
    let kills = at_each_step(
        &site,
        |at| site.kill_command(at, &["rename", "web", "site"]),
        |when| {
            let names = names_of(place, when);
            assert_eq!(names, [place.ctn(&["ps", "-a", "--format", "{{.Names}}"]).trim()], "{when}");
            if names == ["site"] {
                times += 1;
                place.ctn(&["rename", "site", "web"]);
            }
        },
    );
    assert!(kills > 5 && times > 0, "{kills} {times}");
    place.ctn(&["rm", "web"]);
    assert_eq!(site.leftovers(), [""; 0]);
}

/// Either the old one is there, whether it runs or not, or the new one with all that belongs to it.
#[test]
fn a_replacement_that_is_killed() {
    let site = Site::new();
    let place = &site.place;
    let parent = site.parent();
    let mut times = [0, 0];
    for flags in [&[][..], &["--rm"]] {
        let start = || {
            let run = ["run", "-d", "--name", "web", "--label", "old", "-v", "/data", "--cgroup-parent", &parent];
            place.ctn(&[&run, flags, &["box", "sleep", "1000"]].concat()).trim().to_owned()
        };
        let mut old = start();
        let arguments = ["create", "--replace", "--name", "web", "--network", "none", "-v", "/vol", "box", "true"];
        let kills = at_each_step(
            &site,
            |at| site.kill_command(at, &arguments),
            |when| {
                assert_eq!(names_of(place, when), ["web"], "{when}");
                let all = place.ctn(&["ps", "-aq", "--no-trunc"]);
                assert_eq!(all.lines().count(), 1, "{when}: {all}");
                assert_eq!(place.field("web", ".Id"), all.trim(), "{when}");
                let is_new = all.trim() != old;
                times[usize::from(is_new)] += 1;
                // What it has is whole: it can be started, and nothing is left when it goes.
                place.ctn(&["start", "web"]);
                if is_new {
                    place.ctn(&["rm", "-fv", "web"]);
                    until(&format!("no link is left, {when}"), || links("veth").is_empty());
                    assert_eq!(site.leftovers(), [""; 0], "{when}");
                    old = start();
                }
            },
        );
        assert!(kills > 20, "{kills}");
        place.ctn(&["rm", "-fv", "web"]);
    }
    until("no link is left", || links("veth").is_empty());
    assert!(times.iter().all(|times| *times > 4), "{times:?}");
    assert_eq!(site.leftovers(), [""; 0]);
}

/// The container ends, and with it what is noted of it, before any command comes to it.
#[test]
fn a_rename_that_is_killed_before_the_container_ends() {
    let member = Member::new();
    let place = &member.site.place;
    let mut times = 0;
    let kills = at_each_step(
        &member.site,
        |at| {
            let (pid, monitor) = (place.field("web", ".State.Pid"), place.monitor_of("web"));
            let monitor = Process::watch(monitor);
            let killed = member.site.kill_command(at, &["rename", "web", "site"]);
            kill(pid.parse().unwrap());
            monitor.wait_gone();
            killed
        },
        |when| {
            let names = names_of(place, when);
            assert_eq!(names, [place.ctn(&["ps", "-a", "--format", "{{.Names}}"]).trim()], "{when}");
            if names == ["site"] {
                times += 1;
                member.ctn(&["rename", "site", "web"]);
            }
            member.ctn(&["start", "web"]);
        },
    );
    assert!(kills > 10 && times > 0, "{kills} {times}");
}

#[test]
fn a_monitor_that_is_killed_at_a_connect() {
    let member = Member::new();
    let kill = |at| {
        let monitor = member.site.place.monitor_of("web");
        member.site.kill_monitor(at, monitor, || {
            let connect = member.site.place.call(&CONNECT);
            // One that has nothing more to do is told to end, so that it comes to its end under the tracer's eyes.
            if connect.status.success() {
                member.site.place.call(&["stop", "-t", "0", "web"]);
            }
        })
    };
    let kills = at_each_step(&member.site, kill, |when| {
        let (code, output, errors) = member.site.place.outcome(&["ps", "-a", "--format", "{{.State}}"]);
        assert_eq!((code, output.as_str(), errors.as_str()), (Some(0), "exited\n", ""), "{when}");
        until(&format!("no link is left, {when}"), || links("veth").is_empty());
        let mut left = Vec::new();
        files(&member.site.place.run().unwrap().join("network"), &mut left);
        left.retain(|name| !name.ends_with("/lock") && !name.contains("/.last"));
        left.extend(ports());
        assert_eq!(left, [""; 0], "{when}");
        member.site.place.outcome(&DISCONNECT);
        member.ctn(&["start", "web"]);
        assert!(!member.is_connected(when));
    });
    assert!(kills > 20, "only {kills}");
}

#[test]
fn a_network_that_is_made_and_removed() {
    let site = Site::new();
    let place = &site.place;
    let is_there = || place.ctn(&["network", "ls", "--format", "{{.Name}}"]).lines().any(|name| name == "mine");
    let assert_gone = |when: &str| {
        assert_eq!(site.leftovers(), [""; 0], "{when}");
        assert_eq!(links("br-"), [""; 0], "{when}");
        assert!(!run("nft", "list ruleset").contains("br-"), "{when}");
        let mut left = Vec::new();
        files(&place.store().join("networks"), &mut left);
        left.retain(|name| !name.ends_with("/lock"));
        assert_eq!(left, [""; 0], "{when}");
        for kind in ["endpoints", "leases"] {
            let directory = place.run().unwrap().join("network").join(kind);
            assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "{when}");
        }
    };
    let remove = ["network", "rm", "mine"];
    // Before there is a default network.
    let kills = at_each_step(
        &site,
        |at| site.kill_command(at, &["network", "create", "--ipv6", "mine"]),
        |when| {
            if !is_there() {
                place.ctn(&["network", "create", "mine"]);
            }
            place.ctn(&remove);
            assert_gone(when);
        },
    );
    assert!(kills > 5, "only {kills}");
    let kills = at_each_step(
        &site,
        |at| {
            place.ctn(&["network", "create", "--ipv6", "mine"]);
            place.ctn(&["run", "--rm", "--network", "mine", "box", "true"]);
            until("its link is gone", || links("veth").is_empty());
            site.kill_command(at, &remove)
        },
        |when| {
            if is_there() {
                place.ctn(&remove);
            }
            assert_gone(when);
        },
    );
    assert!(kills > 8, "only {kills}");
}

#[test]
fn a_reload_that_is_killed() {
    let member = Member::new();
    member.ctn(&CONNECT);
    let rules = run("nft", "list ruleset");
    let bridges: Vec<String> = ["corten", "br-"].iter().flat_map(|name| links(name)).collect();
    assert_eq!(bridges.len(), 2, "{bridges:?}");
    let masters = || ip("-o link").lines().filter(|line| line.contains("veth") && line.contains("master")).count();
    let kill = |at| {
        run("nft", "flush ruleset");
        for bridge in &bridges {
            ip(&format!("link delete {}", bridge.split(' ').next().unwrap()));
        }
        member.site.kill_command(at, &["network", "reload"])
    };
    let kills = at_each_step(&member.site, kill, |when| {
        member.ctn(&["network", "reload"]);
        assert_eq!(run("nft", "list ruleset"), rules, "{when}");
        assert_eq!(masters(), 2, "{when}");
        assert!(member.is_connected(when));
    });
    assert!(kills > 10, "only {kills}");
}
