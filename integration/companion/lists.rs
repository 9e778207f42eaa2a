//! Lists: columns, `--format`, `--filter`, and their flags.

use anyhow::Result;

use super::Pair;
use super::line::{Expected, Other, Same, Sorted, Words, follow};
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Pair>)> {
    cases![containers, containers_filtered, networks, volumes, images, histories, processes_and_statistics]
}

/// docker's proxy listens at the host's IPv6 addresses for containers that have none; no process does here.
const ONE_FAMILY: &str = "a container without an IPv6 address is published at IPv4 addresses alone";

const FIELDS: &str = "{{.ID}}|{{.Image}}|{{.Command}}|{{.CreatedAt}}|{{.RunningFor}}|{{.Status}}|{{.State}}|{{.Names}}|{{.Mounts}}|{{.Networks}}|{{.LocalVolumes}}|{{.Label \"a\"}}|{{.Size}}";

/// Some containers of every kind.
const MADE: [&str; 4] = [
    "create --name made --label a=b,c=d box true",
    "run -d --name up --label a=b --label x= -p 127.0.0.1:8080:80 -p 127.0.0.1:9000:90/udp -v kept:/kept --tmpfs /tmpfs box sleep 1000",
    "run --name failed box sh -c 'exit 3'",
    "run --name done --network none --entrypoint sh box -c 'echo a-long-command-line-with-\"quotes\"'",
];

fn made(lines: &[(&'static str, Expected)]) -> Vec<(&'static str, Expected)> {
    let made = MADE.map(|line| (line, Same));
    made.iter().chain(lines).copied().collect()
}

fn containers(pair: &Pair) -> Result<()> {
    let fields = format!("ps -a --format '{FIELDS}'");
    let fields: &'static str = fields.leak();
    let lines = made(&[
        ("ps", Same),
        ("ps -a", Same),
        ("ps --all --no-trunc", Same),
        ("ps -q", Same),
        ("ps -aq --no-trunc", Same),
        ("ps -as", Same),
        ("ps -n 2", Same),
        ("ps -l", Same),
        ("ps -lq", Same),
        ("container ls", Same),
        ("container list -a", Same),
        (fields, Same),
        ("ps -a --filter name=made --format '{{.Labels}}'", Sorted),
        ("ps --format '{{.Ports}}'", Same),
        ("ps -a --format 'table {{.Names}}\\t{{.State}}'", Same),
        (
            "ps -a --format 'table {{.Names}}\\t{{.Label \"com.example.some-name\"}}\\t{{json .Command}}\\t{{upper .State}}'",
            Same,
        ),
        (
            "ps -a --format '{{json .}}'",
            Other(
                (0, "-\\u003e80/tcp"),
                (0, "->80/tcp"),
                "nothing reads this as HTML; docker 23 and later don't escape it, either",
            ),
        ),
        ("ps -a --filter name=made --format '{{json .}}'", Sorted),
        ("ps -a --format table", Same),
        ("ps -a --format '{{range $i, $n := split .Names \"e\"}}{{$i}}{{$n}} {{end}}'", Same),
        (
            "ps -a --format '{{if eq .State \"running\"}}{{.Names}} runs{{else}}{{.Names | printf \"%8s\"}}{{end}}'",
            Same,
        ),
        (
            "ps -a --format '{{with $x := .Names}}{{$x}}{{end}}{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .State}}'",
            Same,
        ),
        (
            "ps --format json",
            Other(
                (0, "json"),
                (0, "\"Names\":\"up\""),
                "docker 23 and later print objects, too, where 20.10 prints the word",
            ),
        ),
        (
            "run -d --name says -p 127.0.0.1:7778:80 -p 127.0.0.1:90-91:90-91 --expose 100-102 --expose 5/udp box sleep 1000",
            Same,
        ),
        ("ps --filter name=says --format '{{.Ports}}'", Same),
        ("inspect --format '{{json .NetworkSettings.Ports}}' says", Same),
        ("rm -f says", Same),
        ("run -d --name wide -p 7777:80 box sleep 1000", Same),
        (
            "ps --filter name=wide --format '{{.Ports}}'",
            Other((0, ":::7777->80/tcp"), (0, "0.0.0.0:7777->80/tcp"), ONE_FAMILY),
        ),
        ("port wide", Other((0, "80/tcp -> :::7777"), (0, "80/tcp -> 0.0.0.0:7777"), ONE_FAMILY)),
        ("port up", Sorted),
        ("port up 80", Same),
        ("port up 90/udp", Same),
        ("port done", Same),
    ]);
    pair.alone(|| follow(pair, &lines))
}

fn containers_filtered(pair: &Pair) -> Result<()> {
    let lines = made(&[
        ("ps -a --filter status=exited --format '{{.Names}}'", Same),
        ("ps --filter status=created --filter status=running --format '{{.Names}}'", Same),
        ("ps -a --filter exited=3 --format '{{.Names}}'", Same),
        ("ps -a --filter exited=3 --filter exited=0 --format '{{.Names}}'", Same),
        ("ps -a --filter name=^/up$ --format '{{.Names}}'", Same),
        ("ps -a --filter name=e --format '{{.Names}}'", Same),
        ("ps -a --filter label=a --format '{{.Names}}'", Same),
        ("ps -a --filter label=a=b --format '{{.Names}}'", Same),
        ("ps -a --filter label=a --filter label=x --format '{{.Names}}'", Same),
        ("ps -a --filter ancestor=box --format '{{.Names}}'", Same),
        ("ps -a --filter ancestor=nosuch --format '{{.Names}}'", Same),
        ("ps -a --filter volume=kept --format '{{.Names}}'", Same),
        ("ps -a --filter volume=/kept --format '{{.Names}}'", Same),
        ("ps -a --filter network=bridge --format '{{.Names}}'", Same),
        ("ps -a --filter network=none --format '{{.Names}}'", Same),
        ("ps -a --filter publish=8080 --format '{{.Names}}'", Same),
        ("ps -a --filter publish=8000-9000/udp --format '{{.Names}}'", Same),
        ("ps -a --filter expose=80/tcp --format '{{.Names}}'", Same),
        ("ps -a --filter expose=91 --format '{{.Names}}'", Same),
        ("ps -a --filter health=none --format '{{.Names}}'", Same),
        ("ps -a --filter before=failed --format '{{.Names}}'", Same),
        ("ps -a --filter since=made --format '{{.Names}}'", Same),
        (
            "ps -a --filter since=nosuch",
            Words("No such container: nosuch", "with a capital letter, as everywhere else"),
        ),
        ("ps -a --filter is-task=true", Same),
        ("ps -a --filter is-task=false --filter name=up --format '{{.Names}}'", Same),
    ]);
    pair.alone(|| follow(pair, &lines))
}

fn networks(pair: &Pair) -> Result<()> {
    let lines: &[(&str, Expected)] = &[
        ("network create --label x=y --label z= one", Same),
        ("network create --internal --subnet 10.77.0.0/16 two", Same),
        ("network create --ipv6 --subnet fd00:77::/64 three", Same),
        ("network ls", Same),
        ("network list", Same),
        ("network ls -q", Same),
        ("network ls --no-trunc", Same),
        ("network ls --filter name=o --format '{{.Name}}'", Same),
        ("network ls --filter name=one --filter name=two --format '{{.Name}}'", Same),
        ("network ls --filter driver=bridge --format '{{.Name}}'", Same),
        ("network ls --filter driver=null --format '{{.Name}}'", Same),
        ("network ls --filter label=x=y --format '{{.Name}}'", Same),
        ("network ls --filter type=custom --format '{{.Name}}'", Same),
        ("network ls --filter type=builtin --format '{{.Name}}'", Same),
        ("network ls --filter dangling=true --format '{{.Name}}'", Same),
        ("network ls --filter scope=local --format '{{.Name}}'", Same),
        (
            "network ls --format '{{.Name}} {{.ID}} {{.Driver}} {{.Scope}} {{.IPv6}} {{.Internal}} {{.Label \"x\"}}'",
            Same,
        ),
        ("network ls --filter label=x --format '{{.Labels}}'", Sorted),
        ("network ls --format 'table {{.Name}}\\t{{.Internal}}'", Same),
        ("network prune --force --filter label=x", Same),
        ("network rm two three", Same),
    ];
    pair.alone(|| follow(pair, lines))
}

fn volumes(pair: &Pair) -> Result<()> {
    let lines: &[(&str, Expected)] = &[
        ("volume create", Same),
        ("volume create one", Same),
        ("volume create one", Same),
        ("volume create --driver local --label a=b two", Same),
        ("run --rm -v two:/two -v anonymous:/x box true", Same),
        ("volume ls --filter name=o", Same),
        ("volume ls -q --filter name=o", Same),
        ("volume ls --filter label=a", Same),
        ("volume ls --filter label=a=c", Same),
        ("volume ls --filter dangling=true --filter name=o", Same),
        ("volume ls --filter driver=local --filter name=one", Same),
        ("volume ls --filter driver=nosuch", Same),
        (
            "volume ls --filter name=two --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}} {{.Label \"a\"}} {{.Links}} {{.Size}}'",
            Same,
        ),
        ("volume ls --filter name=two --format 'table {{.Name}}\\t{{.Label \"a\"}}'", Same),
        ("volume rm two", Same),
        ("volume prune --force --filter label=none", Same),
        (
            "volume prune --force",
            Other((0, "one"), (0, "ID"), "docker 23 and later prune volumes without a name alone, too"),
        ),
    ];
    pair.alone(|| follow(pair, lines))
}

fn images(pair: &Pair) -> Result<()> {
    const DIGEST: &str = "every image has a manifest here, and so a digest, as with docker's containerd store";
    let lines: &[(&str, Expected)] = &[
        ("images box", Same),
        ("images --filter reference=box:latest", Same),
        ("image ls box", Same),
        ("images nosuch", Same),
        ("images -q box", Same),
        ("images --no-trunc box", Same),
        ("images --digests box", Other((0, "<none>"), (0, "sha256:"), DIGEST)),
        (
            "images box --format '{{.ID}} {{.Repository}} {{.Tag}} {{.CreatedSince}} {{.CreatedAt}} {{.Size}} {{.Containers}} {{.SharedSize}} {{.UniqueSize}}'",
            Same,
        ),
        ("images box --format 'table {{.Repository}}\\t{{.Tag}}'", Same),
        ("tag box other:1", Same),
        ("images --format '{{.Repository}}:{{.Tag}}' other", Same),
        ("rmi other:1", Same),
        ("image prune --force --filter label=none", Same),
    ];
    pair.alone(|| follow(pair, lines))
}

fn histories(pair: &Pair) -> Result<()> {
    let lines: &[(&str, Expected)] = &[
        ("history box", Same),
        ("history --no-trunc box", Same),
        ("history -q box", Same),
        ("history box --format '{{.ID}} {{.CreatedSince}} {{.CreatedBy}} {{.Size}} {{.Comment}}'", Same),
        ("history box --format 'table {{.ID}}\\t{{.Comment}}'", Same),
    ];
    pair.alone(|| follow(pair, lines))
}

fn processes_and_statistics(pair: &Pair) -> Result<()> {
    let lines: &[(&str, Expected)] = &[
        ("run -d --name up --network none box sleep 1000", Same),
        ("top up -o comm", Same),
        ("top up -o user,comm,pid --sort pid", Other((0, "COMMAND"), (0, "COMMAND"), "process numbers")),
        (
            "stats --no-stream --format '{{.Container}} {{.Name}} {{.ID}} {{.CPUPerc}} {{.MemPerc}} {{.NetIO}} {{.BlockIO}}' up",
            Same,
        ),
        ("stats --no-stream --format 'table {{.Name}}\\t{{.PIDs}}\\t{{.MemUsage}}'", Same),
        ("stats --no-stream up", Same),
    ];
    pair.alone(|| follow(pair, lines))
}
