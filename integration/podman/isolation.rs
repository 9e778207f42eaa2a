//! What a container of podman's sees, and what it may do.

use anyhow::{Result, ensure};

use super::Podman;
use crate::harness::trial::{Case, Skip, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Podman>)> {
    cases![
        has_its_own_namespaces,
        has_environment_and_directory,
        has_a_clean_start,
        has_a_user,
        has_capabilities,
        has_the_privilege_bit,
        has_limits_of_its_own,
        has_a_seccomp_filter,
        has_names,
        has_a_read_only_root,
        has_memory_file_systems,
        has_volumes,
        hides_kernel_files,
        has_devices,
        has_kernel_settings,
        has_an_init,
        is_prepared_for_systemd,
        runs_on_a_directory,
        shares_the_hosts_namespaces,
        shares_another_containers_namespaces,
    ]
}

fn has_its_own_namespaces(podman: &Podman) -> Result<()> {
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        let inside = podman.script(&[], &format!("readlink /proc/self/ns/{kind}"))?;
        let outside = std::fs::read_link(format!("/proc/self/ns/{kind}"))?;
        ensure!(inside.starts_with(&format!("{kind}:[")), "{inside}");
        ensure!(inside != outside.to_string_lossy(), "the {kind} namespace is the host's");
    }
    let printed = podman.script(&[], "echo /proc/[0-9]*; ls /sys/class/net; cat /sys/class/net/lo/flags")?;
    // IFF_UP | IFF_LOOPBACK
    ensure!(printed == "/proc/1\nlo\n0x9", "{printed}");
    Ok(())
}

fn has_environment_and_directory(podman: &Podman) -> Result<()> {
    let options = ["--env", "ADDED=a b", "--workdir", "/home"];
    let printed = podman.script(&options, "echo $FROM_IMAGE, $ADDED, $container; pwd; echo $HOME")?;
    ensure!(printed == "yes, a b, podman\n/home\n/root", "{printed}");
    let container = podman.sleeper(&options)?;
    let exec = podman.podman(&["exec", "--env", "MORE=1", "--workdir", "/bin", &container.name]);
    let printed = exec.args(["/bin/sh", "-c", "echo $ADDED $MORE; pwd"]).stdout()?;
    ensure!(printed == "a b 1\n/bin", "{printed}");
    Ok(())
}

fn has_a_clean_start(podman: &Podman) -> Result<()> {
    let script = "ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status; umask";
    let expected = "0\n1\n2\n3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0022";
    let printed = podman.script(&[], script)?;
    ensure!(printed == expected, "{printed}");
    let container = podman.sleeper(&[])?;
    let printed = container.exec(&["/bin/sh", "-c", script]).stdout()?;
    ensure!(printed == expected, "by exec: {printed}");
    let printed = podman.script(&["--umask", "0077"], "umask")?;
    ensure!(printed == "0077", "{printed}");
    Ok(())
}

fn has_a_user(podman: &Podman) -> Result<()> {
    let printed =
        podman.script(&["--user", "worker"], "id; touch /home/worker/x; touch /etc/x 2>&1 || true; echo $HOME")?;
    let expected = "uid=1234(worker) gid=1234(worker) groups=1234(worker),1235(extra)\n\
                    touch: /etc/x: Permission denied\n/home/worker";
    ensure!(printed == expected || printed == expected.replace("groups=1234(worker),", "groups="), "{printed}");
    let printed = podman.script(&["--user", "77:88", "--group-add", "99"], "id -u; id -g; id -G")?;
    ensure!(printed == "77\n88\n88 99", "{printed}");
    let container = podman.sleeper(&[])?;
    let exec = podman.podman(&["exec", "--user", "worker", &container.name, "/bin/sh", "-c", "id -u; id -g"]);
    ensure!(exec.stdout()? == "1234\n1234", "by exec");
    Ok(())
}

fn has_capabilities(podman: &Podman) -> Result<()> {
    let sets = |options: &[&str]| podman.script(options, "grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status");
    let expected = |set: &str| format!("CapPrm:\t{set}\nCapEff:\t{set}\nCapBnd:\t{set}");
    let printed = sets(&["--cap-drop", "ALL"])?;
    ensure!(printed == expected("0000000000000000"), "{printed}");
    let printed = sets(&["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"])?;
    ensure!(printed == expected("0000000000001000"), "{printed}");
    podman.script(&["--cap-drop", "CHOWN"], "! chown 1 /tmp 2>/dev/null")?;
    podman.script(&["--cap-add", "NET_ADMIN"], "ip link set lo mtu 1000")?;
    podman.script(&[], "! ip link set lo mtu 1000 2>/dev/null")?;
    // For another user they are ambient.
    let options = ["--user", "77", "--cap-add", "NET_ADMIN"];
    let printed = podman.script(&options, "grep -E '^Cap(Eff|Amb)' /proc/self/status")?;
    ensure!(printed == "CapEff:\t0000000000001000\nCapAmb:\t0000000000001000", "{printed}");
    Ok(())
}

fn has_the_privilege_bit(podman: &Podman) -> Result<()> {
    let script = "grep NoNewPrivs /proc/self/status";
    let printed = podman.script(&[], script)?;
    ensure!(printed == "NoNewPrivs:\t0", "{printed}");
    let printed = podman.script(&["--security-opt", "no-new-privileges"], script)?;
    ensure!(printed == "NoNewPrivs:\t1", "{printed}");
    Ok(())
}

fn has_limits_of_its_own(podman: &Podman) -> Result<()> {
    // Where one of these two is not given, podman asks for more than a machine may allow.
    let options = ["--ulimit", "nofile=100:200", "--ulimit", "nproc=300:300", "--ulimit", "core=0"];
    let options = [&options[..], &["--oom-score-adj", "321"]].concat();
    let printed = podman.script(&options, "ulimit -Sn; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj")?;
    ensure!(printed == "100\n200\n0\n321", "{printed}");
    Ok(())
}

fn has_a_seccomp_filter(podman: &Podman) -> Result<()> {
    let script = "grep ^Seccomp: /proc/self/status; chroot / true 2>&1; unshare -m true 2>&1 || true";
    let printed = podman.script(&[], script)?;
    ensure!(printed.starts_with("Seccomp:\t2\n") && printed.ends_with("Operation not permitted"), "{printed}");
    let printed = podman.script(&["--security-opt", "seccomp=unconfined"], "grep ^Seccomp: /proc/self/status")?;
    ensure!(printed == "Seccomp:\t0", "{printed}");
    Ok(())
}

fn has_names(podman: &Podman) -> Result<()> {
    let printed = podman.script(&["--hostname", "box"], "hostname; cat /etc/hostname; echo; ls /run/.containerenv")?;
    ensure!(printed.split_whitespace().collect::<Vec<_>>() == ["box", "box", "/run/.containerenv"], "{printed}");
    Ok(())
}

fn has_a_read_only_root(podman: &Podman) -> Result<()> {
    let options = ["--read-only", "--read-only-tmpfs=false"];
    let printed = podman.script(&options, "touch /tmp/x 2>&1 || true")?;
    ensure!(printed == "touch: /tmp/x: Read-only file system", "{printed}");
    // With temporary file systems on /tmp, /run and /var/tmp, which start with what the image has there.
    let printed = podman
        .script(&["--read-only"], "touch /tmp/x && touch /etc/x 2>&1")
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    ensure!(printed.contains("touch: /etc/x: Read-only file system"), "{printed}");
    Ok(())
}

fn has_memory_file_systems(podman: &Podman) -> Result<()> {
    let options = ["--tmpfs", "/memory:size=1m,mode=1700,noexec", "--tmpfs", "/etc", "--shm-size", "2m"];
    let script = "stat -c %a /memory; grep -E ' /(memory|dev/shm) ' /proc/mounts; grep -c worker /etc/passwd";
    let printed = podman.script(&options, script)?;
    let lines: Vec<_> = printed.lines().collect();
    ensure!(lines.len() == 4 && lines[0] == "1700", "{printed}");
    let of = |place: &str| lines.iter().find(|line| line.contains(place)).copied().unwrap_or_default();
    ensure!(of(" /memory ").contains("noexec") && of(" /memory ").contains("size=1024k"), "{printed}");
    ensure!(of(" /dev/shm ").contains("size=2048k"), "{printed}");
    // tmpcopyup: what the image has there is in it.
    ensure!(lines[3] == "1", "{printed}");
    Ok(())
}

fn has_volumes(podman: &Podman) -> Result<()> {
    let source = podman.host.new_directory("volume")?;
    std::fs::set_permissions(&source, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    std::fs::write(source.join("file"), "from outside\n")?;
    let writable = format!("{}:/data", source.display());
    let read_only = format!("{}:/read/only:ro", source.display());
    let options = ["--volume", &writable, "--volume", &read_only, "--volume", "/anonymous"];
    let script = "cat /data/file; echo from inside > /data/answer; touch /read/only/x 2>&1; \
                  touch /anonymous/x && grep -c ' /anonymous ' /proc/mounts";
    let printed = podman.script(&options, script)?;
    ensure!(printed == "from outside\ntouch: /read/only/x: Read-only file system\n1", "{printed}");
    ensure!(std::fs::read_to_string(source.join("answer"))? == "from inside\n", "the file is not outside");
    Ok(())
}

fn hides_kernel_files(podman: &Podman) -> Result<()> {
    let script = "stat -c %t:%T /proc/timer_list; ls /sys/firmware | wc -l; echo 0 > /proc/sys/vm/swappiness";
    let failed = podman.run(&[], &["/bin/sh", "-c", script]).finish()?.ends_with(1)?;
    ensure!(failed.stdout == "1:3\n0\n", "{failed}");
    failed.says("Read-only file system")?;
    Ok(())
}

fn has_devices(podman: &Podman) -> Result<()> {
    let script = "cd /dev; stat -c '%n %t:%T' null zero full random urandom tty; readlink ptmx; readlink fd; \
                  head -c 3 zero | wc -c; echo gone > null";
    let printed = podman.script(&[], script)?;
    let nodes = ["null 1:3", "zero 1:5", "full 1:7", "random 1:8", "urandom 1:9", "tty 5:0"];
    let nodes = nodes.map(|node| format!("{node}\n")).concat();
    ensure!(printed == format!("{nodes}pts/ptmx\n/proc/self/fd\n3"), "{printed}");
    Ok(())
}

fn has_kernel_settings(podman: &Podman) -> Result<()> {
    let options = ["--sysctl", "net.ipv4.ip_forward=0", "--sysctl", "kernel.msgmax=12345"];
    let printed = podman.script(&options, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax")?;
    ensure!(printed == "0\n12345", "{printed}");
    Ok(())
}

fn has_an_init(podman: &Podman) -> Result<()> {
    if !["/usr/libexec/podman/catatonit", "/usr/bin/catatonit"].iter().any(|path| std::path::Path::new(path).exists()) {
        return Err(Skip("catatonit is not installed".to_string()).into());
    }
    let printed = podman.script(&["--init"], "cat /proc/1/comm; ls /proc/self/fd | wc -l")?;
    ensure!(["catatonit\n4", "podman-init\n4"].contains(&printed.as_str()), "{printed}");
    Ok(())
}

fn is_prepared_for_systemd(podman: &Podman) -> Result<()> {
    let script = "grep ' /run tmpfs' /proc/mounts | wc -l; touch /run/x && mkdir /sys/fs/cgroup/sub && echo made; echo $container";
    let printed = podman.script(&["--systemd", "always"], script);
    // An ordinary user's container has a cgroup to divide only where one was delegated.
    if podman.rootless {
        let text = printed.unwrap_or_else(|error| error.to_string());
        ensure!(text.contains("1\n"), "{text}");
        return Ok(());
    }
    ensure!(printed.as_deref().ok() == Some("1\nmade\npodman"), "{printed:?}");
    Ok(())
}

fn runs_on_a_directory(podman: &Podman) -> Result<()> {
    let root = podman.host.new_directory("root")?;
    crate::harness::image::root(&root)?;
    if podman.rootless {
        let owner = format!("{0}:{0}", crate::harness::host::TESTER);
        crate::harness::command::Run::new("chown")
            .args(["--recursive", "--no-dereference", &owner])
            .args([&root])
            .stdout()?;
    }
    let run = podman.podman(&["run", "--rm", "--network", "none", "--rootfs"]).args([&root]);
    run.args(["/bin/sh", "-c", "echo written > /answer"]).stdout()?;
    ensure!(std::fs::read_to_string(root.join("answer"))? == "written\n", "no answer");
    Ok(())
}

fn shares_the_hosts_namespaces(podman: &Podman) -> Result<()> {
    let mut pairs = vec![("--pid", "pid"), ("--uts", "uts"), ("--cgroupns", "cgroup")];
    // An ordinary user's podman binds the host's, where there is one.
    if !podman.rootless || std::path::Path::new("/dev/mqueue").exists() {
        pairs.push(("--ipc", "ipc"));
    }
    for (option, kind) in pairs {
        let inside = podman.script(&[option, "host"], &format!("readlink /proc/self/ns/{kind}"))?;
        let outside = std::fs::read_link(format!("/proc/self/ns/{kind}"))?;
        ensure!(inside == outside.to_string_lossy(), "{kind}: {inside} and not {outside:?}");
    }
    let run = podman.podman(&["run", "--rm", "--network", "host", crate::harness::image::NAME]);
    let inside = run.args(["readlink", "/proc/self/ns/net"]).stdout()?;
    ensure!(inside == std::fs::read_link("/proc/self/ns/net")?.to_string_lossy(), "net: {inside}");
    Ok(())
}

fn shares_another_containers_namespaces(podman: &Podman) -> Result<()> {
    let first = podman.sleeper(&["--ipc", "shareable"])?;
    let share = format!("container:{}", first.name);
    let outside =
        |kind: &str| std::fs::read_link(format!("/proc/{}/ns/{kind}", first.pid()?)).map_err(anyhow::Error::from);
    for (option, kind) in [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts")] {
        let (inside, outside) =
            (podman.script(&[option, &share], &format!("readlink /proc/self/ns/{kind}"))?, outside(kind)?);
        ensure!(inside == outside.to_string_lossy(), "{kind}: {inside} and not {outside:?}");
    }
    let run = podman.podman(&["run", "--rm", "--network", &share, crate::harness::image::NAME]);
    let inside = run.args(["readlink", "/proc/self/ns/net"]).stdout()?;
    ensure!(inside == outside("net")?.to_string_lossy(), "net: {inside}");
    Ok(())
}
