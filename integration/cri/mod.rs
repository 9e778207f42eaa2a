//! containerd, called as Kubernetes calls it: by the Container Runtime Interface. The client is a program of its own, `client/`.

mod cases;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::harness::command::{BOUND, Finished, Run};
use crate::harness::daemon::Daemon;
use crate::harness::host::{Host, installed};
use crate::harness::image;
use crate::harness::network::{elsewhere, new_network};
use crate::harness::trial::{Case, Engine, Skip, trial};

/// What a pod's first container runs: it only keeps the namespaces.
const PAUSE: &str = "localhost/pause:latest";

/// A containerd of our own with the images, and the runtime as its only one.
pub(crate) struct Kubelet {
    // Dropped first of all, with the files still there.
    daemon: Daemon,
    host: Arc<Host>,
    groups: Groups,
    /// Where the groups of pods are, as a kubelet names it.
    parent: String,
    client: PathBuf,
    socket: PathBuf,
}

pub(crate) fn trials(host: &Arc<Host>) -> Vec<Trial> {
    let all = |group: &'static str, cases: Vec<(&'static str, Case<Kubelet>)>, groups: Groups| {
        let host = Arc::clone(host);
        let engine = Engine::new(move || Kubelet::start(&host, group, groups));
        cases.into_iter().map(move |(name, case)| trial(group, name, &engine, case))
    };
    let by_systemd = all("cri_systemd", cases::of_groups(), Groups::Systemd);
    let beside_systemd = all("cri_beside_systemd", cases::beside_systemd(), Groups::Files);
    all("cri", cases::cases(), Groups::Files).chain(by_systemd).chain(beside_systemd).collect()
}

/// Who makes the control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Groups {
    /// The runtime, in the file system.
    Files,
    /// systemd, asked by the runtime.
    Systemd,
}

impl Groups {
    /// A parent of the pods' groups that is this run's alone.
    fn parent(self, name: &str) -> String {
        // A dash in a slice's name would say that it is below another one (systemd.slice(5)).
        let own = format!("{name}{}", std::process::id());
        match self {
            Groups::Files => format!("/{own}"),
            Groups::Systemd => format!("{own}.slice"),
        }
    }
}

impl Kubelet {
    fn start(host: &Arc<Host>, name: &str, groups: Groups) -> Result<Self> {
        if groups == Groups::Systemd {
            host.needs_systemd()?;
        }
        for (there, what) in
            [(installed("containerd"), "containerd"), (Path::new(PLUGINS).is_dir(), "containernetworking-plugins")]
        {
            if !there {
                return Err(Skip(format!("{what} is not installed")).into());
            }
        }
        let Some(client) = std::env::var_os("CORTEN_TEST_CRI").map(PathBuf::from) else {
            return Err(
                Skip("CORTEN_TEST_CRI does not name the client (`make integration` builds it)".to_string()).into()
            );
        };
        let directory = host.new_directory(name)?;
        let socket = directory.join("containerd.sock");
        let config = directory.join("config.toml");
        std::fs::write(&config, configuration(host, groups, &directory))
            .with_context(|| format!("write {config:?}"))?;
        std::fs::write(directory.join("pods.conflist"), network(&directory).to_string())?;
        let mut command = Command::new("containerd");
        host.prepare(&mut command);
        command.arg("--root").arg(directory.join("root")).arg("--state").arg(directory.join("state"));
        command.arg("--address").arg(&socket).arg("--config").arg(&config);
        // The pods' ends of their networks are in it, and gone with it.
        let daemon = elsewhere(new_network, || Daemon::start(command, &directory, "containerd"))?;
        let parent = groups.parent(name);
        let kubelet = Self { daemon, host: Arc::clone(host), groups, parent, client, socket };
        let pause = image::archive(&host.new_directory("pause")?, PAUSE, &["/bin/sleep", "1000000"])?;
        for image in [&host.image, &pause] {
            kubelet.ctr(&["images", "import"]).args([image]).stdout()?;
        }
        Ok(kubelet)
    }

    fn ctr(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new("ctr");
        self.host.prepare(&mut command);
        command.arg("--address").arg(&self.socket).args(["--namespace", "k8s.io"]).args(arguments);
        Run::from(command)
    }

    /// Calls a method, whatever comes of it.
    fn try_call(&self, method: &str, request: &Value) -> Result<Finished> {
        let mut command = Command::new(&self.client);
        self.host.prepare(&mut command);
        command.arg(&self.socket).arg(method);
        Run::from(command).input(&request.to_string()).finish()
    }

    /// Calls a method and gives its answer.
    fn call(&self, method: &str, request: &Value) -> Result<Value> {
        let answer = self.try_call(method, request)?.success()?;
        serde_json::from_str(&answer.stdout).with_context(|| format!("the answer of {answer}"))
    }

    /// Makes a pod, with what else is said of it.
    fn pod(&self, options: Value) -> Result<Pod<'_>> {
        let name = self.host.name("pod");
        let logs = self.host.new_directory("pod-logs")?;
        let mut config = json!({
            "metadata": { "name": name, "uid": name, "namespace": "default" },
            "hostname": name, "log_directory": logs, "linux": { "cgroup_parent": self.parent },
        });
        merge(&mut config, options);
        let answer = self.call("RunPodSandbox", &json!({ "config": config }))?;
        Ok(Pod { kubelet: self, id: text(&answer, "pod_sandbox_id")?, config, logs })
    }
}

impl Drop for Kubelet {
    /// The pods are gone, and what they were below is nobody's any more.
    fn drop(&mut self) {
        let parent = &self.parent;
        let done = match self.groups {
            Groups::Files => match std::fs::remove_dir(Path::new("/sys/fs/cgroup").join(&parent[1..])) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
            Groups::Systemd => Run::new("systemctl").args(["stop", parent]).stdout().map(drop),
        };
        if let Err(error) = done {
            eprintln!("remove the group {parent}: {error:#}");
        }
    }
}

/// Modes of namespaces, as the interface numbers them.
const CONTAINER: u8 = 1;
const NODE: u8 = 2;

/// Where Debian has the programs that make networks (CNI).
const PLUGINS: &str = "/usr/lib/cni";

/// A pod's network: a veth pair, and an address.
fn network(directory: &Path) -> Value {
    json!({
        "cniVersion": "0.4.0", "name": "pods",
        "plugins": [{
            "type": "ptp", "ipMasq": false,
            "ipam": { "type": "host-local", "subnet": "10.88.99.0/24", "dataDir": directory.join("addresses") },
        }],
    })
}

/// States of a container, as the interface numbers them.
const CREATED: u8 = 0;
const RUNNING: u8 = 1;
const EXITED: u8 = 2;

/// Without limits where the host has no controllers.
fn configuration(host: &Host, groups: Groups, directory: &Path) -> String {
    let (runtime, directory) = (host.runtime.display(), directory.display());
    let (without_groups, by_systemd) = (!host.has_controller("memory"), groups == Groups::Systemd);
    format!(
        r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_cgroup = {without_groups}
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{directory}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "corten"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.corten]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.corten.options]
      BinaryName = "{runtime}"
      SystemdCgroup = {by_systemd}
"#
    )
}

/// A pod; it is stopped and removed when this is dropped, with all of its containers.
struct Pod<'a> {
    kubelet: &'a Kubelet,
    id: String,
    config: Value,
    logs: PathBuf,
}

impl Pod<'_> {
    /// Makes a container of the program, with what else is said of it.
    fn create(&self, program: &[&str], options: Value) -> Result<String> {
        let name = self.kubelet.host.name("container");
        let mut config = json!({
            "metadata": { "name": name }, "image": { "image": image::NAME }, "command": program,
            "log_path": format!("{name}.log"),
            "linux": { "security_context": { "namespace_options": { "pid": CONTAINER } } },
        });
        merge(&mut config, options);
        let request = json!({ "pod_sandbox_id": self.id, "config": config, "sandbox_config": self.config });
        text(&self.kubelet.call("CreateContainer", &request)?, "container_id")
    }

    fn start(&self, container: &str) -> Result<()> {
        self.kubelet.call("StartContainer", &json!({ "container_id": container })).map(drop)
    }

    /// Makes and starts a container.
    fn run(&self, program: &[&str], options: Value) -> Result<String> {
        let container = self.create(program, options)?;
        self.start(&container)?;
        Ok(container)
    }

    /// Runs a program in a container: its status and what it printed.
    fn exec(&self, container: &str, program: &[&str]) -> Result<(i64, String, String)> {
        let answer = self.kubelet.call("ExecSync", &json!({ "container_id": container, "cmd": program }))?;
        let status = answer["exit_code"].as_i64().context("an exit code")?;
        Ok((status, bytes(&answer["stdout"])?, bytes(&answer["stderr"])?))
    }

    /// What a program in a container prints to its good end.
    fn printed(&self, container: &str, program: &[&str]) -> Result<String> {
        let (status, stdout, stderr) = self.exec(container, program)?;
        ensure!(status == 0, "{program:?} ends with {status}: {stdout}{stderr}");
        Ok(stdout)
    }

    fn status(&self, container: &str) -> Result<Value> {
        Ok(self.kubelet.call("ContainerStatus", &json!({ "container_id": container }))?["status"].take())
    }

    /// Its status when it has ended by itself. The engine hears of that later than the kernel says so, and a kubelet asks again, too.
    fn ended(&self, container: &str) -> Result<Value> {
        let until = Instant::now() + BOUND;
        loop {
            let status = self.status(container)?;
            if status["state"] == EXITED {
                return Ok(status);
            }
            ensure!(Instant::now() < until, "it doesn't end: {status}");
        }
    }

    fn stop(&self, container: &str) -> Result<()> {
        self.kubelet.call("StopContainer", &json!({ "container_id": container, "timeout": 0 })).map(drop)
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        for method in ["StopPodSandbox", "RemovePodSandbox"] {
            if let Err(error) = self.kubelet.call(method, &json!({ "pod_sandbox_id": self.id })) {
                eprintln!("{error:#}");
            }
        }
    }
}

/// Puts the one's fields in place of the other's.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

fn text(answer: &Value, field: &str) -> Result<String> {
    Ok(answer[field].as_str().with_context(|| format!("no {field} in {answer}"))?.to_string())
}

/// Bytes come as a list of numbers.
fn bytes(list: &Value) -> Result<String> {
    Ok(String::from_utf8_lossy(&serde_json::from_value::<Vec<u8>>(list.clone())?).into_owned())
}
