//! The whole command line against those who call it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn entry(name: &str) -> &'static Entry {
    ENTRIES.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("no command {name}"))
}

/// Reads a whole line.
fn accepted(line: &str) -> Result<&'static str, String> {
    understood(&words(line))
}

#[test]
fn the_tree_is_sound() {
    tree().debug_assert();
    for entry in &ENTRIES {
        entry.command().debug_assert();
    }
}

#[test]
fn every_flag_and_command_has_a_help() {
    for command in tree().get_subcommands().chain([&tree()]) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            assert!(argument.is_positional() || argument.get_long().is_some(), "{}", argument.get_id());
        }
    }
}

#[test]
fn every_flag_of_runc_is_known() {
    let create =
        "--bundle= -b= --console-socket= --pidfd-socket= --pid-file= --no-pivot --no-new-keyring --preserve-fds=";
    let run = format!("{create} --detach -d --keep --no-subreaper");
    let table = [
        ("create", create),
        ("run", &run),
        ("start", ""),
        ("state", ""),
        ("pause", ""),
        ("resume", ""),
        ("features", ""),
        (
            "exec",
            "--console-socket= --pidfd-socket= --cwd= --env= -e= --tty -t --user= -u= --additional-gids= -g= --process= -p= \
             --detach -d --pid-file= --process-label= --apparmor= --no-new-privs --cap= -c= --preserve-fds= --cgroup= \
             --ignore-paused",
        ),
        ("kill", "--all -a"),
        ("delete", "--force -f"),
        ("list", "--format= -f= --quiet -q"),
        ("ps", "--format= -f="),
        ("events", "--interval= --stats"),
        ("spec", "--bundle= -b= --rootless"),
        (
            "update",
            "--resources= -r= --blkio-weight= --cpu-period= --cpu-quota= --cpu-burst= --cpu-share= --cpu-rt-period= \
             --cpu-rt-runtime= --cpuset-cpus= --cpuset-mems= --kernel-memory= --kernel-memory-tcp= --memory= --cpu-idle= \
             --memory-reservation= --memory-swap= --pids-limit= --l3-cache-schema= --mem-bw-schema=",
        ),
        // crun's.
        ("create", "--config="),
        ("run", "--config="),
        ("kill", "--regex -r"),
        ("delete", "--regex -r"),
    ];
    for (name, flags) in table {
        has_flags(&entry(name).command(), flags);
    }
    let globals = "--root= --log= --log-format= --log-level= --debug --systemd-cgroup --cgroup-manager= --rootless= \
                   --version -v --help -h";
    has_flags(&tree(), globals);
}

/// Whether a command has flags, those with `=` taking a value and the others none.
fn has_flags(command: &clap::Command, flags: &str) {
    for flag in flags.split_whitespace() {
        let (name, valued) = flag.strip_suffix('=').map_or((flag, false), |name| (name, true));
        let named = |arg: &&Arg| match name.strip_prefix("--") {
            Some(long) => arg.get_long() == Some(long),
            None => arg.get_short() == name.chars().nth(1),
        };
        let found = command.get_arguments().find(named);
        let found = found.unwrap_or_else(|| panic!("{} has no {name}", command.get_name()));
        let optional = found.get_num_args().is_some_and(|count| count.min_values() == 0);
        let takes = found.get_action().takes_values() && !optional;
        assert_eq!(takes, valued, "{} {name}", command.get_name());
    }
}

#[test]
fn every_call_of_an_engine_is_read() {
    let calls = [
        // containerd's shim, by go-runc.
        "--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup create --bundle /b \
         --pid-file /b/init.pid --console-socket /tmp/pty1/pty.sock --no-pivot --no-new-keyring ID",
        "--root R --log L --log-format json start ID",
        "--root R --log L --log-format json exec --process /tmp/runc-process1 --console-socket S --detach --pid-file P ID",
        "--root R --log L --log-format json kill --all ID 9",
        "--root R --log L --log-format json ps --format json ID",
        "--root R --log L --log-format json update --resources=- ID",
        "--root R --log L --log-format json update --resources - ID",
        "--root R --log L --log-format json delete --force ID",
        "--root R --log L --log-format json pause ID",
        "--root R --log L --log-format json resume ID",
        "features",
        // BuildKit.
        "--log L --log-format json run --bundle B --no-pivot --keep ID",
        "--log L --log-format json exec --process F --pid-file F ID",
        // podman, by conmon and directly.
        "--systemd-cgroup --log-format=json --log L create --bundle B --pid-file P --preserve-fds 2 --console-socket S ID",
        "--cgroup-manager disabled --log-format=json --log L create --bundle B --pid-file P ID",
        "exec --pid-file P --process F --detach --preserve-fds 1 --console-socket S ID",
        "kill ID 15",
        "update --resources=/var/tmp/podman1 ID",
        // cri-o, and conmon-rs.
        "--systemd-cgroup --root=/run/corten create --bundle B --pid-file B/pidfile ID",
        "--root /run/corten kill -a ID 9",
        "--root /run/corten kill ID SIGRTMIN+3",
        "--root /run/corten --systemd-cgroup exec --process F ID",
        "--root=/a --systemd-cgroup --root=/a --systemd-cgroup create --bundle B --pid-file F --console-socket=S ID",
        "--log=journald:ID --log-level=info exec -d --console-socket=S --tty --pid-file=F ID sh -c true",
        // People.
        "--debug --rootless true run -b /bundle -d ID",
        "-rootless=false list -q",
        "update --memory 64m --memory-swap -1 --pids-limit -1 ID",
        "update ID --cpu-quota -1",
        "ps ID -aux",
        "events --interval=1m30s ID",
        "kill --regex ^web- KILL",
        "delete -f -r .*",
        "spec --rootless",
        "plan --bundle /b --format json",
    ];
    for call in calls {
        let name = accepted(call).unwrap_or_else(|mistake| panic!("{call}: {mistake}"));
        assert!(words(call).contains(&OsString::from(name)), "{call}");
    }
}

#[test]
fn a_mistake_is_one_sentence() {
    for (line, expected) in [
        ("create", "the following required arguments were not provided: <ID>"),
        ("create a b", "unexpected argument 'b' found"),
        ("--frobnicate list", "unexpected argument '--frobnicate' found"),
        ("list --frobnicate", "unexpected argument '--frobnicate' found"),
        ("list --format", "flag needs an argument: --format"),
        ("list --format xml", "invalid value 'xml' for '--format <FORMAT>' [possible values: table, json]"),
        ("--log-format xml list", "invalid value 'xml' for '--log-format <FORMAT>' [possible values: text, json]"),
        ("kill c1 SIGNOTHING", "invalid value 'SIGNOTHING' for '[SIGNAL]': unknown signal \"SIGNOTHING\""),
        (
            "events --interval 0 c1",
            "invalid value '0' for '--interval <TIME>': duration interval must be greater than 0",
        ),
        ("--root / list", "Option --root argument should not be set to /"),
        ("kill --preserve-fds 1 c1", "unexpected argument '--preserve-fds' found"),
    ] {
        assert_eq!(accepted(line), Err(expected.to_owned()), "{line}");
    }
}

#[test]
fn the_version_is_in_the_words_of_engines() {
    let version = version();
    let mut lines = version.lines();
    assert_eq!(lines.next(), Some(concat!("corten version ", env!("CARGO_PKG_VERSION"))));
    assert_eq!(lines.next_back(), Some("spec: 1.3.0"));
    assert!(lines.all(|line| line.starts_with("commit: ")));
}

proptest! {
    #[test]
    fn no_arguments_make_a_panic(name in 0..ENTRIES.len(), given in prop::collection::vec(word(), 0..6)) {
        let _ = matched(&mut ENTRIES[name].command(), &given);
        let _ = read::<CommandLine>("corten", &given);
    }
}

/// Flags, values and noise.
fn word() -> impl Strategy<Value = OsString> {
    prop_oneof![
        "--?(bundle|log|env|tty|memory|process|no-new-privs|format|user|help|detach)(=[-a-z0-9,:]{0,5})?",
        "-[a-z]{1,3}=?",
        "[-a-zA-Z0-9,:=]{0,6}",
    ]
    .prop_map(OsString::from)
    .boxed()
    .prop_union(prop::collection::vec(1u8.., 0..5).prop_map(OsString::from_vec).boxed())
}
