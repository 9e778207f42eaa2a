//! What a program of docker's is started with: user, directory, environment, capabilities, limits, descriptors.

use anyhow::{Result, ensure};

use super::Docker;
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Docker>)> {
    cases![
        has_environment_and_directory,
        has_a_clean_start,
        has_a_user_by_number,
        has_a_user_by_name,
        executes_as_another_user,
        has_capabilities,
        has_the_privilege_bit,
        has_limits_of_its_own,
        has_an_oom_score,
        has_an_init,
        has_a_seccomp_filter,
        has_its_own_seccomp_filter,
    ]
}

fn has_environment_and_directory(docker: &Docker) -> Result<()> {
    let options = ["--env", "ADDED=a b", "--workdir", "/made/for/it"];
    let printed = docker.script(&options, "echo $FROM_IMAGE, $ADDED; pwd; echo $HOME")?;
    ensure!(printed == "yes, a b\n/made/for/it\n/root", "{printed}");
    let container = docker.sleeper(&options)?;
    let exec = docker.docker(&["exec", "--env", "MORE=1", "--workdir", "/bin", &container.name]);
    let printed = exec.args(["/bin/sh", "-c", "echo $ADDED $MORE; pwd"]).stdout()?;
    ensure!(printed == "a b 1\n/bin", "{printed}");
    Ok(())
}

fn has_a_clean_start(docker: &Docker) -> Result<()> {
    let script = "ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status; umask";
    let expected = "0\n1\n2\n3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0022";
    let printed = docker.script(&[], script)?;
    ensure!(printed == expected, "{printed}");
    let container = docker.sleeper(&[])?;
    let printed = container.exec(&["/bin/sh", "-c", script]).stdout()?;
    ensure!(printed == expected, "by exec: {printed}");
    Ok(())
}

fn has_a_user_by_number(docker: &Docker) -> Result<()> {
    let options = ["--user", "77:88", "--group-add", "99"];
    let printed =
        docker.script(&options, "grep -E '^(Uid|Gid|Groups|CapEff)' /proc/self/status; touch /etc/x || true")?;
    let words: Vec<_> = printed.split_whitespace().collect();
    let expected = "Uid: 77 77 77 77 Gid: 88 88 88 88 Groups: 88 99 CapEff: 0000000000000000";
    // Before 20.10.21 dockerd left out the group itself.
    ensure!(
        words.join(" ") == expected || words.join(" ") == expected.replace("Groups: 88 99", "Groups: 99"),
        "{printed}"
    );
    Ok(())
}

fn has_a_user_by_name(docker: &Docker) -> Result<()> {
    let printed =
        docker.script(&["--user", "worker"], "id; touch /home/worker/x; touch /etc/x 2>&1 || true; echo $HOME")?;
    let expected = "uid=1234(worker) gid=1234(worker) groups=1234(worker),1235(extra)\n\
                    touch: /etc/x: Permission denied\n/home/worker";
    ensure!(printed == expected, "{printed}");
    Ok(())
}

fn executes_as_another_user(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    let exec = docker.docker(&["exec", "--user", "worker", &container.name, "/bin/sh", "-c", "id -u; id -G"]);
    let printed = exec.stdout()?;
    ensure!(printed == "1234\n1234 1235", "{printed}");
    Ok(())
}

fn has_capabilities(docker: &Docker) -> Result<()> {
    let sets = |options: &[&str]| docker.script(options, "grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/self/status");
    let expected = |set: &str| format!("CapPrm:\t{set}\nCapEff:\t{set}\nCapBnd:\t{set}\nCapAmb:\t0000000000000000");
    let printed = sets(&[])?;
    ensure!(printed == expected("00000000a80425fb"), "{printed}");
    let printed = sets(&["--cap-drop", "ALL"])?;
    ensure!(printed == expected("0000000000000000"), "{printed}");
    let printed = sets(&["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"])?;
    ensure!(printed == expected("0000000000001000"), "{printed}");
    docker.script(&["--cap-drop", "CHOWN"], "! chown 1 /tmp 2>/dev/null")?;
    docker.script(&["--cap-add", "NET_ADMIN"], "ip link set lo mtu 1000")?;
    docker.script(&[], "! ip link set lo mtu 1000 2>/dev/null")?;
    let container = docker.sleeper(&["--cap-drop", "ALL"])?;
    let printed = container.exec(&["grep", "CapEff", "/proc/self/status"]).stdout()?;
    ensure!(printed == "CapEff:\t0000000000000000", "by exec: {printed}");
    Ok(())
}

fn has_the_privilege_bit(docker: &Docker) -> Result<()> {
    let script = "grep NoNewPrivs /proc/self/status";
    let printed = docker.script(&[], script)?;
    ensure!(printed == "NoNewPrivs:\t0", "{printed}");
    let options = ["--security-opt", "no-new-privileges"];
    let printed = docker.script(&options, script)?;
    ensure!(printed == "NoNewPrivs:\t1", "{printed}");
    let container = docker.sleeper(&options)?;
    let printed = container.exec(&["/bin/sh", "-c", script]).stdout()?;
    ensure!(printed == "NoNewPrivs:\t1", "by exec: {printed}");
    Ok(())
}

fn has_limits_of_its_own(docker: &Docker) -> Result<()> {
    let options = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=300:300"];
    let script = "ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -u 2>/dev/null || grep processes /proc/self/limits";
    let printed = docker.script(&options, script)?;
    ensure!(printed.starts_with("100\n200\n0\n") && printed.contains("300"), "{printed}");
    let container = docker.sleeper(&options)?;
    let printed = container.exec(&["/bin/sh", "-c", "ulimit -Sn; ulimit -Hn"]).stdout()?;
    ensure!(printed == "100\n200", "by exec: {printed}");
    Ok(())
}

fn has_an_oom_score(docker: &Docker) -> Result<()> {
    let printed = docker.script(&["--oom-score-adj", "321"], "cat /proc/self/oom_score_adj")?;
    ensure!(printed == "321", "{printed}");
    Ok(())
}

fn has_an_init(docker: &Docker) -> Result<()> {
    let printed = docker.script(&["--init"], "cat /proc/1/comm; readlink /proc/1/exe")?;
    ensure!(printed == "docker-init\n/sbin/docker-init", "{printed}");
    Ok(())
}

fn has_a_seccomp_filter(docker: &Docker) -> Result<()> {
    let script = "grep ^Seccomp: /proc/self/status; unshare -U true 2>&1 || true";
    let printed = docker.script(&[], script)?;
    ensure!(printed == "Seccomp:\t2\nunshare: unshare(0x10000000): Operation not permitted", "{printed}");
    let printed = docker.script(&["--security-opt", "seccomp=unconfined"], script)?;
    ensure!(printed == "Seccomp:\t0", "{printed}");
    let container = docker.sleeper(&[])?;
    let printed = container.exec(&["grep", "^Seccomp:", "/proc/self/status"]).stdout()?;
    ensure!(printed == "Seccomp:\t2", "by exec: {printed}");
    Ok(())
}

fn has_its_own_seccomp_filter(docker: &Docker) -> Result<()> {
    let profile = docker.host.new_directory("seccomp")?.join("profile.json");
    let rules = serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 }],
    });
    std::fs::write(&profile, rules.to_string())?;
    let option = format!("seccomp={}", profile.display());
    let printed = docker.script(&["--security-opt", &option], "mkdir /tmp/new 2>&1 || true; touch /tmp/file")?;
    ensure!(printed.ends_with("No space left on device"), "{printed}");
    Ok(())
}
