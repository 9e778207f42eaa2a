//! What a container of docker's sees of files, devices, kernel settings and the machine.

use anyhow::{Result, ensure};

use super::Docker;
use crate::harness::host::REMAPPED;
use crate::harness::trial::{Case, Skip, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Docker>)> {
    cases![
        has_its_own_namespaces,
        has_names,
        has_a_read_only_root,
        has_memory_file_systems,
        has_volumes,
        has_volumes_with_propagation,
        hides_kernel_files,
        has_devices,
        has_a_device_of_the_hosts,
        has_kernel_settings,
        may_be_privileged,
    ]
}

/// For a dockerd that maps users.
pub(super) fn remapped_cases() -> Vec<(&'static str, Case<Docker>)> {
    cases![maps_users, maps_owners_of_files, executes_in_a_mapped_container, may_keep_the_hosts_users]
}

fn has_its_own_namespaces(docker: &Docker) -> Result<()> {
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        let inside = docker.script(&[], &format!("readlink /proc/self/ns/{kind}"))?;
        let outside = std::fs::read_link(format!("/proc/self/ns/{kind}"))?;
        ensure!(inside.starts_with(&format!("{kind}:[")), "{inside}");
        ensure!(inside != outside.to_string_lossy(), "the {kind} namespace is the host's");
    }
    let printed = docker.script(&[], "echo /proc/[0-9]*; grep ^0:: /proc/self/cgroup")?;
    ensure!(printed == "/proc/1\n0::/", "{printed}");
    Ok(())
}

fn has_names(docker: &Docker) -> Result<()> {
    let options =
        ["--hostname", "box", "--domainname", "example.test", "--dns", "192.0.2.1", "--add-host", "peer:192.0.2.2"];
    let script = "hostname; cat /proc/sys/kernel/domainname; cat /etc/resolv.conf; cat /etc/hosts";
    let printed = docker.script(&options, script)?;
    ensure!(printed.starts_with("box\nexample.test\n"), "{printed}");
    ensure!(printed.contains("nameserver 192.0.2.1\n") && printed.contains("192.0.2.2\tpeer"), "{printed}");
    Ok(())
}

fn has_a_read_only_root(docker: &Docker) -> Result<()> {
    let printed = docker.script(&["--read-only"], "touch /tmp/x 2>&1; touch /dev/shm/x && echo written")?;
    ensure!(printed == "touch: /tmp/x: Read-only file system\nwritten", "{printed}");
    Ok(())
}

fn has_memory_file_systems(docker: &Docker) -> Result<()> {
    let options = ["--tmpfs", "/memory:size=1m,mode=1700,noexec", "--shm-size", "2m"];
    let printed = docker.script(&options, "stat -c %a /memory; grep -E ' /(memory|dev/shm) ' /proc/mounts")?;
    let lines: Vec<_> = printed.lines().collect();
    ensure!(lines.len() == 3 && lines[0] == "1700", "{printed}");
    let of = |place: &str| lines.iter().find(|line| line.contains(place)).copied().unwrap_or_default();
    ensure!(of(" /memory ").contains("noexec") && of(" /memory ").contains("size=1024k"), "{printed}");
    ensure!(of(" /dev/shm ").contains("size=2048k"), "{printed}");
    Ok(())
}

fn has_volumes(docker: &Docker) -> Result<()> {
    let source = docker.host.new_directory("volume")?;
    std::fs::write(source.join("file"), "from outside\n")?;
    let writable = format!("{}:/data", source.display());
    let read_only = format!("{}:/read/only:ro", source.display());
    let file = format!("{}:/etc/one-file:ro", source.join("file").display());
    let options = ["--volume", &writable, "--volume", &read_only, "--volume", &file, "--volume", "/anonymous"];
    let script = "cat /data/file /etc/one-file; echo from inside > /data/answer; touch /read/only/x 2>&1; \
                  touch /anonymous/x && grep -c ' /anonymous ' /proc/mounts";
    let printed = docker.script(&options, script)?;
    let expected = "from outside\nfrom outside\ntouch: /read/only/x: Read-only file system\n1";
    ensure!(printed == expected, "{printed}");
    ensure!(std::fs::read_to_string(source.join("answer"))? == "from inside\n", "the file is not outside");
    Ok(())
}

fn has_volumes_with_propagation(docker: &Docker) -> Result<()> {
    use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
    let source = docker.host.new_directory("propagation")?;
    mount_bind(&source, &source)?;
    mount_change(&source, MountPropagationFlags::SHARED)?;
    let option = |propagation: &str| format!("{}:/data:{propagation}", source.display());
    let script = "grep ' /data ' /proc/self/mountinfo";
    let shared = docker.script(&["--volume", &option("rshared")], script)?;
    ensure!(shared.contains(" shared:"), "{shared}");
    let slave = docker.script(&["--volume", &option("rslave")], script)?;
    ensure!(slave.contains(" master:") && !slave.contains(" shared:"), "{slave}");
    let private = docker.script(&["--volume", &option("rprivate")], script)?;
    ensure!(!private.contains(" master:") && !private.contains(" shared:"), "{private}");
    // A mount inside comes out through the shared one.
    let options = ["--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined", "--volume", &option("rshared")];
    docker.script(&options, "mkdir /data/inner && mount -t tmpfs inner /data/inner && touch /data/inner/file")?;
    ensure!(source.join("inner/file").exists(), "the mount did not come out");
    Ok(())
}

fn hides_kernel_files(docker: &Docker) -> Result<()> {
    let script = "stat -c %t:%T /proc/timer_list; ls /sys/firmware | wc -l; echo 0 > /proc/sys/vm/swappiness";
    let failed = docker.run(&[], &["/bin/sh", "-c", script]).finish()?.ends_with(1)?;
    ensure!(failed.stdout == "1:3\n0\n", "{failed}");
    failed.says("Read-only file system")?;
    let printed = docker.script(&["--security-opt", "systempaths=unconfined"], "stat -c %F /proc/timer_list")?;
    ensure!(printed == "regular empty file", "{printed}");
    Ok(())
}

fn has_devices(docker: &Docker) -> Result<()> {
    let script = "cd /dev; stat -c '%n %t:%T %a' null zero full random urandom tty; readlink ptmx; readlink fd; \
                  head -c 3 zero | wc -c; echo gone > null; ls | grep -v core";
    let printed = docker.script(&[], script)?;
    let nodes = ["null 1:3", "zero 1:5", "full 1:7", "random 1:8", "urandom 1:9", "tty 5:0"];
    let nodes = nodes.map(|node| format!("{node} 666\n")).concat();
    let names = "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero";
    ensure!(printed == format!("{nodes}pts/ptmx\n/proc/self/fd\n3\n{names}"), "{printed}");
    Ok(())
}

fn has_a_device_of_the_hosts(docker: &Docker) -> Result<()> {
    let failed = docker.run(&[], &["/bin/sh", "-c", "mknod /tmp/fuse c 10 229 && cat /tmp/fuse"]).finish()?;
    failed.fails_saying("Operation not permitted")?;
    if !std::path::Path::new("/dev/fuse").exists() {
        return Err(Skip("no /dev/fuse to hand in".to_string()).into());
    }
    let script = "stat -c %t:%T /dev/other; : < /dev/other && echo open";
    let printed = docker.script(&["--device", "/dev/fuse:/dev/other:r"], script)?;
    ensure!(printed == "a:e5\nopen", "{printed}");
    let failed = docker.run(&["--device", "/dev/fuse:/dev/other:r"], &["/bin/sh", "-c", ": > /dev/other"]).finish()?;
    failed.fails_saying("Operation not permitted")?;
    let rule = ["--device-cgroup-rule", "c 10:229 rwm"];
    let printed = docker.script(&rule, "mknod /tmp/fuse c 10 229 && : < /tmp/fuse && echo open")?;
    ensure!(printed == "open", "{printed}");
    Ok(())
}

fn has_kernel_settings(docker: &Docker) -> Result<()> {
    let options = ["--sysctl", "net.ipv4.ip_forward=0", "--sysctl", "kernel.msgmax=12345"];
    let printed = docker.script(&options, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax")?;
    ensure!(printed == "0\n12345", "{printed}");
    Ok(())
}

fn may_be_privileged(docker: &Docker) -> Result<()> {
    // dockerd asks for all that the kernel knows.
    if !has_all_capabilities()? {
        return Err(
            Skip("root of this machine has not all capabilities, so nobody can hand them on".to_string()).into()
        );
    }
    let script = "grep ^CapEff /proc/self/status; grep ^Seccomp: /proc/self/status; ls /dev | grep -c fuse; \
                  mount -t tmpfs mine /mnt 2>/dev/null || mkdir /mnt && mount -t tmpfs mine /mnt && echo mounted; \
                  grep -c ' /sys/fs/cgroup cgroup2 rw' /proc/mounts";
    let printed = docker.script(&["--privileged"], script)?;
    let outside = std::fs::read_to_string("/proc/self/status")?;
    let all = outside.lines().find(|line| line.starts_with("CapEff")).unwrap_or_default();
    let fuse = i32::from(std::path::Path::new("/dev/fuse").exists());
    ensure!(printed == format!("{all}\nSeccomp:\t0\n{fuse}\nmounted\n1"), "{printed}\nand outside {all}");
    let failed =
        docker.run(&["--cap-add", "SYS_ADMIN"], &["/bin/sh", "-c", "echo 1 > /proc/sys/vm/swappiness"]).finish()?;
    failed.fails_saying("Read-only file system")?;
    Ok(())
}

/// Whether nothing was taken from this machine's root.
fn has_all_capabilities() -> Result<bool> {
    let last: u32 = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")?.trim().parse()?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let set = status.lines().find_map(|line| line.strip_prefix("CapPrm:\t")).unwrap_or_default();
    Ok(u64::from_str_radix(set, 16)? == (2 << last) - 1)
}

fn maps_users(docker: &Docker) -> Result<()> {
    let printed =
        docker.script(&[], "id -u; cat /proc/self/uid_map; cat /proc/self/gid_map; readlink /proc/self/ns/user")?;
    let words: Vec<_> = printed.split_whitespace().collect();
    let start = REMAPPED.1.to_string();
    ensure!(words[..7] == ["0", "0", &start, "65536", "0", &start, "65536"], "{printed}");
    let outside = std::fs::read_link("/proc/self/ns/user")?;
    ensure!(words[7] != outside.to_string_lossy(), "the host's user namespace");
    let container = docker.sleeper(&["--user", "worker"])?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid()?))?;
    let id = REMAPPED.1 + 1234;
    ensure!(status.contains(&format!("Uid:\t{id}\t{id}\t{id}\t{id}\n")), "{status}");
    Ok(())
}

fn maps_owners_of_files(docker: &Docker) -> Result<()> {
    let source = docker.host.new_directory("owned")?;
    std::fs::set_permissions(&source, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let volume = format!("{}:/data", source.display());
    let printed = docker.script(&["--volume", &volume], "touch /data/x /etc/x; stat -c %u /data /data/x /etc/x")?;
    ensure!(printed == "65534\n0\n0", "{printed}");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(source.join("x"))?);
    ensure!(owner == REMAPPED.1, "{owner}");
    Ok(())
}

fn executes_in_a_mapped_container(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    let printed = container
        .exec(&["/bin/sh", "-c", "id -u; mount -t tmpfs x /tmp 2>&1; grep -c . /proc/self/uid_map"])
        .finish()?;
    ensure!(printed.stdout.starts_with("0\n") && printed.stdout.ends_with("1\n"), "{printed}");
    ensure!(printed.stdout.contains("permission denied"), "{printed}");
    Ok(())
}

fn may_keep_the_hosts_users(docker: &Docker) -> Result<()> {
    let printed = docker.script(&["--userns", "host"], "readlink /proc/self/ns/user")?;
    let outside = std::fs::read_link("/proc/self/ns/user")?;
    ensure!(printed == outside.to_string_lossy(), "{printed}");
    Ok(())
}
