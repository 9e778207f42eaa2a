//! What a container sees, by the flags.

use crate::harness::Place;

#[test]
fn the_defaults() {
    let place = Place::new();
    let script = "id; hostname; cat /etc/hostname; pwd; echo $PATH; echo $HOME; cat /proc/1/comm; grep -c . /etc/hosts; \
                  grep Seccomp: /proc/self/status; grep NoNewPrivs /proc/self/status; grep CapEff /proc/self/status; \
                  df -k /dev/shm | grep -o 65536 | head -n 1; cat /sys/class/net/*/address | wc -l";
    let lines: Vec<String> = place.inside(&["-h", "box1"], script).lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "uid=0(root) gid=0(root) groups=0(root)",
            "box1",
            "box1",
            "/",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "/root",
            "sh",
            "6",
            "Seccomp:\t2",
            "NoNewPrivs:\t0",
            "CapEff:\t00000000a80425fb",
            "65536",
            "1",
        ]
    );
}

#[test]
fn who_and_where() {
    let place = Place::new();
    let user = |flags: &[&str]| place.inside(flags, "id; pwd; echo $HOME");
    assert_eq!(user(&["-u", "web", "-w", "/data"]), "uid=33(web) gid=34(web) groups=34(web),44(log)\n/data\n/tmp\n");
    assert_eq!(user(&["-u", "7:8", "--group-add", "extra"]), "uid=7 gid=8 groups=8,55(extra)\n/\n/\n");
    assert_eq!(
        place.inside(&["-u", "web"], "grep -E 'Cap(Prm|Eff)' /proc/self/status | grep -c 0000000000000000"),
        "2\n"
    );
    assert_eq!(place.inside(&["--entrypoint", "echo"], ""), "sh -c \n");
    place.write_env();
    assert_eq!(place.inside(&["-e", "A=flag", "--env-file", "env", "-e", "OF"], "echo $A $B-$OF"), "flag 2-\n");
    assert_eq!(place.inside(&["--ulimit", "nofile=77:88"], "ulimit -n; ulimit -Hn"), "77\n88\n");
    let twice = ["--ulimit", "nofile=77:88", "--ulimit", "nofile=55:66"];
    assert_eq!(place.inside(&twice, "ulimit -n; ulimit -Hn"), "55\n66\n");
    // What begins with a dash is a flag's value, too, and an empty one is as none.
    let dashes = ["run", "--rm", "--network", "none", "-h", "-x", "-e", "-A=-b", "-l", "-l", "box", "env"];
    let env = place.ctn(&dashes);
    assert!(env.contains("HOSTNAME=-x\n") && env.contains("\n-A=-b\n"), "{env}");
    assert_eq!(place.inside(&["-u", "", "-w", ""], "id -u; pwd"), "0\n/\n");
    assert_eq!(
        place.inside(&["--sysctl", "net.ipv4.ip_default_ttl=7"], "cat /proc/sys/net/ipv4/ip_default_ttl"),
        "7\n"
    );
    assert_eq!(place.inside(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj"), "500\n");
}

impl Place {
    fn write_env(&self) {
        std::fs::write(self.join("env"), "# a comment\nA=1\nB=2\n\n").unwrap();
    }
}

#[test]
fn privileges_are_given_and_taken() {
    let place = Place::new();
    let caps = |flags: &[&str]| place.inside(flags, "grep CapEff /proc/self/status").trim().replace("CapEff:\t", "");
    assert_eq!(caps(&["--cap-drop", "ALL"]), "0000000000000000");
    assert_eq!(caps(&["--cap-drop", "ALL", "--cap-add", "net_admin"]), "0000000000001000");
    let privileged =
        place.inside(&["--privileged"], "grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp && echo mounted");
    assert_eq!(privileged, "Seccomp:\t0\nmounted\n");
    let plain = place.inside(&[], "mount -t tmpfs x /tmp 2>/dev/null || echo refused; echo 1 >/proc/sys/kernel/printk 2>/dev/null || echo refused");
    assert_eq!(plain, "refused\nrefused\n");
    assert_eq!(
        place.inside(&["--security-opt", "no-new-privileges"], "grep NoNewPrivs /proc/self/status"),
        "NoNewPrivs:\t1\n"
    );
    assert_eq!(
        place.inside(&["--security-opt", "seccomp=unconfined"], "grep Seccomp: /proc/self/status"),
        "Seccomp:\t0\n"
    );
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["unlink"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_SYS_ADMIN"]}}]}"#;
    std::fs::write(place.join("profile.json"), profile).unwrap();
    let script = "mkdir /tmp/x 2>/dev/null || echo refused; touch /tmp/y && rm /tmp/y && echo removed";
    assert_eq!(place.inside(&["--security-opt", "seccomp=profile.json"], script), "refused\nremoved\n");
    let read_only = place.inside(
        &["--read-only", "--tmpfs", "/tmp"],
        "touch /x 2>/dev/null || echo refused; touch /tmp/x && echo written",
    );
    assert_eq!(read_only, "refused\nwritten\n");
}

#[test]
fn devices() {
    let place = Place::new();
    let script =
        "test -c /dev/kmsg && echo there; mknod /tmp/k c 1 11; head -c 0 </tmp/k 2>/dev/null && echo opened; true";
    assert_eq!(place.inside(&["--cap-add", "SYSLOG"], script), "");
    assert_eq!(place.inside(&["--cap-add", "SYSLOG", "--device", "/dev/kmsg"], script), "there\nopened\n");
    assert_eq!(place.inside(&["--device", "/dev/zero:/dev/own:r"], "head -c 3 /dev/own | wc -c").trim(), "3");
    let refusal = place.refusal(125, &["run", "--rm", "--network", "none", "--device", "/dev/nonsense", "box", "true"]);
    assert!(refusal.contains("/dev/nonsense"), "{refusal}");
    place.assert_nothing_left();
}

#[test]
fn namespaces_of_the_host_and_of_others() {
    let place = Place::new();
    let own = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string() + "\n";
    for (flag, kind) in
        [("--pid=host", "pid"), ("--ipc=host", "ipc"), ("--uts=host", "uts"), ("--cgroupns=host", "cgroup")]
    {
        let look = format!("readlink /proc/self/ns/{kind}");
        assert_eq!(place.inside(&[flag], &look), own(kind), "{flag}");
        assert_ne!(place.inside(&[], &look), own(kind), "{flag}");
    }
    let net = place.ctn(&["run", "--rm", "--network", "host", "box", "readlink", "/proc/self/ns/net"]);
    assert_eq!(net, own("net"));
    place.detached("first", &["-h", "first", "--ipc", "shareable"], "echo shared >/dev/shm/x; sleep 1000");
    crate::harness::until("it wrote", || place.outcome(&["exec", "first", "cat", "/dev/shm/x"]).1 == "shared\n");
    let joined = place.ctn(&[
        "run",
        "--rm",
        "--network",
        "container:first",
        "--pid",
        "container:first",
        "--ipc",
        "container:first",
        "box",
        "sh",
        "-c",
        "cat /proc/1/cmdline; cat /dev/shm/x",
    ]);
    assert!(joined.starts_with("sleep\x001000\0") && joined.ends_with("shared\n"), "{joined}");
    place.detached("alone", &[], "sleep 1000");
    let refusal = place.refusal(125, &["run", "--rm", "--network", "none", "--ipc", "container:alone", "box", "true"]);
    assert!(refusal.contains("--ipc shareable"), "{refusal}");
    let refusal = place.refusal(125, &["run", "--rm", "--network", "container:nobody", "box", "true"]);
    assert!(refusal.contains("No such container: nobody"), "{refusal}");
}

#[test]
fn exec_has_its_own_ways() {
    let place = Place::new();
    place.detached("into", &["-u", "web", "-e", "A=1"], "sleep 1000");
    let exec = |flags: &[&str], script: &str| place.ctn(&[&["exec"], flags, &["into", "sh", "-c", script]].concat());
    assert_eq!(exec(&[], "id -u; echo $A; cat /proc/1/comm"), "33\n1\nsleep\n");
    assert_eq!(exec(&["-u", "0", "-w", "/data", "-e", "A=2"], "id -u; pwd; echo $A"), "0\n/data\n2\n");
    assert_eq!(exec(&["-u", "", "-w", ""], "id -u; pwd"), "33\n/\n");
    assert_eq!(place.outcome(&["exec", "into", "nonsense"]).0, Some(127));
    assert_eq!(place.outcome(&["exec", "into", "/not-executable"]).0, Some(126));
    let mut command = place.command(&["exec", "-i", "into", "cat"]);
    let mut child = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"through").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"through");
    place.ctn(&["exec", "-d", "into", "sh", "-c", "echo detached >/tmp/d; sleep 1000"]);
    crate::harness::until("it wrote", || place.outcome(&["exec", "into", "cat", "/tmp/d"]).1 == "detached\n");
    assert!(place.ctn(&["top", "into"]).contains("sleep 1000"));
    let stats = place.ctn(&["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "into"]);
    assert!(stats.starts_with("into "), "{stats}");
}

#[test]
fn a_root_directory_in_place_of_an_image() {
    let place = Place::new();
    let output = place.ctn(&["run", "--rm", "--network", "none", "--rootfs", "image", "cat", "/data/of-image"]);
    assert_eq!(output, "from the image\n");
    place.assert_nothing_left();
}

#[test]
fn a_bundle_in_place_of_an_image() {
    let place = Place::new();
    place.ctn(&["unpack", "box", "bundle"]);
    let path = place.join("bundle/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["process"]["args"] =
        serde_json::json!(["sh", "-c", "id; pwd; echo $OF; touch /x 2>/dev/null || echo refused"]);
    config["process"]["user"] = serde_json::json!({"uid": 33, "gid": 34, "additionalGids": [55]});
    config["process"]["cwd"] = "/data".into();
    config["root"]["readonly"] = true.into();
    std::fs::write(&path, config.to_string()).unwrap();
    let run = |arguments: &[&str]| place.ctn(&[&["run", "--rm", "--network", "none"], arguments].concat());
    assert_eq!(
        run(&["--rootfs", "bundle"]),
        "uid=33(web) gid=34(web) groups=34(web),55(extra)\n/data\nimage\nrefused\n"
    );
    // The flags count more.
    let given = run(&["-u", "0", "-e", "OF=flag", "-w", "/", "--rootfs", "bundle", "sh", "-c", "id -G; pwd; echo $OF"]);
    assert_eq!(given, "0\n/\nflag\n");
    // Some other program's file of this name makes no bundle of a root directory.
    std::fs::write(place.join("bundle/rootfs/config.json"), "{\"key\": 1}").unwrap();
    assert_eq!(run(&["--rootfs", "bundle/rootfs", "cat", "/data/of-image"]), "from the image\n");
    config["root"]["path"] = "nowhere".into();
    std::fs::write(&path, config.to_string()).unwrap();
    let refusal = place.refusal(125, &["run", "--network", "none", "--rootfs", "bundle"]);
    assert!(refusal.contains("/nowhere\" is not there"), "{refusal}");
    let refusal = place.refusal(125, &["run", "--network", "none", "--rootfs", "nothing", "true"]);
    assert!(refusal.contains("/nothing\" is not there"), "{refusal}");
    place.assert_nothing_left();
}

#[test]
fn the_runtime_is_told_annotations() {
    let place = Place::new();
    let id = place.detached("told", &["--annotation", "a.b=c=d", "--annotation", "e="], "sleep 1000");
    assert_eq!(place.field("told", "json .HostConfig.Annotations"), "{\"a.b\":\"c=d\",\"e\":\"\"}");
    let mut runtime = std::process::Command::new(env!("CARGO_BIN_EXE_corten"));
    let state = runtime.arg("--root").arg(place.run().unwrap().join("runtime")).args(["state", &id]).output().unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state.stdout).unwrap();
    assert_eq!(state["annotations"]["a.b"], "c=d");
}
