//! What a container of containerd's sees, and what it may do.

use anyhow::{Result, ensure};

use super::Containerd;
use crate::harness::host::cgroup;
use crate::harness::image::WORKER;
use crate::harness::trial::{Case, Skip, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Containerd>)> {
    cases![
        has_its_own_namespaces,
        has_the_configured_process,
        has_a_user,
        has_a_read_only_root,
        has_mounts,
        has_capabilities,
        has_a_seccomp_filter,
        has_a_device,
        may_be_privileged,
        may_use_the_hosts_network,
        joins_a_namespace,
        lives_in_a_user_namespace,
        runs_on_a_directory,
        runs_without_pivot_root,
        has_propagation,
        has_limits,
    ]
}

/// Runs a script to its good end and gives what it printed.
fn script(containerd: &Containerd, options: &[&str], script: &str) -> Result<String> {
    containerd.printed(options, &["/bin/sh", "-c", script])
}

fn has_its_own_namespaces(containerd: &Containerd) -> Result<()> {
    for kind in ["ipc", "mnt", "net", "pid", "uts"] {
        let inside = script(containerd, &[], &format!("readlink /proc/self/ns/{kind}"))?;
        let outside = std::fs::read_link(format!("/proc/self/ns/{kind}"))?;
        ensure!(inside.starts_with(&format!("{kind}:[")), "{inside}");
        ensure!(inside != outside.to_string_lossy(), "the {kind} namespace is the host's");
    }
    let processes = script(containerd, &[], "echo /proc/[0-9]*")?;
    ensure!(processes == "/proc/1", "{processes}");
    let links = script(containerd, &[], "ls /sys/class/net; cat /sys/class/net/lo/flags")?;
    // IFF_UP | IFF_LOOPBACK: nobody but the runtime has set it up.
    ensure!(links == "lo\n0x9", "{links}");
    Ok(())
}

fn has_the_configured_process(containerd: &Containerd) -> Result<()> {
    let options = ["--cwd", "/home", "--env", "ADDED=a b"];
    let printed = script(containerd, &options, "pwd; echo $FROM_IMAGE, $ADDED")?;
    ensure!(printed == "/home\nyes, a b", "{printed}");
    // Nothing that is not asked for is open: what ls opens itself is all beyond the standard streams.
    let descriptors = script(containerd, &[], "ls /proc/self/fd")?;
    ensure!(descriptors == "0\n1\n2\n3", "{descriptors}");
    let signals = containerd.printed(&[], &["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])?;
    ensure!(signals == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000", "{signals}");
    Ok(())
}

fn has_a_user(containerd: &Containerd) -> Result<()> {
    let sleeper = containerd.start_sleeper(&[])?;
    let process = containerd.host.name("exec");
    // Numbers: to look up a name, ctr mounts the running container's file system a second time, and breaks it.
    let user = format!("{WORKER}:{WORKER}");
    let exec = containerd.ctr(&["task", "exec", "--user", &user, "--exec-id", &process, &sleeper.name]);
    let finished =
        exec.args(["/bin/sh", "-c", "id; touch /home/worker/mine; touch /etc/mine"]).finish()?.ends_with(1)?;
    let finished = finished.prints(&format!("uid={WORKER}(worker) gid={WORKER}(worker)"))?;
    ensure!(finished.stderr.trim() == "touch: /etc/mine: Permission denied", "standard error of {finished}");
    Ok(())
}

fn has_a_read_only_root(containerd: &Containerd) -> Result<()> {
    let printed = script(containerd, &["--read-only"], "touch /tmp/mine 2>&1; touch /dev/shm/mine && echo written")?;
    ensure!(printed == "touch: /tmp/mine: Read-only file system\nwritten", "{printed}");
    Ok(())
}

fn has_mounts(containerd: &Containerd) -> Result<()> {
    let source = containerd.host.new_directory("source")?;
    std::fs::write(source.join("file"), "from outside\n")?;
    let writable = format!("type=bind,src={},dst=/data,options=rbind:rw", source.display());
    let read_only = format!("type=bind,src={},dst=/read/only,options=bind:ro", source.display());
    let memory = "type=tmpfs,src=tmpfs,dst=/memory,options=size=1m:mode=700:noexec";
    let options = ["--mount", &writable, "--mount", &read_only, "--mount", memory];
    let inside = "cat /data/file; echo from inside > /data/answer; touch /read/only/mine 2>&1; \
                  stat -c %a /memory; grep ' /memory ' /proc/mounts";
    let printed = script(containerd, &options, inside)?;
    let lines: Vec<_> = printed.lines().collect();
    ensure!(lines.len() == 4, "{printed}");
    ensure!(lines[0] == "from outside", "{printed}");
    ensure!(lines[1] == "touch: /read/only/mine: Read-only file system", "{printed}");
    ensure!(lines[2] == "700", "{printed}");
    ensure!(lines[3].contains("noexec") && lines[3].contains("size=1024k"), "{printed}");
    ensure!(std::fs::read_to_string(source.join("answer"))? == "from inside\n", "the file is not outside");
    Ok(())
}

fn has_capabilities(containerd: &Containerd) -> Result<()> {
    let sets = |options: &[&str]| script(containerd, options, "grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status");
    // containerd's fourteen.
    let printed = sets(&[])?;
    ensure!(printed == "CapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb", "{printed}");
    let printed = sets(&["--cap-drop", "CAP_CHOWN", "--cap-add", "CAP_SYS_TIME"])?;
    ensure!(printed == "CapPrm:\t00000000aa0425fa\nCapEff:\t00000000aa0425fa\nCapBnd:\t00000000aa0425fa", "{printed}");
    script(containerd, &["--cap-drop", "CAP_CHOWN"], "chown worker /tmp || echo refused")?;
    let printed = script(containerd, &[], "grep NoNewPrivs /proc/self/status")?;
    ensure!(printed == "NoNewPrivs:\t1", "{printed}");
    let printed = script(containerd, &["--allow-new-privs"], "grep NoNewPrivs /proc/self/status")?;
    ensure!(printed == "NoNewPrivs:\t0", "{printed}");
    Ok(())
}

fn has_a_seccomp_filter(containerd: &Containerd) -> Result<()> {
    let inside = "grep ^Seccomp: /proc/self/status; unshare -U true 2>&1";
    let printed = script(containerd, &[], "grep ^Seccomp: /proc/self/status")?;
    ensure!(printed == "Seccomp:\t0", "{printed}");
    let failed = script(containerd, &["--seccomp"], inside).err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(failed.contains("Seccomp:\t2"), "{failed}");
    ensure!(failed.contains("Operation not permitted"), "{failed}");
    Ok(())
}

fn has_a_device(containerd: &Containerd) -> Result<()> {
    let inside = "stat -c '%F %t:%T' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; readlink /dev/ptmx; readlink /dev/fd";
    let printed = script(containerd, &[], inside)?;
    let kind = "character special file";
    let nodes = ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0"].map(|number| format!("{kind} {number}\n")).concat();
    ensure!(printed == format!("{nodes}pts/ptmx\n/proc/self/fd"), "{printed}");
    let made = "mknod /tmp/fuse c 10 229 && cat /tmp/fuse";
    let failed = script(containerd, &[], made).err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(failed.contains("Operation not permitted"), "{failed}");
    if !std::path::Path::new("/dev/fuse").exists() {
        return Err(Skip("no /dev/fuse to hand in".to_string()).into());
    }
    let options = ["--device", "/dev/fuse"];
    let printed = script(containerd, &options, "stat -c %t:%T /dev/fuse; : < /dev/fuse && echo open")?;
    ensure!(printed == "a:e5\nopen", "{printed}");
    Ok(())
}

fn may_be_privileged(containerd: &Containerd) -> Result<()> {
    let inside = "grep ^CapEff /proc/self/status; mount -t tmpfs mine /tmp && grep -c ' /tmp ' /proc/mounts; \
                  echo kept > /proc/sys/kernel/hostname && hostname";
    let printed = script(containerd, &["--privileged"], inside)?;
    let outside = std::fs::read_to_string("/proc/self/status")?;
    let all = outside.lines().find(|line| line.starts_with("CapEff")).unwrap_or_default();
    ensure!(printed == format!("{all}\n1\nkept"), "{printed}\nand outside {all}");
    let failed = script(containerd, &[], "mount -t tmpfs mine /tmp").err().map(|error| error.to_string());
    ensure!(failed.is_some_and(|text| text.contains("permission denied")), "an unprivileged container can mount");
    Ok(())
}

fn may_use_the_hosts_network(containerd: &Containerd) -> Result<()> {
    let inside = script(containerd, &["--net-host"], "readlink /proc/self/ns/net")?;
    let outside = std::fs::read_link("/proc/self/ns/net")?;
    ensure!(inside == outside.to_string_lossy(), "{inside} and not {outside:?}");
    Ok(())
}

fn joins_a_namespace(containerd: &Containerd) -> Result<()> {
    let first = containerd.start_sleeper(&[])?;
    let pid = containerd.pid(&first.name)?;
    for (option, name) in [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        let path = format!("/proc/{pid}/ns/{name}");
        let join = format!("{option}:{path}");
        let inside = script(containerd, &["--with-ns", &join], &format!("readlink /proc/self/ns/{name}"))?;
        let outside = std::fs::read_link(&path)?;
        ensure!(inside == outside.to_string_lossy(), "{inside} and not {outside:?}");
    }
    Ok(())
}

fn lives_in_a_user_namespace(containerd: &Containerd) -> Result<()> {
    let options = ["--uidmap", "0:200000:65536", "--gidmap", "0:300000:65536"];
    let sleeper = containerd.start_sleeper(&options)?;
    let inside =
        sleeper.exec(&["/bin/sh", "-c", "id -u; cat /proc/self/uid_map; touch /tmp/mine; stat -c %u:%g /tmp/mine"]);
    let printed = inside.stdout()?;
    let words: Vec<_> = printed.split_whitespace().collect();
    ensure!(words == ["0", "0", "200000", "65536", "0:0"], "{printed}");
    let pid = containerd.pid(&sleeper.name)?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    ensure!(status.contains("Uid:\t200000\t200000\t200000\t200000\n"), "{status}");
    ensure!(status.contains("Gid:\t300000\t300000\t300000\t300000\n"), "{status}");
    Ok(())
}

fn runs_on_a_directory(containerd: &Containerd) -> Result<()> {
    let root = containerd.host.new_directory("root")?;
    crate::harness::image::root(&root)?;
    std::fs::write(root.join("etc/mark"), "mine\n")?;
    let name = containerd.host.name("rootfs");
    let mut command = containerd.command(&["run", "--rm", "--rootfs", "--runc-binary"]);
    command.arg(&containerd.host.runtime).args(containerd.without_limits());
    command.arg(&root).args([&name, "/bin/sh", "-c", "cat /etc/mark; echo back > /answer"]);
    let printed = crate::harness::command::Run::from(command).stdout()?;
    ensure!(printed == "mine", "{printed}");
    ensure!(std::fs::read_to_string(root.join("answer"))? == "back\n", "no answer");
    Ok(())
}

fn runs_without_pivot_root(containerd: &Containerd) -> Result<()> {
    let printed = script(containerd, &["--no-pivot"], "cat /etc/nothing-to-run; ls -d /.. /run")?;
    ensure!(printed == "no program\n/..\n/run", "{printed}");
    Ok(())
}

fn has_propagation(containerd: &Containerd) -> Result<()> {
    let shared = script(containerd, &["--rootfs-propagation", "shared"], "grep ' / / ' /proc/self/mountinfo")?;
    ensure!(shared.contains(" shared:"), "{shared}");
    let private = script(containerd, &[], "grep ' / / ' /proc/self/mountinfo")?;
    ensure!(!private.contains(" shared:"), "{private}");
    Ok(())
}

fn has_limits(containerd: &Containerd) -> Result<()> {
    let limited = containerd.start_sleeper(&["--cpu-shares", "2048"]);
    if !containerd.host.has_controller("cpu") {
        let refused = limited.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(refused.contains("cpu"), "a weight without a controller is no error that names it: {refused}");
        return Ok(());
    }
    let group = cgroup(containerd.pid(&limited?.name)?)?;
    let weight = std::fs::read_to_string(group.join("cpu.weight"))?;
    ensure!(weight.trim().parse::<u32>()? > 39, "{weight}");
    Ok(())
}
