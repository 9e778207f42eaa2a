//! What containers go through, and what is said of it: statuses, logs, events, changes, limits.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::line::{Expected, Other, Same, Sorted, Words, follow};
use super::{Pair, Side};
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Pair>)> {
    cases![
        ends_and_statuses,
        names_and_waits,
        logs_of_both_streams,
        links_volumes_and_networks,
        changes_and_commits,
        events,
        what_run_prepares
    ]
}

fn ends_and_statuses(pair: &Pair) -> Result<()> {
    let state = "inspect --format '{{.State.Status}} {{.State.ExitCode}} {{.State.Running}} {{.State.Paused}}' up";
    let lines: &[(&str, Expected)] = &[
        ("run -d --name up box sleep 1000", Same),
        (state, Same),
        ("pause up", Same),
        (state, Same),
        ("ps --format '{{.Status}} {{.State}}'", Same),
        ("stop -t 1 up", Same),
        (state, Same),
        ("start up", Same),
        ("kill -s TERM up", Same),
        ("stop -t 0 up", Same),
        (state, Same),
        ("ps -a --format '{{.Status}}'", Same),
        ("restart -t 0 up", Same),
        ("kill up", Same),
        ("wait up", Same),
        (state, Same),
        ("rm up", Same),
        ("run -d --name up --init box sleep 1000", Same),
        ("stop up", Same),
        ("wait up", Same),
        (state, Same),
        ("rm up", Same),
        ("run -d --name up --stop-signal USR1 box sh -c 'trap \"exit 7\" USR1; while :; do sleep 0.02; done'", Same),
        ("stop up", Same),
        ("wait up", Same),
        ("rm -f up", Same),
        ("run -d --name up --restart on-failure:2 box sh -c 'exit 5'", Same),
        ("wait up", Same),
        ("rm -f up", Same),
        ("run --rm --name up box true", Same),
        ("ps -aq", Same),
        ("run -d --rm --name up box sleep 1000", Same),
        ("stop -t 0 up", Same),
        ("run -d --rm --name up box sleep 1000", Same),
        ("restart -t 0 up", Same),
        (state, Same),
        ("rm -f up", Same),
        ("ps -aq", Same),
    ];
    pair.alone(|| follow(pair, lines))
}

fn names_and_waits(pair: &Pair) -> Result<()> {
    let lines: &[(&str, Expected)] = &[
        ("create --name one box sh -c 'exit 4'", Same),
        ("create box true", Same),
        ("rename one two", Same),
        ("inspect --format '{{.Name}}' two", Same),
        ("start -a two", Same),
        ("start --attach two", Same),
        ("wait two two", Same),
        ("start two", Same),
        // It may run still, where a start takes less time than its end.
        ("wait two", Same),
        ("rm two nosuch", Same),
        ("container prune --force", Same),
        ("run -i --rm box cat", Same),
        ("run -a stdout --rm box sh -c 'echo out; echo err >&2'", Same),
        ("run -a stderr --rm box sh -c 'echo out; echo err >&2'", Same),
        ("create -a stdout --name attached box sh -c 'echo out; echo err >&2'", Same),
        ("inspect --format '{{.Config.AttachStdin}} {{.Config.AttachStdout}} {{.Config.AttachStderr}}' attached", Same),
        ("system info --format '{{.OSType}}'", Same),
    ];
    pair.alone(|| follow(pair, lines))
}

fn logs_of_both_streams(pair: &Pair) -> Result<()> {
    let lines: &[(&str, Expected)] = &[
        ("run --name one box sh -c 'for i in 1 2 3 4; do echo line $i; done; printf unfinished'", Same),
        ("run --name two box sh -c 'echo err >&2'", Same),
        ("run -t --name three box echo at a terminal", Same),
        ("logs one", Same),
        ("logs two", Same),
        ("logs three", Same),
        ("logs -n 2 one", Same),
        ("logs --tail 0 one", Same),
        ("logs --tail=all one", Same),
        ("logs --tail x one", Same),
        ("logs --tail -1 one", Same),
        ("logs -n -2 one", Same),
        ("logs -t one", Same),
        ("logs --details one", Same),
        (
            "run --name attached --log-opt labels=team,nosuch --log-opt tag={{.Name}} --log-opt env-regex=^C -l 'team=blue, 2' \
             -e COLOUR=red box echo x",
            Same,
        ),
        ("logs --details attached", Same),
        ("logs -t --details two", Same),
        ("logs --since 1h one", Same),
        ("logs --since 2020-01-01T00:00:00Z one", Same),
        ("logs --since 2120-01-01T00:00:00Z one", Same),
        ("logs --until 1h one", Same),
        ("logs --follow one", Same),
        ("container logs one", Same),
        ("run --name small --log-opt max-size=2k --log-opt max-file=20 --log-opt compress=true box seq 1 500", Same),
        ("logs small", Same),
        ("logs --tail 300 small", Same),
        ("run --name slow --log-opt mode=non-blocking --log-opt max-buffer-size=4m box seq 1 500", Same),
        ("logs slow", Same),
        ("run --log-driver none --name four box echo", Same),
        ("logs four", Same),
    ];
    pair.alone(|| follow(pair, lines))
}

fn links_volumes_and_networks(pair: &Pair) -> Result<()> {
    let lines: &[(&str, Expected)] = &[
        ("run -d --name data --expose 80 --expose 8000-8002 --expose 53/udp -e A=b -h host box sleep 1000", Same),
        (
            "run --rm --name web --link data:my-db box sh -c \"env | grep MY_DB | sed -E 's/([0-9]+[.]){3}[0-9]+/ADDRESS/g'\"",
            Sorted,
        ),
        ("run --rm --link data box sh -c \"grep -w 'data host' /etc/hosts | cut -f 2\"", Same),
        ("create --name linked --link data:db box true", Same),
        ("inspect --format '{{json .HostConfig.Links}}' linked", Same),
        ("rm --link /linked/db", Same),
        ("inspect --format '{{json .HostConfig.Links}}' linked", Same),
        ("run --rm --link a:b:c box true", Same),
        ("run --rm --network host --link data box true", Same),
        ("volume create -o type=tmpfs -o device=tmpfs -o o=size=1m memory", Same),
        ("volume inspect --format '{{json .Options}}' memory", Same),
        ("run --rm -v memory:/v:nocopy box sh -c \"grep ' /v ' /proc/mounts | cut -d ' ' -f 1-3\"", Same),
        ("volume create -o nosuch=1 wrong", Same),
        ("volume create -o type=tmpfs wrong", Same),
        ("network create --config-only --subnet 10.66.0.0/24 --label a=b like", Same),
        ("network inspect --format '{{.ConfigOnly}} {{.Driver}} {{json .IPAM.Config}} {{json .Labels}}' like", Same),
        ("network create --config-from like made", Same),
        (
            "network inspect --format '{{json .ConfigFrom}} {{(index .IPAM.Config 0).Subnet}} {{json .Labels}}' made",
            Same,
        ),
        ("network inspect --format '{{len .ID}}' made", Same),
        ("network inspect --format '{{len .Id}}' made", Same),
        ("network create --config-from like --label x=y wrong", Same),
        ("network create --config-from made wrong", Same),
        ("network create --config-from nosuch wrong", Same),
        ("run --rm --network like box true", Words("cannot create endpoint on", "docker's client says more")),
        ("network rm like", Same),
        ("network rm made", Same),
        ("network rm like", Same),
        ("run --rm --storage-opt nosuch=1 box true", Same),
        ("run --rm --runtime nosuch box true", Words("unknown or invalid runtime name: nosuch", "docker 23's words")),
    ];
    pair.alone(|| follow(pair, lines))
}

fn changes_and_commits(pair: &Pair) -> Result<()> {
    const PARENT: &str = "no image remembers another one that it was made of";
    let lines: &[(&str, Expected)] = &[
        (
            "run --name one box sh -c 'echo x > /home/new; rm /etc/nothing-to-run; chmod 700 /var; mkdir -p /run/a/b'",
            Same,
        ),
        ("diff one", Sorted),
        ("container diff one", Sorted),
        ("commit -m message -a author -c 'ENV A=b' -c 'CMD [\"env\"]' -c 'EXPOSE 80' one committed:1", Same),
        ("images committed --format '{{.Repository}}:{{.Tag}}'", Same),
        ("run --rm committed:1 sh -c 'cat /home/new; test -e /etc/nothing-to-run; echo $? $A'", Same),
        (
            "inspect --format '{{.Author}} {{.Comment}} {{.Config.Cmd}} {{.Config.Env}} {{.Config.ExposedPorts}} {{.Config.WorkingDir}}' committed:1",
            Same,
        ),
        (
            "commit -m '- a dash' -c 'ENV A=\"b $HOME\" PATH=$PATH:/opt FROM_IMAGE=\\$no' -c 'WORKDIR below/$A/../x' \
             -c 'LABEL c=${NO:-d}' -c 'HEALTHCHECK --interval=5s CMD true $A' -c 'CMD echo $A' -c 'USER ${A:+worker}' one committed:2",
            Same,
        ),
        (
            "inspect --format '{{.Comment}} {{json .Config.Env}} {{.Config.WorkingDir}} {{json .Config.Labels}} {{json .Config.Cmd}} \
             {{.Config.User}} {{json .Config.Healthcheck.Test}} {{json .Config.Healthcheck.Interval}}' committed:2",
            Same,
        ),
        ("rmi committed:2", Same),
        ("history --format '{{.CreatedBy}}|{{.Size}}|{{.Comment}}' committed:1", Same),
        ("history -q committed:1", Other((0, "SHORT-ID\nSHORT-ID"), (0, "SHORT-ID\n<missing>"), PARENT)),
        ("commit --pause=false one", Same),
        ("rmi committed:1", Same),
        ("run -d --name two --restart no box sleep 1000", Same),
        ("update --restart on-failure:3 two", Same),
        (
            "inspect --format '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' two",
            Same,
        ),
    ];
    pair.alone(|| follow(pair, lines))
}

/// What a life is told as: types, actions, and the names of what is said of them. Times and ids are each engine's own.
fn events(pair: &Pair) -> Result<()> {
    const LIFE: [&[&str]; 9] = [
        &["run", "-d", "--name", "one", "--label", "told=yes", "box", "sleep", "1000"],
        &["pause", "one"],
        &["unpause", "one"],
        &["rename", "one", "two"],
        &["kill", "--signal", "HUP", "two"],
        &["restart", "-t", "0", "two"],
        &["stop", "-t", "0", "two"],
        &["rm", "two"],
        &["volume", "create", "kept"],
    ];
    pair.alone(|| {
        let mut told = Vec::new();
        for side in [Side::Docker, Side::Ctn] {
            let now = || pair.on(side, &["run", "--rm", "--network", "none", "box", "date", "+%s"]).stdout();
            let since = now()?;
            for line in LIFE {
                pair.on(side, line).stdout()?;
            }
            // docker leaves out what happened in the second that it is asked in: it waits for its end.
            let until = (now()?.parse::<u64>()? + 1).to_string();
            let format = ["events", "--since", &since, "--until", &until, "--format", "{{json .}}"];
            let lines = pair.on(side, &format).stdout()?;
            told.push(lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?);
        }
        let [docker, ctn] = &told[..] else { unreachable!() };
        let (docker, ctn) = (of_container(docker)?, of_container(ctn)?);
        // Who was attached in the foreground, and how the process's end came about.
        ensure!(docker == ctn, "docker tells\n{}\nand ctn\n{}", docker.join("\n"), ctn.join("\n"));
        Ok(())
    })
}

/// Each event of the container with the label, in a line; others were removed in the second that the events begin with.
fn of_container(events: &[Value]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for event in events.iter().filter(|event| event["Actor"]["Attributes"]["told"] == "yes") {
        let attributes = event["Actor"]["Attributes"].as_object().context("attributes")?;
        let named: Vec<String> = attributes
            .iter()
            .filter(|(key, _)| *key != "execDuration")
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        for key in ["status", "id", "from", "Type", "Action", "scope", "time", "timeNano"] {
            ensure!(!event[key].is_null(), "{key} is missing in {event}");
        }
        lines.push(format!("{} {} {} ({})", event["Type"], event["Action"], event["from"], named.join(", ")));
    }
    Ok(lines)
}

/// What the program sees of the flags.
fn what_run_prepares(pair: &Pair) -> Result<()> {
    let lines: &[(&str, Expected)] = &[
        ("run --rm -h web box hostname", Same),
        ("run --rm -e A=1 -e FROM_IMAGE=no box sh -c 'echo $A $FROM_IMAGE $HOME $PATH'", Same),
        ("run --rm -u 33:44 box id", Same),
        ("run --rm -u worker box id", Same),
        ("run --rm -u worker:extra box id", Same),
        ("run --rm --group-add 55 --group-add extra box id", Same),
        ("run --rm -w /a/b box pwd", Same),
        ("run --rm --entrypoint echo box a b", Same),
        ("run --rm --entrypoint '' box echo a", Same),
        ("run --rm --read-only box touch /x", Same),
        ("run --rm --tmpfs /t:size=64k,mode=700 box stat -c '%a %F' /t", Same),
        ("run --rm --sysctl net.ipv4.ip_forward=1 box cat /proc/sys/net/ipv4/ip_forward", Same),
        ("run --rm --ulimit nofile=100:200 box sh -c 'ulimit -Sn; ulimit -Hn'", Same),
        ("run --rm --cap-drop ALL --cap-add NET_ADMIN box grep Cap /proc/self/status", Same),
        ("run --rm box grep -E 'Cap|Seccomp:|NoNewPrivs' /proc/self/status", Same),
        ("run --rm --security-opt no-new-privileges box grep NoNewPrivs /proc/self/status", Same),
        ("run --rm --security-opt seccomp=unconfined box grep Seccomp: /proc/self/status", Same),
        ("run --rm --shm-size 1m box df -k /dev/shm", Same),
        ("run --rm box sh -c 'ls /dev | sort | tr \"\\n\" \" \"'", Same),
        ("run --rm box sh -c 'umask; ls -ld /proc/sys /sys/fs/cgroup | cut -c 1-10'", Same),
        ("run --rm -v vol:/home box ls -A /home", Same),
        ("run --rm --mount type=volume,source=vol,target=/v,readonly box sh -c 'touch /v/x; ls /v'", Same),
        ("run --rm --add-host a:1.2.3.4 box grep 1.2.3.4 /etc/hosts", Same),
        (
            "run --rm --network none --dns 9.9.9.9 --dns-search example.org --dns-option ndots:3 box cat /etc/resolv.conf",
            Sorted,
        ),
        ("run --rm --oom-score-adj 77 box cat /proc/self/oom_score_adj", Same),
        ("run --rm --init box ps -o comm", Same),
        ("run --rm --pid host --network host --uts host box true", Same),
        ("run --rm -t box tty", Same),
        ("run --rm --ulimit nofile=100:200 --ulimit nofile=50:60 box sh -c 'ulimit -Sn; ulimit -Hn'", Same),
        ("run --rm -h -x -e -A=-b box env", Sorted),
        ("run --rm -u worker --tmpfs /new box sh -c 'stat -c %a /new; touch /new/x'", Same),
        ("run --rm -u '' -w '' box sh -c 'id -u; pwd'", Same),
        ("run --rm -v /run/tmp:/in:rshared box sh -c \"grep ' /in ' /proc/self/mountinfo | grep -o shared\"", Same),
        ("run --rm --mac-address 02:00:00:00:00:09 box cat /sys/class/net/eth0/address", Same),
    ];
    pair.alone(|| follow(pair, lines))
}
