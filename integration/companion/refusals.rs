//! What is refused: by which status, and in which words.

use anyhow::Result;

use super::Pair;
use super::line::{Expected, Other, Same, Words, follow};
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Pair>)> {
    cases![
        programs_that_cannot_be_run,
        programs_that_cannot_be_run_in_a_container_that_runs,
        command_lines,
        values_of_flags,
        what_contradicts_itself_or_is_not_there,
        containers_that_are_not_there_or_not_so,
        networks_and_volumes,
    ]
}

/// docker names who handed the error on.
const CHAIN: &str = "the runtime's cause alone, without those who handed it on";
const CHECKED: &str = "checked when the container is made, where docker finds out when it is started, so help is named";
const OWN: &str = "the same said in other words";

fn programs_that_cannot_be_run(pair: &Pair) -> Result<()> {
    let lines: &[(&str, Expected)] = &[
        ("run --rm box nosuch", Words(r#"exec: "nosuch": executable file not found in $PATH"#, CHAIN)),
        ("run --rm box /nosuch/x", Words(r#"exec: "/nosuch/x": stat /nosuch/x: no such file or directory"#, CHAIN)),
        ("run --rm box /etc/nothing-to-run", Words(r#"exec: "/etc/nothing-to-run": permission denied"#, CHAIN)),
        ("run --rm box /etc", Words(r#"exec: "/etc": is a directory"#, CHAIN)),
        ("run --rm --entrypoint /nosuch box", Words(r#"exec: "/nosuch""#, CHAIN)),
        ("run -d --name failed box nosuch", Other((127, "ID"), (127, ""), "an id of what doesn't run is no output")),
        ("ps -a --format '{{.Names}} {{.Status}}'", Same),
        ("start failed", Words(r#"exec: "nosuch": executable file not found in $PATH"#, CHAIN)),
        ("inspect --format '{{.State.Status}} {{.State.ExitCode}}' failed", Same),
        ("run --rm box sh -c 'exit 42'", Same),
        ("run --rm box sh -c 'kill -9 $$'", Same),
        ("run --rm --init box sh -c 'kill -TERM $$'", Same),
        ("run --rm --init box sh -c 'kill -KILL $$'", Same),
        ("run --rm --user nosuch box true", Same),
        ("run --rm --user 1:nosuch box true", Same),
    ];
    pair.alone(|| follow(pair, lines))
}

fn programs_that_cannot_be_run_in_a_container_that_runs(pair: &Pair) -> Result<()> {
    const TO_STDERR: &str = "docker 23 and later say it on standard error, too";
    let lines: &[(&str, Expected)] = &[
        ("run -d --name up box sleep 1000", Same),
        ("exec up true", Same),
        ("exec up sh -c 'exit 42'", Same),
        ("exec up sh -c 'kill -9 $$'", Same),
        ("exec up sh -c 'kill -15 $$'", Same),
        (
            "exec up nosuch",
            Other((126, "not found in $PATH"), (127, "not found in $PATH"), "127 as docker 23 and later"),
        ),
        ("exec up /nosuch/x", Other((126, "no such file"), (127, "no such file"), "127 as docker 23 and later")),
        ("exec up /etc/nothing-to-run", Other((126, "permission denied"), (126, "permission denied"), TO_STDERR)),
        ("exec up /etc", Other((126, "permission denied"), (126, "is a directory"), TO_STDERR)),
        ("exec -w /nosuch up true", Other((126, "/nosuch"), (126, "/nosuch"), TO_STDERR)),
        ("exec -w relative up pwd", Other((126, "an absolute path"), (126, "relative"), TO_STDERR)),
        (
            "exec -u nosuch up true",
            Other((126, "unable to find user nosuch"), (126, "unable to find user nosuch"), TO_STDERR),
        ),
        ("exec -d up nosuch", Words(r#"exec: "nosuch": executable file not found in $PATH"#, CHAIN)),
        ("exec -d up true", Same),
        ("exec -it up true", Same),
        ("exec nosuch true", Same),
        ("exec -u worker -w /home/worker -e A=b up sh -c 'id -un; pwd; echo $A'", Same),
        ("pause up", Same),
        ("exec up true", Same),
        ("unpause up", Same),
        ("kill up", Same),
        ("wait up", Same),
        ("exec up true", Same),
    ];
    pair.alone(|| follow(pair, lines))
}

fn command_lines(pair: &Pair) -> Result<()> {
    const USAGE: &str = "the usage and the description below are ours";
    let lines: &[(&str, Expected)] = &[
        ("nosuch", Words("'nosuch' is not a ctn command", "docker has a full stop there")),
        ("network nosuch", Words("'nosuch' is not a ctn network command", "docker prints its help instead")),
        ("run", Words("\"ctn run\" requires at least 1 argument.\nSee 'ctn run --help'.", USAGE)),
        ("create", Words("\"ctn create\" requires at least 1 argument.\nSee 'ctn create --help'.", USAGE)),
        ("exec up", Words("\"ctn exec\" requires at least 2 arguments.\nSee 'ctn exec --help'.", USAGE)),
        ("wait", Words("\"ctn wait\" requires at least 1 argument.", USAGE)),
        ("rename a", Words("\"ctn rename\" requires exactly 2 arguments.", USAGE)),
        ("rename a b c", Words("\"ctn rename\" requires exactly 2 arguments.", USAGE)),
        ("ps x", Same),
        ("logs", Words("\"ctn logs\" requires exactly 1 argument.", USAGE)),
        ("cp a", Words("\"ctn cp\" requires exactly 2 arguments.", USAGE)),
        ("tag a", Words("\"ctn tag\" requires exactly 2 arguments.", USAGE)),
        ("port", Words("\"ctn port\" requires at least 1 and at most 2 arguments.", USAGE)),
        ("commit", Words("\"ctn commit\" requires at least 1 and at most 2 arguments.", USAGE)),
        ("network create", Words("\"ctn network create\" requires exactly 1 argument.", USAGE)),
        ("network create a b", Words("\"ctn network create\" requires exactly 1 argument.", USAGE)),
        ("network connect a", Words("\"ctn network connect\" requires exactly 2 arguments.", USAGE)),
        ("network rm", Words("\"ctn network rm\" requires at least 1 argument.", USAGE)),
        ("volume create a b", Words("\"ctn volume create\" requires at most 1 argument.", USAGE)),
        ("run --nosuch box", Same),
        ("run --nosuch=x box", Same),
        ("run -Z box", Same),
        ("ps -aZ", Same),
        ("run --name", Same),
        ("network ls --nosuch", Same),
        ("ps --filter nonsense", Same),
        ("images --filter nonsense", Same),
        ("volume ls --filter nonsense", Same),
        ("network ls --filter nonsense", Same),
    ];
    pair.alone(|| follow(pair, lines))
}

fn values_of_flags(pair: &Pair) -> Result<()> {
    const NUMBER: &str = "Rust's words for what is no number";
    let lines: &[(&str, Expected)] = &[
        ("run --rm -m x box true", Same),
        ("run --rm --memory-swap x box true", Same),
        ("run --rm -m 1k box true", Same),
        ("run --rm --cpus x box true", Words("invalid argument \"x\" for \"--cpus\" flag: ", NUMBER)),
        ("run --rm --pids-limit x box true", Words("invalid argument \"x\" for \"--pids-limit\" flag: ", NUMBER)),
        ("run --rm --stop-timeout x box true", Words("invalid argument \"x\" for \"--stop-timeout\" flag: ", NUMBER)),
        ("stop -t x up", Words("invalid argument \"x\" for \"-t, --time\" flag: ", NUMBER)),
        ("run --rm --ulimit nofile=10:5 box true", Same),
        ("run --rm --ulimit nosuch=10 box true", Same),
        ("run --rm --shm-size x box true", Same),
        ("run --rm --add-host x box true", Same),
        ("run --rm --dns x box true", Same),
        ("run --rm --label '' box true", Same),
        (
            "run --rm --health-interval x box true",
            Words("for \"--health-interval\" flag: ", "without Go's package before it"),
        ),
        ("run --rm -a nosuch box true", Words("invalid argument \"nosuch\" for \"-a, --attach\" flag: ", OWN)),
        ("run --rm --mount source=a box true", Same),
        ("run --rm --mount type=volume,source=v1,target=/x,nosuch box true", Words("unexpected key 'nosuch'", OWN)),
        ("run --rm --mount type=nosuch,target=/x box true", Words("for \"--mount\" flag", OWN)),
        ("run --rm --network alias=x box true", Words("for \"--network\" flag: the network's name is missing", OWN)),
        ("run --rm -p 99999:80 box true", Words("invalid port: \"99999\"", OWN)),
        ("run --rm -p x:80 box true", Words("invalid port: \"x\"", OWN)),
        ("run --rm --expose x box true", Words("invalid port: \"x\"", OWN)),
        ("run --rm --restart nosuch box true", Words("unknown policy 'nosuch'", "docker 24's words")),
        ("run -d --restart on-failure:x box true", Words("maximum retry count must be an integer", OWN)),
        ("run --rm --cap-add NOSUCH box true", Words("unknown capability: \"CAP_NOSUCH\"", OWN)),
        ("run --rm --security-opt nosuch=1 box true", Words("invalid --security-opt: \"nosuch=1\"", OWN)),
        ("run --rm --sysctl nosuch=1 box true", Words("linux.sysctl[\"nosuch\"]", OWN)),
        ("run --rm --tmpfs x box true", Same),
        ("run --rm --log-driver nosuch box true", Words("the log driver \"nosuch\" is not supported", OWN)),
        ("run --rm --log-opt nosuch=1 box true", Same),
        ("run --rm --log-driver local --log-opt labels=a box true", Same),
        ("run --rm --log-opt mode=nosuch box true", Same),
        ("run --rm --log-opt max-buffer-size=1m box true", Same),
        ("run --rm --log-opt mode=non-blocking --log-opt max-buffer-size=x box true", Same),
        (
            "run --rm --log-opt compress=true box true",
            Words("compress cannot be true when max-file is less than 2", OWN),
        ),
        ("run --rm --log-driver local --log-opt max-file=1 box true", Words("compression cannot be enabled when", OWN)),
        ("run --rm --ipc nosuch box true", Words("--ipc: ", OWN)),
        ("run --rm --pid nosuch box true", Words("--pid: ", OWN)),
        ("run --rm --uts nosuch box true", Words("--uts: ", OWN)),
        ("run --rm --cgroupns nosuch box true", Words("--cgroupns: ", OWN)),
        ("run --rm --stop-signal NOSUCH box true", Same),
        ("run --rm --mac-address x box true", Words("MAC address", OWN)),
        ("run --rm --oom-score-adj 2000 box true", Same),
        ("run --rm -v /nosuch:/x:bad box true", Words("invalid mode: bad", OWN)),
        ("run --rm --platform x box true", Words("unknown operating system or architecture", OWN)),
        ("run --rm --detach-keys x box true", Same),
        ("run --rm '' true", Words("invalid reference format", OWN)),
        ("run --rm BOX true", Words("invalid reference format: \"BOX\": repository name must be lowercase", OWN)),
        ("update --memory x up", Same),
        ("ps --format '{{.ID'", Words("unclosed action", OWN)),
        ("ps --format '{{nosuch .ID}}'", Words("function \"nosuch\" not defined", OWN)),
    ];
    pair.alone(|| follow(pair, lines))
}

fn what_contradicts_itself_or_is_not_there(pair: &Pair) -> Result<()> {
    const PULLED: &str = "another way to say that a registry can't be reached";
    let lines: &[(&str, Expected)] = &[
        ("run -d --name up -p 8080:80 box sleep 1000", Same),
        ("run --name up box true", Same),
        ("create --name up box", Same),
        ("run --rm -p 8080:80 box true", Words("Bind for 0.0.0.0:8080 failed: port is already allocated", OWN)),
        ("run --rm --restart always box true", Words("cannot specify both --restart and --rm", "docker 24's words")),
        ("run -d -a stdout box true", Same),
        ("run -it --rm box true", Same),
        ("run --rm --health-cmd x --no-healthcheck box true", Same),
        ("run --rm --network none --network-alias x box true", Words("", OWN)),
        ("run --rm --pull never nosuchimage:1 true", Same),
        ("run --rm nosuchimage:1 true", Words("Unable to find image 'nosuchimage:1' locally", PULLED)),
        ("run --rm --platform linux/arm64 box true", Words("Unable to find image 'box:latest' locally", PULLED)),
        ("create --platform linux/arm64 --pull never box", Same),
        ("run --rm --network nosuch box true", Words("network nosuch not found", CHECKED)),
        ("run --rm --network container:nosuch box true", Words("No such container: nosuch", CHECKED)),
        ("run --rm --pid container:nosuch box true", Same),
        ("run --rm --volumes-from nosuch box true", Same),
        ("run --rm --mount type=bind,source=/nosuchx,target=/x box true", Same),
        ("run --rm --env-file /nosuch box true", Words("/nosuch", OWN)),
        ("run --rm --security-opt seccomp=/nosuch box true", Words("opening seccomp profile (/nosuch) failed", OWN)),
        ("run --cidfile /etc/passwd box true", Same),
        (
            "run --rm --device /dev/nosuch box true",
            Other((127, "/dev/nosuch"), (125, "/dev/nosuch"), "the program was never looked for"),
        ),
        (
            "run --rm -v a:b box true",
            Other((0, ""), (125, "mount path must be absolute"), "docker makes a volume that nobody sees"),
        ),
        (
            "run --rm -v ./rel:/x box ls -d /x",
            Other((125, "./rel"), (0, "/x"), "docker 23 and later take a path that begins with a dot, too"),
        ),
        (
            "run --rm --ip 10.0.0.1 box true",
            Other((0, ""), (125, "networks that users made"), "no flag is ignored; docker 25 and later refuse it, too"),
        ),
    ];
    pair.alone(|| follow(pair, lines))
}

fn containers_that_are_not_there_or_not_so(pair: &Pair) -> Result<()> {
    let lines: &[(&str, Expected)] = &[
        ("run -d --name up box sleep 1000", Same),
        ("run --name done box true", Same),
        ("create --name made box true", Same),
        (
            "rm up",
            Words("container is running: stop the container before removing or force remove", "docker 25's words"),
        ),
        ("rm nosuch", Same),
        ("rm -f nosuch", Same),
        ("stop nosuch", Same),
        ("start nosuch", Words("No such container: nosuch", "docker names it in a second line")),
        ("start up", Same),
        ("restart nosuch", Same),
        ("kill nosuch", Words("No such container: nosuch", OWN)),
        ("kill done", Same),
        ("kill -s NOSUCH up", Same),
        ("pause done", Same),
        ("pause nosuch", Same),
        ("unpause up", Same),
        ("wait nosuch", Same),
        ("top nosuch", Same),
        ("top done", Same),
        ("top up -o nosuch", Same),
        ("stats --no-stream nosuch", Same),
        ("logs nosuch", Same),
        ("logs --since x done", Words("\"x\" is neither a time nor a duration", OWN)),
        ("attach nosuch", Same),
        ("attach done", Same),
        ("diff nosuch", Words("No such image: nosuch:latest", "images have differences here, too")),
        ("port nosuch", Same),
        ("port up 81", Same),
        (
            "rename up done",
            Words("Conflict. The container name \"/done\" is already in use", "docker's two sentences are one"),
        ),
        ("rename nosuch x", Words("No such container: nosuch", "docker says it twice")),
        ("rename up 'a b'", Words("Invalid container name (a b)", "docker's two sentences are one")),
        ("rename up ''", Same),
        ("update up", Same),
        ("update --restart always nosuch", Same),
        ("update --restart nosuch up", Words("unknown policy 'nosuch'", "docker 24's words")),
        ("commit nosuch x", Words("\"nosuch\" is no container", "bundles are committed here, too")),
        ("export nosuch", Words("No such image: nosuch:latest", "images are exported here, too")),
        ("inspect nosuch", Same),
        ("inspect --type container nosuch", Same),
        ("inspect --type image nosuch", Words("No such image: nosuch:latest", "the whole name, as docker 25")),
        ("inspect --type nosuch up", Same),
        (
            "inspect --format '{{.Nosuch}}' up",
            Other((1, "Nosuch"), (1, "no field Nosuch"), "docker prints an empty line first"),
        ),
        ("rmi nosuch", Words("No such image: nosuch:latest", "the whole name, as docker 25")),
        ("tag nosuch x", Same),
        ("save nosuch", Words("No such image: nosuch:latest", "the whole name")),
        ("history nosuch", Same),
        ("cp up:/nosuch out", Words("Could not find the file /nosuch in container up", "docker 23's words")),
        ("cp nosuch:/etc out", Words("No such container: nosuch", OWN)),
        ("cp up:/etc up:/tmp", Same),
        ("cp up:/etc/passwd /nosuchdir/x/y", Same),
        ("cp a b", Same),
    ];
    pair.alone(|| follow(pair, lines))
}

fn networks_and_volumes(pair: &Pair) -> Result<()> {
    const NEWER: &str = "docker 23's words";
    let lines: &[(&str, Expected)] = &[
        ("run -d --name up -v kept:/kept box sleep 1000", Same),
        ("network create one", Same),
        ("network create one", Same),
        ("network create --subnet x two", Words("invalid subnet \"x\"", OWN)),
        ("network create --subnet 10.1.0.0/16 --gateway 10.2.0.1 two", Words("is in no subnet of the network", OWN)),
        ("network create --driver nosuch two", Words("could not find the network driver \"nosuch\"", OWN)),
        ("network create --subnet 10.77.0.0/16 wide", Same),
        ("network create --subnet 10.77.0.0/24 narrow", Words("of the network wide", OWN)),
        ("network inspect nosuch", Words("network nosuch not found", NEWER)),
        ("network rm nosuch", Words("network nosuch not found", NEWER)),
        ("network rm bridge", Same),
        ("network rm host", Same),
        ("network connect one nosuch", Same),
        ("network connect nosuch up", Same),
        ("network connect one up", Same),
        ("network connect one up", Words("is in the network one already", OWN)),
        ("network connect host up", Words("can't be attached to the network host", OWN)),
        ("network rm one", Same),
        ("network disconnect one up", Same),
        ("network disconnect one up", Same),
        ("network disconnect -f one nosuch", Words("endpoint nosuch not found", OWN)),
        ("network disconnect nosuch up", Same),
        ("network rm one wide", Same),
        ("volume create --driver nosuch v", Words("could not find the volume driver \"nosuch\"", OWN)),
        ("volume create 'a b'", Words("includes invalid characters for a local volume name", OWN)),
        ("volume inspect nosuch", Words("get nosuch: no such volume", NEWER)),
        ("volume rm nosuch", Words("get nosuch: no such volume", NEWER)),
        ("volume rm -f nosuch", Same),
        ("volume rm kept", Same),
        ("volume ls --filter nosuch=x", Words("invalid filter 'nosuch'", NEWER)),
        ("network ls --filter nosuch=x", Words("invalid filter 'nosuch'", NEWER)),
        ("ps --filter nosuch=x", Words("invalid filter 'nosuch'", NEWER)),
        ("ps --filter status=nosuch", Words("invalid filter 'status=nosuch'", NEWER)),
        ("ps --filter exited=x", Words("invalid filter 'exited=x'", NEWER)),
        ("images --filter nosuch=x", Words("invalid filter 'nosuch'", NEWER)),
    ];
    pair.alone(|| follow(pair, lines))
}
