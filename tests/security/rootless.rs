//! The runtime of an ordinary user.

use serde_json::json;

use crate::harness::host::copy_program;
use crate::harness::{Bundle, Call, Container, Ran, call, host};

/// A user of whom the machine knows nothing.
pub const USER: u32 = 4721;
/// And a group.
pub const GROUP: u32 = 4722;

/// A bundle that belongs to an ordinary user, who has a copy of the runtime.
#[derive(Debug)]
pub struct Rootless {
    pub bundle: Bundle,
}

impl Rootless {
    pub fn new() -> Rootless {
        let mut bundle = Bundle::new();
        copy_program(&call::program(), &bundle.path("corten"));
        bundle.config.remove("/linux/resources").without_namespace("network").namespace("user");
        bundle.config.without_mount("/sys").without_mount("/sys/fs/cgroup");
        bundle.config.bind("/sys", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]);
        bundle
            .config
            .set("/mounts/2/options", json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]));
        bundle.config.set("/linux/uidMappings", json!([{"containerID": 0, "hostID": USER, "size": 1}]));
        bundle.config.set("/linux/gidMappings", json!([{"containerID": 0, "hostID": GROUP, "size": 1}]));
        let rootless = Rootless { bundle };
        rootless.own();
        rootless
    }

    /// Makes the user the owner of all that is in the bundle.
    pub fn own(&self) {
        host(&format!("chown -R --no-dereference {USER}:{GROUP} {}", self.bundle.directory.display()));
    }

    /// A call of the user's runtime on the bundle's state.
    pub fn call(&self, command: &str) -> Call {
        self.call_of_nobody(command).user(USER, GROUP)
    }

    fn call_of_nobody(&self, command: &str) -> Call {
        let call = Call::of(self.bundle.path("corten"), &self.bundle.directory);
        call.arg("--root").arg(&self.bundle.state).arg(command)
    }

    fn run_call(&self) -> Call {
        self.bundle.write();
        self.call("run").arg("--bundle").arg(&self.bundle.directory)
    }

    /// Runs the container in the foreground.
    #[track_caller]
    pub fn run(&self) -> Ran {
        self.run_call().arg(&self.bundle.id).run()
    }

    /// Runs the container in the foreground, with supplementary groups, which [`Call::user`] drops.
    #[track_caller]
    pub fn run_in_groups(&self, groups: &str) -> Ran {
        self.bundle.write();
        let (user, group) = (USER.to_string(), GROUP.to_string());
        let run = self.call_of_nobody("run").arg("--bundle").arg(&self.bundle.directory).arg(&self.bundle.id);
        run.through(["setpriv", "--reuid", &user, "--regid", &group, "--groups", groups]).run()
    }

    /// Runs the container in the background.
    #[track_caller]
    pub fn start(&self) -> Container {
        let call = self.run_call().args(["--detach", "--pid-file"]).arg(self.bundle.pid_file());
        Container::made(&self.bundle, &self.bundle.id, call.arg(&self.bundle.id).ok())
    }
}
