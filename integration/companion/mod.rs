//! `ctn` beside docker: the same commands, and what each of them says, prints and ends with; and a person at `ctn`'s terminal.
//!
//! Where the two differ on purpose, the line that shows it has the reason ([`line`]). docker is Debian's, with its own runtime.

mod copy;
mod help;
mod inspect;
mod life;
mod line;
mod lists;
mod normal;
mod refusals;
mod screen;
mod terminal;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;

use crate::docker::Docker;
use crate::harness::command::{Finished, Run};
use crate::harness::host::{Host, installed};
use crate::harness::image;
use crate::harness::network::{elsewhere, new_network};
use crate::harness::trial::{Case, Engine, Skip, trial};

/// What images are called in the lines that both carry out.
const IMAGE: &str = "box";

/// The release whose words and statuses stand in the tables; later ones are named where they do otherwise, and `ctn` as they do.
const DOCKER: &str = "20.10";

/// docker and a store of `ctn`, each with the same image, and each with a network of its own, for both want the whole firewall.
pub(crate) struct Pair {
    docker: Docker,
    host: Arc<Host>,
    directory: PathBuf,
    /// The network that `ctn` is called in.
    network: OwnedFd,
    /// Lists are of everything, so one case has both at a time.
    alone: Mutex<()>,
}

pub(crate) fn trials(host: &Arc<Host>) -> Vec<Trial> {
    let engine = {
        let host = Arc::clone(host);
        Engine::new(move || Pair::start(&host))
    };
    let cases: Vec<(&str, Case<Pair>)> =
        [copy::cases(), help::cases(), inspect::cases(), life::cases(), lists::cases(), refusals::cases()].concat();
    let beside = cases.into_iter().map(|(name, case)| trial("companion", name, &engine, case));
    let at_terminals = terminal::cases().into_iter().map(|(name, case)| {
        let host = Arc::clone(host);
        Trial::ignorable_test(format!("companion::{name}"), move || {
            crate::harness::trial::completion(terminal::on_screen(&host, case))
        })
    });
    beside.chain(at_terminals).collect()
}

impl Pair {
    fn start(host: &Arc<Host>) -> Result<Self> {
        for program in ["dockerd", "runc", "tmux"] {
            if !installed(program) {
                return Err(Skip(format!("{program} is not installed")).into());
            }
        }
        let options = json!({ "default-runtime": "runc" });
        let docker = elsewhere(new_network, || Docker::start(host, "docker-beside-ctn", "", &options))?;
        let version = docker.docker(&["version", "--format", "{{.Server.Version}}"]).stdout()?;
        if !version.starts_with(DOCKER) {
            return Err(Skip(format!("what is expected of docker is what {DOCKER} does, and this is {version}")).into());
        }
        let network = elsewhere(new_network, || {
            Ok(OwnedFd::from(std::fs::File::open("/proc/thread-self/ns/net").context("open the network")?))
        })?;
        let directory = host.new_directory("ctn-beside-docker")?;
        let pair = Self { docker, host: Arc::clone(host), directory, network, alone: Mutex::new(()) };
        pair.ctn(&["load", "--input"]).args([&host.image]).stdout()?;
        for side in [Side::Docker, Side::Ctn] {
            pair.on(side, &["tag", image::NAME, IMAGE]).stdout()?;
        }
        Ok(pair)
    }

    /// `ctn ARGUMENTS`, in the store of its own.
    fn ctn(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctn"));
        self.host.prepare(&mut command);
        command.env("CTN_ROOT", self.directory.join("store")).args(arguments).current_dir(&self.directory);
        Run::from(command)
    }

    fn on(&self, side: Side, arguments: &[&str]) -> Run {
        match side {
            Side::Docker => self.docker.docker(arguments),
            Side::Ctn => self.ctn(arguments),
        }
    }

    /// Both ends of the same command.
    fn both(&self, arguments: &[&str]) -> Result<[Finished; 2]> {
        Ok([self.on(Side::Docker, arguments).finish()?, self.on(Side::Ctn, arguments).finish()?])
    }

    /// Has both to itself, and leaves no container, volume or network behind.
    fn alone(&self, then: impl FnOnce() -> Result<()> + Send) -> Result<()> {
        let _alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let enter = || {
            Ok(move_into_link_name_space(std::os::fd::AsFd::as_fd(&self.network), Some(LinkNameSpaceType::Network))?)
        };
        elsewhere(enter, || {
            let ended = then();
            let cleaned = self.clean();
            ended.and(cleaned)
        })
    }

    fn clean(&self) -> Result<()> {
        for side in [Side::Docker, Side::Ctn] {
            let ids = self.on(side, &["ps", "--all", "--quiet"]).stdout()?;
            if !ids.is_empty() {
                self.on(side, &["rm", "--force", "--volumes"]).args(ids.lines()).stdout()?;
            }
            let volumes = self.on(side, &["volume", "ls", "--quiet"]).stdout()?;
            if !volumes.is_empty() {
                self.on(side, &["volume", "rm"]).args(volumes.lines()).stdout()?;
            }
            self.on(side, &["network", "prune", "--force"]).stdout()?;
            let left = self.on(side, &["ps", "--all", "--quiet"]).stdout()?;
            ensure!(left.is_empty(), "{side:?} has containers left: {left}");
        }
        Ok(())
    }
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Docker,
    Ctn,
}
