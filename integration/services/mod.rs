//! nginx and PostgreSQL as Debian packages them, in `ctn`'s containers, with clients in other containers and on another machine.

#[path = "../../tests/engine/harness.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "lent by the tests of ctn alone, where a test fails by panicking"
)]
pub(crate) mod ctn;
#[path = "../../tests/runtime/harness/wait.rs"]
#[allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "lent, too")]
mod wait;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, ensure};
use corten::sys::clone::{CloneFlags, unshare};
use libtest_mimic::Trial;

use crate::harness::host::Host;
use crate::harness::trial::{Skip, completion};
use ctn::{Place, succeeded, until};

type Case = fn(&Place, &Path, &Machine) -> Result<()>;

pub(crate) fn trials(host: &Arc<Host>) -> Vec<Trial> {
    let cases: [(&str, Case); 2] = [("nginx_serves_many_at_once", nginx), ("postgresql_keeps_its_data", postgresql)];
    // They run at the same time.
    let trial = |(number, (name, case)): (usize, (&str, Case))| {
        let root = host.cache.join("services");
        Trial::ignorable_test(format!("services::{name}"), move || completion(apart(&root, number, case)))
    };
    cases.into_iter().enumerate().map(trial).collect()
}

/// On a thread with a network of its own, which all that it starts is in: dockerd, whose tests share this host, drops what it does not
/// know.
fn apart(root: &Path, number: usize, case: Case) -> Result<()> {
    let there = || -> Result<()> {
        unshare(CloneFlags::NEWNET)?;
        output("ip", &["link", "set", "lo", "up"]);
        with_place(root, number, case)
    };
    let ended = std::thread::scope(|scope| scope.spawn(there).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn with_place(root: &Path, number: usize, case: Case) -> Result<()> {
    if !root.join("usr/sbin/nginx").exists() {
        return Err(Skip(format!("there are no services in {root:?}")).into());
    }
    let place = Place::new();
    place.ctn(&["network", "create", "--subnet", &format!("10.87.8{number}.0/24"), "services"]);
    let machine = Machine::new(number);
    case(&place, root, &machine)?;
    place.ctn(&["network", "rm", "services"]);
    place.assert_nothing_left();
    let addresses = output("ip", &["-o", "address"]);
    ensure!(!addresses.contains(&format!("10.87.8{number}.")), "an address is left: {addresses}");
    let claims = place.run().map(|run| run.join("network/ports"));
    let ports = claims.and_then(|path| std::fs::read_dir(path).ok()).map_or(0, Iterator::count);
    ensure!(ports == 0, "{ports} ports are left");
    Ok(())
}

/// Another machine, on a wire of its own to this one.
struct Machine {
    name: String,
    /// This one's address there.
    host: String,
    /// Its own.
    own: String,
}

impl Machine {
    fn new(number: usize) -> Machine {
        let address = |host: u8| format!("192.0.2.{}", 16 * number + usize::from(host));
        let machine = Machine { name: format!("machine{number}"), host: address(1), own: address(2) };
        let (name, link) = (&machine.name, format!("wire{number}"));
        let (host, own) = (&machine.host, &machine.own);
        for line in [
            format!("netns add {name}"),
            format!("link add {link} type veth peer name eth0 netns {name}"),
            format!("address add {host}/28 dev {link}"),
            format!("link set {link} up"),
            format!("-n {name} address add {own}/28 dev eth0"),
            format!("-n {name} link set eth0 up"),
            format!("-n {name} link set lo up"),
        ] {
            output("ip", &line.split(' ').collect::<Vec<_>>());
        }
        machine
    }

    /// What a command prints there.
    fn run(&self, words: &[&str]) -> String {
        output("ip", &[&["netns", "exec", &self.name], words].concat())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

#[track_caller]
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    succeeded(&output, (program, arguments))
}

/// A container of the tree itself: nothing is copied, and nothing of it is written.
fn run<'a>(root: &'a Path, flags: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    let root = root.to_str().unwrap_or_default();
    [&["run", "--network", "services", "--read-only"], flags, &["--rootfs", root], command].concat()
}

const NGINX: &str = "daemon off;
error_log /dev/stderr;
pid /run/nginx.pid;
events {}
http {
  access_log /dev/stdout;
  server { listen 80; root /srv; }
}
";

fn nginx(place: &Place, root: &Path, machine: &Machine) -> Result<()> {
    let write = |name: &str, content: &[u8]| -> Result<PathBuf> {
        std::fs::create_dir_all(place.join("srv"))?;
        std::fs::write(place.join(name), content)?;
        Ok(place.join(name))
    };
    let configuration = write("nginx.conf", NGINX.as_bytes())?;
    let content: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
    write("srv/large", content.as_bytes())?;
    let mounts = [
        format!("{}:/etc/nginx/nginx.conf:ro", configuration.display()),
        format!("{}:/srv:ro", place.join("srv").display()),
    ];
    let flags = ["-d", "--name", "web", "-p", "8080:80", "-v", &mounts[0], "-v", &mounts[1]];
    let temporary = ["--tmpfs", "/run", "--tmpfs", "/var/lib/nginx"];
    place.ctn(&run(root, &[&flags[..], &temporary].concat(), &["nginx"]));
    let fetch = |at: &str| format!("busybox wget -qO- http://{at}/large");
    until("nginx listens", || place.call(&["exec", "web", "test", "-e", "/run/nginx.pid"]).status.success());
    // Eight clients at once, and each of their answers whole.
    let script = format!("seq 200 | xargs -P 8 -n 1 sh -c '{} | cksum'", fetch(&format!("{}:8080", machine.host)));
    let sums = machine.run(&["sh", "-c", &script]);
    std::fs::write(place.join("sums"), &content)?;
    let own = output("sh", &["-c", &format!("cksum <{}", place.join("sums").display())]);
    ensure!(sums.lines().count() == 200, "{} answers came", sums.lines().count());
    ensure!(sums.lines().all(|sum| sum == own.trim()), "an answer is not what is served");
    let inside =
        place.ctn(&["run", "--rm", "--network", "services", "box", "busybox", "wget", "-qO-", "http://web/large"]);
    ensure!(inside == content, "another container is served something else");
    // The log has every request, with the address of who asked.
    let logged = |address: &str| {
        place.ctn(&["logs", "web"]).lines().filter(|line| line.starts_with(address) && line.contains(" 200 ")).count()
    };
    until("all requests are logged", || logged(&format!("{} ", machine.own)) == 200 && logged("10.87.80.") == 1);
    place.ctn(&["stop", "-t", "50", "web"]);
    ensure!(place.field("web", ".State.ExitCode") == "0", "nginx was killed");
    place.ctn(&["rm", "web"]);
    Ok(())
}

fn postgresql(place: &Place, root: &Path, machine: &Machine) -> Result<()> {
    const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
    let serve = format!(
        "cd /var/lib/postgresql && if ! [ -d data ]; then {PROGRAMS}/initdb --no-sync -A trust data >&2 && \
         echo host all all all trust >>data/pg_hba.conf; fi && \
         exec {PROGRAMS}/postgres -D data -c listen_addresses='*'"
    );
    let port = format!("{}:15432:5432", machine.host);
    let flags = ["-d", "--name", "db", "--network-alias", "database", "-p", &port, "-u", "postgres"];
    let more = ["-v", "data:/var/lib/postgresql", "--tmpfs", "/run/postgresql:mode=1777", "--stop-signal", "SIGINT"];
    let name = ["--shm-size", "128m", "--tmpfs", "/tmp"];
    place.ctn(&run(root, &[&flags[..], &more, &name].concat(), &["sh", "-c", &serve]));
    let client = |program: &str, arguments: &[&str]| {
        let program = format!("{PROGRAMS}/{program}");
        let command = [&[program.as_str(), "-h", "database", "-U", "postgres"], arguments].concat();
        place.call(&run(root, &["--rm"], &command))
    };
    until("it takes connections", || client("pg_isready", &["-q"]).status.success());
    succeeded(&client("pgbench", &["-q", "-i", "postgres"]), "fill it");
    let said = succeeded(&client("pgbench", &["-n", "-c", "4", "-t", "50", "postgres"]), "use it");
    ensure!(said.contains("actually processed: 200/200"), "{said}");
    let count = || {
        let query = "select count(*) from pgbench_history";
        let psql = format!("{PROGRAMS}/psql");
        let root = root.to_str().unwrap_or_default();
        let address = ["-h", &machine.host, "-p", "15432", "-U", "postgres", "-Atc", query];
        machine.run(&[&["chroot", root, &psql], &address[..]].concat())
    };
    ensure!(count() == "200\n", "{}", count());
    place.ctn(&["restart", "-t", "50", "db"]);
    until("it takes connections again", || client("pg_isready", &["-q"]).status.success());
    ensure!(count() == "200\n", "{}", count());
    place.ctn(&["stop", "-t", "50", "db"]);
    ensure!(place.field("db", ".State.ExitCode") == "0", "it was killed");
    ensure!(place.call(&["logs", "db"]).stderr.ends_with(b"database system is shut down\n"), "the log is not whole");
    place.ctn(&["rm", "db"]);
    place.ctn(&["volume", "rm", "data"]);
    Ok(())
}
