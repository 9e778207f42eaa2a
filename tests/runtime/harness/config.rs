//! A config.json that is built by changing what `spec` would write.

use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub struct Config(pub Value);

impl Config {
    /// What an OCI runtime's `spec` command writes, but with a writable root.
    pub fn usual() -> Config {
        let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
        Config(json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": ["true"],
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
                "cwd": "/",
                "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
                "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
                "noNewPrivileges": true
            },
            "root": {"path": "rootfs", "readonly": false},
            "hostname": "container",
            "mounts": usual_mounts(),
            "linux": {
                "resources": {"devices": [{"allow": false, "access": "rwm"}]},
                "namespaces": [
                    {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                    {"type": "cgroup"}
                ],
                "maskedPaths": [
                    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                    "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
                ],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
            }
        }))
    }

    /// Sets a property, named as a JSON pointer; objects on the way are made.
    #[track_caller]
    pub fn set(&mut self, pointer: &str, value: impl Into<Value>) -> &mut Config {
        let mut place = &mut self.0;
        for key in pointer.split('/').skip(1) {
            place = match place {
                Value::Array(items) => &mut items[key.parse::<usize>().expect("an index into an array")],
                object => &mut object[key.replace("~1", "/").as_str()],
            };
        }
        *place = value.into();
        self
    }

    /// Adds to an array, which is made if it isn't there.
    #[track_caller]
    pub fn push(&mut self, pointer: &str, value: impl Into<Value>) -> &mut Config {
        if self.0.pointer(pointer).is_none_or(Value::is_null) {
            self.set(pointer, json!([]));
        }
        let array = self.0.pointer_mut(pointer).and_then(Value::as_array_mut);
        array.unwrap_or_else(|| panic!("{pointer} is not an array")).push(value.into());
        self
    }

    #[track_caller]
    pub fn remove(&mut self, pointer: &str) -> &mut Config {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
        match self.0.pointer_mut(parent) {
            Some(Value::Object(object)) => drop(object.remove(key)),
            Some(Value::Array(items)) => drop(items.remove(key.parse().expect("an index into an array"))),
            _ => panic!("no {parent} to remove {key} from"),
        }
        self
    }

    /// The program and its arguments.
    pub fn args<I: IntoIterator<Item: Into<String>>>(&mut self, args: I) -> &mut Config {
        let args: Vec<String> = args.into_iter().map(Into::into).collect();
        self.set("/process/args", args)
    }

    /// A shell script as the program.
    pub fn script(&mut self, script: &str) -> &mut Config {
        self.args(["sh", "-euc", script])
    }

    /// A program that stays until it is killed.
    pub fn stay(&mut self) -> &mut Config {
        self.args(["sleep", "infinity"])
    }

    pub fn env(&mut self, variable: impl Into<String>) -> &mut Config {
        self.push("/process/env", variable.into())
    }

    /// The same capabilities in the given sets, none in the others.
    pub fn capabilities(&mut self, sets: &[&str], names: &[&str]) -> &mut Config {
        let sets = sets.iter().map(|set| ((*set).to_owned(), json!(names))).collect();
        self.set("/process/capabilities", Value::Object(sets))
    }

    /// Every capability that the tests have themselves, where root has them.
    pub fn all_capabilities(&mut self) -> &mut Config {
        let names = crate::harness::probe::own_capabilities();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.capabilities(&["bounding", "effective", "permitted"], &names)
    }

    /// Adds a mount after the others.
    pub fn mount(&mut self, destination: &str, kind: &str, source: &str, options: &[&str]) -> &mut Config {
        let mount = json!({"destination": destination, "type": kind, "source": source, "options": options});
        self.push("/mounts", mount)
    }

    /// Adds a bind mount after the others.
    pub fn bind(&mut self, source: impl AsRef<std::path::Path>, destination: &str, options: &[&str]) -> &mut Config {
        let source = source.as_ref().to_str().expect("a path of the tests is text");
        self.mount(destination, "bind", source, options)
    }

    pub fn without_mount(&mut self, destination: &str) -> &mut Config {
        let mounts = self.0["mounts"].as_array_mut().expect("mounts are an array");
        mounts.retain(|mount| mount["destination"] != destination);
        self
    }

    /// Asks for a new namespace, in place of what was said about that type.
    pub fn namespace(&mut self, kind: &str) -> &mut Config {
        self.without_namespace(kind).push("/linux/namespaces", json!({"type": kind}))
    }

    /// Asks to join a namespace, in place of what was said about that type.
    pub fn join_namespace(&mut self, kind: &str, path: impl Into<String>) -> &mut Config {
        self.without_namespace(kind).push("/linux/namespaces", json!({"type": kind, "path": path.into()}))
    }

    pub fn without_namespace(&mut self, kind: &str) -> &mut Config {
        let namespaces = self.0["linux"]["namespaces"].as_array_mut().expect("namespaces are an array");
        namespaces.retain(|namespace| namespace["type"] != kind);
        self
    }

    /// A new user namespace whose users 0..65536 are the host's `first`..
    pub fn user_namespace(&mut self, first: u32) -> &mut Config {
        let mappings = json!([{"containerID": 0, "hostID": first, "size": 65536}]);
        self.namespace("user").set("/linux/uidMappings", mappings.clone()).set("/linux/gidMappings", mappings)
    }

    pub fn hook(&mut self, kind: &str, hook: Value) -> &mut Config {
        self.push(&format!("/hooks/{kind}"), hook)
    }
}

fn usual_mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
    ])
}
