use super::*;
use crate::engine::record::{Config, HostConfig, Mounted};
use crate::spec::Spec;

fn record() -> Record {
    let id = "0123456789abcdef".repeat(4);
    let config = Config { cmd: vec!["sh".into()], env: vec!["A=1".into(), "PATH=/bin".into()], ..Config::default() };
    let host_config = HostConfig { network_mode: "none".into(), ..HostConfig::default() };
    Record { id, name: "web".into(), config, host_config, ..Record::default() }
}

fn facts() -> Facts {
    Facts {
        user: User { uid: 0, gid: 0, groups: vec![10], home: "/root".into() },
        groups: vec![27],
        rootfs: "/store/rootfs".into(),
        directory: "/store/directory".into(),
        joined: BTreeMap::new(),
        shared_memory: None,
        apparmor: false,
        selinux: true,
        cgroups_path: "/corten/web".into(),
        devices: Vec::new(),
        links: Vec::new(),
        edits: Vec::new(),
        numbers: BTreeMap::new(),
        capabilities: u64::MAX,
        host_name: "machine".into(),
        is_rootless: false,
        groups_mapped: None,
        has_quota: false,
        init: None,
    }
}

fn made(change: impl FnOnce(&mut Record)) -> Value {
    let mut record = record();
    change(&mut record);
    check(&record).unwrap();
    let config = config(&record, &facts()).unwrap();
    // It is one that the runtime takes.
    let spec: Spec = crate::spec::load::parse(config.to_string().as_bytes()).unwrap();
    crate::spec::check::spec(&spec).unwrap();
    config
}

#[test]
fn the_defaults_are_those_that_docker_gives_the_runtime() {
    let docker: Value = serde_json::from_str(include_str!("../../../tests/data/configs/docker-default.json")).unwrap();
    let ours = made(|record| record.config.env.clear());
    let sorted = |value: &Value| {
        let mut texts: Vec<String> = value.as_array().unwrap().iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    };
    let without_sources = |config: &Value| {
        let mounts = config["mounts"].as_array().unwrap().iter();
        mounts
            .map(|mount| format!("{} {} {}", mount["destination"], mount["type"], mount["options"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(without_sources(&ours), without_sources(&docker));
    for path in ["namespaces", "readonlyPaths"] {
        assert_eq!(sorted(&ours["linux"][path]), sorted(&docker["linux"][path]), "{path}");
    }
    // One more than docker 26 has: what docker 28 masks.
    let mut masked = sorted(&docker["linux"]["maskedPaths"]);
    masked.push("\"/proc/interrupts\"".into());
    masked.sort();
    assert_eq!(sorted(&ours["linux"]["maskedPaths"]), masked);
    assert_eq!(ours["linux"]["sysctl"], docker["linux"]["sysctl"]);
    let own = |set: &Value| sorted(&set["bounding"]);
    assert_eq!(own(&ours["process"]["capabilities"]), own(&docker["process"]["capabilities"]));
    assert_eq!(ours["process"]["env"], json!([crate::image::bundle::PATH, "HOSTNAME=0123456789ab", "HOME=/root"]));
}

#[test]
fn what_is_said_is_what_is_made() {
    let config = made(|record| {
        let host = &mut record.host_config;
        host.privileged = true;
        host.pid_mode = "host".into();
        host.tmpfs.insert("/a/b".into(), "exec,size=1m".into());
        record.mounts.push(Mounted {
            kind: "bind".into(),
            source: "/host".into(),
            destination: "/a".into(),
            propagation: "rslave".into(),
            ..Mounted::default()
        });
        record.config.tty = true;
        record.config.hostname = "h".into();
    });
    assert_eq!(config["process"]["env"], json!(["PATH=/bin", "HOSTNAME=h", "TERM=xterm", "A=1", "HOME=/root"]));
    assert_eq!(config["process"]["user"]["additionalGids"], json!([0, 10, 27]));
    assert!(config["linux"].get("seccomp").is_none() && config["linux"].get("maskedPaths").is_none());
    assert_eq!(config["linux"]["rootfsPropagation"], "rslave");
    assert!(!config["linux"]["namespaces"].to_string().contains("pid"));
    let mounts = config["mounts"].as_array().unwrap();
    let own = |path: &str| mounts.iter().position(|mount| mount["destination"] == path).unwrap();
    assert!(own("/a") < own("/a/b"));
    assert_eq!(mounts[own("/a")]["options"], json!(["rbind", "rslave", "rro"]));
    assert_eq!(mounts[own("/a/b")]["options"], json!(["nosuid", "nodev", "exec", "size=1m"]));
}

#[test]
fn limits_are_handed_to_the_runtime() {
    let config = made(|record| {
        let host = &mut record.host_config;
        host.memory = 64 << 20;
        host.nano_cpus = 1_500_000_000;
        host.pids_limit = Some(7);
        host.device_cgroup_rules.push("c 42:* rw".into());
    });
    let resources = &config["linux"]["resources"];
    assert_eq!(resources["memory"], json!({"limit": 64 << 20, "swap": 128 << 20}));
    assert_eq!(resources["cpu"], json!({"period": 100_000, "quota": 150_000}));
    assert_eq!(resources["pids"]["limit"], 7);
    let last = resources["devices"].as_array().unwrap().last().unwrap();
    assert_eq!(*last, json!({"allow": true, "type": "c", "major": 42, "access": "rw"}));
}

#[test]
fn contradictions_are_refused() {
    let refused = |change: fn(&mut HostConfig)| {
        let mut record = record();
        change(&mut record.host_config);
        check(&record).unwrap_err().to_string()
    };
    for (text, change) in [
        ("Minimum memory limit", (|host| host.memory = 1) as fn(&mut HostConfig)),
        ("Memoryswap", |host| host.memory_swap = 1 << 30),
        ("Nano CPUs", |host| (host.nano_cpus, host.cpu_quota) = (1, 1000)),
        ("unknown capability", |host| host.cap_add.push("x".into())),
        ("--security-opt", |host| host.security_opt.push("x=y".into())),
        ("--restart and --rm", |host| {
            host.auto_remove = true;
            host.restart_policy.name = "always".into();
        }),
        ("invalid pid mode", |host| host.pid_mode = "x".into()),
        ("device cgroup format", |host| host.device_cgroup_rules.push("c x rw".into())),
    ] {
        let refusal = refused(change);
        assert!(refusal.contains(text), "{refusal}");
    }
}

#[test]
fn who_asks_for_no_profile_has_ours_where_there_is_apparmor() {
    let profile = |options: &[&str], privileged: bool, apparmor: bool| {
        let mut record = record();
        record.host_config.privileged = privileged;
        record.host_config.security_opt = options.iter().map(|option| (*option).to_owned()).collect();
        let config = config(&record, &Facts { apparmor, ..facts() }).unwrap();
        let first = config["process"]["apparmorProfile"].as_str().unwrap_or_default().to_owned();
        assert_eq!(apparmor_profile(&record, apparmor).unwrap(), first);
        first
    };
    assert_eq!(profile(&[], false, true), "corten-default");
    assert_eq!(profile(&[], true, true), "unconfined");
    assert_eq!(profile(&["apparmor=unconfined"], false, true), "unconfined");
    assert_eq!(profile(&["apparmor=mine"], true, true), "mine");
    for options in [&[][..], &["apparmor=unconfined"]] {
        assert_eq!(profile(options, false, false), "");
    }
    assert_eq!(profile(&["apparmor=mine"], false, false), "mine");
}

#[test]
fn a_label_is_for_machines_with_selinux() {
    let mut record = record();
    record.host_config.security_opt = vec!["label=type:some_t".into()];
    let label = "system_u:system_r:some_t:s0";
    let with = |selinux| {
        let facts = Facts { selinux, ..facts() };
        let config = config(&record, &facts).unwrap();
        (config["process"]["selinuxLabel"].as_str().map(str::to_owned), discarded_label(&record, &facts).unwrap())
    };
    assert_eq!(with(true), (Some(label.to_owned()), None));
    let (none, told) = with(false);
    assert!(none.is_none() && told.unwrap().contains(label));
}
