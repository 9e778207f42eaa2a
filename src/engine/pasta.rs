//! The network of an ordinary user's container: pasta(1), a program that carries what goes through a link in the container's namespace by
//! sockets of its own, outside. It listens at the published ports, too.
//!
//! | where | what |
//! | --- | --- |
//! | `NAMESPACES/ctn-ID` | the container's network namespace, mounted; pasta ends when this name goes |
//! | `RUN/ID/pasta.json` | which process it is, and the ports that are published |
//!
//! `NAMESPACES` is `netns` in the user's runtime directory, where AppArmor's profile of pasta lets it look. So whatever is killed, who
//! removes the name ends pasta; the process's number is there for who has to wait until the ports are free.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::{Engine, make_directory, root};
use crate::error::Attempt;
use crate::network::{Protocol, Published};
use crate::sys::signal;

/// The word of `--network`.
pub(super) const WORD: &str = "pasta";
/// Where containers ask for names if the machine asks itself: pasta hands on what is sent there.
pub(super) const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// Where the program is looked for; a monitor has no environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is known of a pasta that runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Pasta {
    pid: i32,
    /// When it was started, in the kernel's ticks: a number may be another process's by now.
    start: u64,
    /// The ports of the host that lead to the container.
    pub(super) ports: Vec<Published>,
    arguments: Vec<String>,
}

/// What would have it never be ready, or stay when its container has gone.
const REFUSED: [&str; 3] = ["-f", "--foreground", "--no-netns-quit"];

/// Refuses what pasta can't do, or may not here.
pub(super) fn check(options: &[String], ports: &[Published]) -> Result<()> {
    if let Some(option) = options.iter().find(|option| REFUSED.contains(&option.as_str())) {
        bail!(
            "the option {option} of pasta is not for containers, whose pasta is in the background and ends with them"
        );
    }
    let sctp = ports.iter().find(|port| port.protocol == Protocol::Sctp);
    if let Some(port) = sctp {
        bail!("the port {port} can't be published: pasta carries TCP and UDP");
    }
    Ok(())
}

/// The arguments that say what is carried; what the user says is in place of what is said here.
fn arguments(options: &[String], ports: &[Published], forwards_names: bool) -> Vec<String> {
    let text = |text: &str| text.to_owned();
    let mut all = vec![text("--config-net"), text("--quiet")];
    let says = |names: &[&str]| {
        options.iter().any(|option| names.iter().any(|name| option == name || option.starts_with(&format!("{name}="))))
    };
    for (protocol, short, long) in [(Protocol::Tcp, "-t", "--tcp-ports"), (Protocol::Udp, "-u", "--udp-ports")] {
        let published = ports.iter().filter(|port| port.protocol == protocol);
        let before = all.len();
        for port in published {
            let address = port.address.map(|address| format!("{address}/")).unwrap_or_default();
            all.extend([text(short), format!("{address}{}:{}", port.host, port.container)]);
        }
        if all.len() == before && !says(&[short, long]) {
            all.extend([text(short), text("none")]);
        }
    }
    for (short, long) in [("-T", "--tcp-ns"), ("-U", "--udp-ns")] {
        if !says(&[short, long]) {
            all.extend([text(short), text("none")]);
        }
    }
    // The gateway's address is not to lead to what listens at the machine's loopback alone.
    if !says(&["--map-gw"]) {
        all.push(text("--no-map-gw"));
    }
    if forwards_names && !says(&["--dns-forward"]) {
        all.extend([text("--dns-forward"), RESOLVER.to_string()]);
    }
    all.extend(options.iter().filter(|option| *option != "--map-gw").cloned());
    all
}

/// Where a container's namespace is found by pasta.
fn name(engine: &Engine, id: &str) -> PathBuf {
    let directory = match &engine.user {
        Some(user) => user.namespaces.clone(),
        None => engine.run.join("namespaces"),
    };
    directory.join(format!("ctn-{id}"))
}

fn record(engine: &Engine, id: &str) -> PathBuf {
    engine.running(id).join("pasta.json")
}

/// Gives the network namespace of a process to pasta, and returns when it is ready.
pub(super) fn start(
    engine: &Engine,
    id: &str,
    pid: i32,
    options: &[String],
    ports: Vec<Published>,
    forwards_names: bool,
) -> Result<Pasta> {
    let name = name(engine, id);
    if let Some(directory) = name.parent() {
        make_directory(directory)?;
    }
    File::create(&name).attempt(|| format!("make {name:?}"))?;
    let namespace = format!("/proc/{pid}/ns/net");
    rustix::mount::mount_bind(&namespace, &name).attempt(|| format!("mount {namespace:?} at {name:?}"))?;
    let mut arguments = arguments(options, &ports, forwards_names);
    if engine.user.is_none() {
        // As nobody, which root's becomes otherwise, it could not enter the namespace.
        arguments.extend(["--runas".to_owned(), "0:0".to_owned()]);
    }
    arguments.extend(["--netns".to_owned(), name.to_string_lossy().into_owned()]);
    let mut pasta = Pasta { ports, arguments, ..Pasta::default() };
    pasta.launch(engine, id)?;
    Ok(pasta)
}

impl Pasta {
    /// Starts the program. It forks when it is ready, and what goes on is a child of the next subreaper above: of this process.
    fn launch(&mut self, engine: &Engine, id: &str) -> Result<()> {
        let before = children()?;
        let mut command = Command::new("pasta");
        command.args(&self.arguments).env_clear().env("PATH", PATH).current_dir("/").stdin(Stdio::null());
        // The monitor has all blocked, and what ends a user's processes begins with SIGTERM.
        signal::unblock_in(&mut command);
        let output = match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!(
                    "the network {WORD:?} needs the program pasta (package passt), which is not there: \
                       install it, or choose --network none, host or container:ID"
                )
            }
            output => output.attempt(|| "start pasta")?,
        };
        ensure!(output.status.success(), "pasta: {}", reason(&String::from_utf8_lossy(&output.stderr)));
        // Short-lived ones of which its first process didn't hear any more are left, too.
        let new = children()?
            .into_iter()
            .find(|pid| !before.contains(pid) && field(*pid, 3).is_some_and(|state| state != "Z"));
        self.pid = new.unwrap_or(0);
        self.start = started(self.pid).unwrap_or(0);
        let path = record(engine, id);
        fs::write(&path, serde_json::to_vec(self)?).attempt(|| format!("write {path:?}"))
    }

    /// Whether a child that has ended was this one.
    pub(super) fn is(&self, pid: Pid) -> bool {
        self.pid == pid.as_raw_nonzero().get()
    }

    /// Somebody killed it: without it the container would be cut off.
    pub(super) fn again(&mut self, engine: &Engine, id: &str) -> Result<()> {
        self.launch(engine, id)
    }
}

/// What a pasta that failed said, without what it says of the system's log and of its own options.
fn reason(said: &str) -> String {
    let lines = said.lines().map(|line| line.trim().trim_start_matches("pasta: "));
    let lines = lines
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.is_empty() && !line.contains("to syslog"));
    let lines: Vec<&str> = lines.collect();
    if lines.is_empty() { "it failed without a word".into() } else { lines.join("; ") }
}

/// What is known of a container's pasta.
pub(super) fn of(engine: &Engine, id: &str) -> Option<Pasta> {
    serde_json::from_slice(&fs::read(record(engine, id)).ok()?).ok()
}

/// Ends a container's pasta, and waits until its ports are free.
pub(super) fn end(engine: &Engine, id: &str) -> Result<()> {
    let running = of(engine, id).and_then(|pasta| process(&pasta));
    if let Some(process) = &running {
        // It may end at this moment, and it may be root's.
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
    let name = name(engine, id);
    root::unmount(&name)?;
    match fs::remove_file(&name) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).attempt(|| format!("remove {name:?}"));
        }
        _ => {}
    }
    if let Some(process) = &running {
        let mut wanted = [PollFd::new(process, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut wanted, None)).attempt(|| "wait for the end of pasta")?;
    }
    let _ = fs::remove_file(record(engine, id));
    Ok(())
}

fn process(pasta: &Pasta) -> Option<OwnedFd> {
    let process = pidfd_open(Pid::from_raw(pasta.pid)?, PidfdFlags::empty()).ok()?;
    (started(pasta.pid) == Some(pasta.start)).then_some(process)
}

/// When a process started.
fn started(pid: i32) -> Option<u64> {
    field(pid, 22)?.parse().ok()
}

/// A field of proc_pid_stat(5) behind the name, by its number there.
fn field(pid: i32, number: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.split(' ').nth(number - 3).map(str::to_owned)
}

/// The children of this thread, which is the only one.
fn children() -> Result<Vec<i32>> {
    let path = "/proc/thread-self/children";
    let text = fs::read_to_string(path).attempt(|| format!("read {path:?}"))?;
    Ok(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// The addresses that pasta gave the network namespace of a process, which can be looked at without being entered: an ordinary user could
/// not come back.
pub(super) fn addresses(pid: i32) -> Vec<IpAddr> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
    let mut all: Vec<IpAddr> = local(&read("fib_trie")).into_iter().map(IpAddr::V4).collect();
    all.extend(global(&read("if_inet6")).map(IpAddr::V6));
    all
}

/// The table of routes as a tree: an address of the namespace's own is a line of its own, with what it is below.
fn local(text: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last.filter(|address| !address.is_loopback() && !found.contains(address)));
        }
    }
    found
}

/// proc_pid_net(5), if_inet6: the address, and in the fourth field its scope, 0 for global.
fn global(text: &str) -> impl Iterator<Item = Ipv6Addr> {
    text.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        (fields.nth(2)? == "00").then_some(Ipv6Addr::from(address))
    })
}

/// `--network pasta:OPTION,OPTION`.
pub(super) fn options(text: &str) -> Option<Vec<String>> {
    let rest = text.strip_prefix(WORD)?;
    match rest.strip_prefix(':') {
        Some(options) => Some(options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect()),
        None => rest.is_empty().then(Vec::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::port;

    fn words(options: &str, ports: &[&str], forwards_names: bool) -> String {
        let ports: Vec<Published> = ports.iter().flat_map(|port| port::parse(port).unwrap()).collect();
        arguments(&self::options(options).unwrap(), &ports, forwards_names).join(" ")
    }

    #[test]
    fn nothing_is_carried_that_was_not_asked_for() {
        assert_eq!(words("pasta", &[], false), "--config-net --quiet -t none -u none -T none -U none --no-map-gw");
        let forwarding = words("pasta", &[], true);
        assert!(forwarding.ends_with("--no-map-gw --dns-forward 169.254.1.1"), "{forwarding}");
    }

    #[test]
    fn ports_are_named() {
        let said = words("pasta", &["8080:80", "127.0.0.1:53:5353/udp", "[::1]:81:80"], false);
        assert!(said.contains("-t 8080:80 -t ::1/81:80 -u 127.0.0.1/53:5353 -T none"), "{said}");
    }

    #[test]
    fn addresses_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\nLocal:\n     |-- 10.0.0.2\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        assert_eq!(local(trie), [Ipv4Addr::new(10, 0, 0, 2)]);
        let inet6 =
            "fe800000000000000000000000000001 02 40 20 80 eth0\nfd000000000000000000000000000001 02 40 00 80 eth0\n";
        assert_eq!(global(inet6).collect::<Vec<_>>(), ["fd00::1".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn what_the_user_says_counts() {
        assert_eq!(
            words("pasta:--map-gw,-T,5000,--udp-ports=all", &[], false),
            "--config-net --quiet -t none -U none -T 5000 --udp-ports=all"
        );
        assert_eq!(options("pastas"), None);
    }
}
