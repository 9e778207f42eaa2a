//! Configurations that engines wrote, run without their engines: on a busybox root and on a Debian one, each looked at
//! from inside for everything that the configuration says.

mod adapt;
mod observe;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::harness::command::Run;
use crate::harness::host::{Host, project};
use crate::harness::image;
use crate::harness::terminal::Terminal;
use crate::harness::trial::{Skip, completion};
use observe::Seen;

/// The configurations in `tests/data/configs`.
const NAMES: [&str; 9] = [
    "ctr-default",
    "docker-default",
    "docker-hardened",
    "docker-hostns",
    "docker-limits",
    "docker-privileged",
    "docker-tty",
    "podman-default",
    "podman-userns",
];

#[derive(Clone, Copy)]
enum System {
    Busybox,
    Debian,
}

pub(crate) fn trials(host: &Arc<Host>) -> Vec<Trial> {
    let systems = [(System::Busybox, "busybox"), (System::Debian, "debian")];
    let runs = systems.into_iter().flat_map(|(system, label)| {
        NAMES.iter().map(move |name| {
            let host = Arc::clone(host);
            let title = format!("bundles::{}_on_{label}", name.replace('-', "_"));
            Trial::ignorable_test(title, move || completion(run(&host, name, system)))
        })
    });
    let host = Arc::clone(host);
    let exec = move || completion(exec(&host));
    runs.chain([Trial::ignorable_test("bundles::docker_exec_process", exec)]).collect()
}

/// A bundle with everything that its configuration names.
struct Bundle {
    directory: PathBuf,
    /// Where the runtime keeps its state.
    state: PathBuf,
    config: Value,
    host: Arc<Host>,
}

impl Bundle {
    fn make(host: &Arc<Host>, name: &str, system: System) -> Result<Self> {
        let directory = host.new_directory(name)?;
        let state = directory.join("state");
        let root = directory.join("rootfs");
        fs::create_dir(&root)?;
        match system {
            System::Busybox => image::root(&root)?,
            System::Debian => debian(host, &directory)?,
        }
        let config = adapt::config(read(name)?, host, &directory)?;
        let bundle = Self { directory, state, config, host: Arc::clone(host) };
        bundle.give_to_mapped_root()?;
        fs::write(bundle.directory.join("config.json"), bundle.config.to_string())?;
        Ok(bundle)
    }

    /// In a user namespace, its root has to own the files, as engines see to.
    fn give_to_mapped_root(&self) -> Result<()> {
        let first = |list: &str| self.config["linux"][list][0]["hostID"].as_u64();
        if let (Some(user), Some(group)) = (first("uidMappings"), first("gidMappings")) {
            let owner = format!("{user}:{group}");
            Run::new("chown")
                .args(["--recursive", "--no-dereference", &owner])
                .args([self.directory.join("rootfs")])
                .stdout()?;
        }
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.host.runtime);
        self.host.prepare(&mut command);
        command.arg("--root").arg(&self.state).args(arguments);
        command
    }

    fn is_left(&self) -> Result<Option<String>> {
        if self.state.is_dir() && fs::read_dir(&self.state)?.next().is_some() {
            return Ok(Some(format!("state in {:?}", self.state)));
        }
        let group = Path::new("/sys/fs/cgroup").join(adapt::cgroup(&self.config).trim_start_matches('/'));
        Ok(group.exists().then(|| format!("the cgroup {group:?}")))
    }
}

fn run(host: &Arc<Host>, name: &str, system: System) -> Result<()> {
    let bundle = Bundle::make(host, name, system)?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    let command = bundle.command(&["run", "--bundle", &directory, "container"]);
    let printed = if bundle.config["process"]["terminal"] == true {
        let (status, printed) = Terminal::start(&command, 30, 100)?.finish()?;
        ensure!(status == 0, "exit status {status}:\n{printed}");
        printed.replace("\r\n", "\n")
    } else {
        Run::from(command).finish()?.success()?.stdout
    };
    let seen = Seen::parse(&printed)?;
    let mut wrong = verify::process(&bundle.config["process"], &seen);
    wrong.extend(verify::container(&bundle.config, &seen));
    wrong.extend(verify::hooks(&bundle.config, &bundle.directory)?);
    wrong.extend(bundle.is_left()?.map(|what| format!("{what} is left")));
    ensure!(wrong.is_empty(), "{}\n--- seen\n{printed}", wrong.join("\n"));
    Ok(())
}

/// What an engine hands to `exec --process`, in a container of the same engine.
fn exec(host: &Arc<Host>) -> Result<()> {
    let mut bundle = Bundle::make(host, "docker-default", System::Busybox)?;
    bundle.config["process"]["args"] = json!(["/bin/sleep", "1000"]);
    fs::write(bundle.directory.join("config.json"), bundle.config.to_string())?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    let run = bundle.command(&["run", "--detach", "--bundle", &directory, "container"]);
    Run::from(run).finish()?.success()?;
    let process = adapt::process(read("docker-exec-process")?)?;
    let file = bundle.directory.join("process.json");
    fs::write(&file, process.to_string())?;
    let result = Run::from(bundle.command(&["exec", "--process", &file.to_string_lossy(), "container"])).stdout();
    Run::from(bundle.command(&["delete", "--force", "container"])).finish()?.success()?;
    let printed = result?;
    let seen = Seen::parse(&printed)?;
    let mut wrong = verify::process(&process, &seen);
    wrong.extend(bundle.is_left()?.map(|what| format!("{what} is left")));
    ensure!(wrong.is_empty(), "{}\n--- seen\n{printed}", wrong.join("\n"));
    Ok(())
}

fn read(name: &str) -> Result<Value> {
    let path = project().join("tests/data/configs").join(name).with_extension("json");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path:?}"))?;
    serde_json::from_str(&text).with_context(|| format!("read {path:?}"))
}

/// A Debian system that keeps nothing of what is written to it, mounted at `rootfs` in the directory.
fn debian(host: &Host, directory: &Path) -> Result<()> {
    let lower = host.cache.join("debian");
    if !lower.is_dir() {
        return Err(Skip(format!(
            "{lower:?} is missing: scripts/debian-root makes it, which `make integration` calls"
        ))
        .into());
    }
    for name in ["upper", "work"] {
        fs::create_dir(directory.join(name))?;
    }
    let options = format!("lowerdir={},upperdir={1}/upper,workdir={1}/work", lower.display(), directory.display());
    let target = directory.join("rootfs");
    Run::new("mount").args(["-t", "overlay", "-o", &options, "overlay"]).args([target]).stdout()?;
    Ok(())
}
