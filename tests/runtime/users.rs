//! User namespaces: mappings, joining, and the runtime run by an ordinary user.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::host::{Host, copy_program, unique};
use crate::harness::{Bundle, Call, Config, Container, Ran, each, host, host_fails};

/// A bundle with a new user namespace whose root owns the root file system.
fn mapped_bundle() -> Bundle {
    let mut bundle = Bundle::new();
    host(&format!("chown -R --no-dereference 100000:100000 {}", bundle.rootfs.display()));
    bundle.config.user_namespace(100_000);
    bundle
}

#[test]
fn root_inside_is_another_outside() {
    let mut bundle = mapped_bundle();
    assert_eq!(bundle.shell("id -u; id -g; touch /made; stat -L -c '%u %g' /made /proc/self"), "0\n0\n0 0\n0 0\n");
    let made = fs::metadata(bundle.rootfs.join("made")).expect("the file is in the root");
    assert_eq!((made.uid(), made.gid()), (100_000, 100_000));
    bundle.config.stay();
    let container = bundle.start();
    let status = container.proc_file("status");
    assert!(status.contains("Uid:\t100000\t100000\t100000\t100000\n"), "{status}");
    let columns = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(columns(container.proc_file("uid_map")), ["0", "100000", "65536"]);
    assert_eq!(columns(container.proc_file("gid_map")), ["0", "100000", "65536"]);
    assert_eq!(container.proc_file("setgroups"), "allow\n");
}

#[test]
fn the_queues_of_messages_belong_to_the_containers_root() {
    let mut bundle = mapped_bundle();
    assert_eq!(bundle.shell("stat -c '%u %g' /dev/mqueue"), "0 0\n");
    bundle.config.namespace("time");
    assert_eq!(bundle.shell("stat -c '%u %g' /dev/mqueue"), "0 0\n");
}

#[test]
fn every_file_system_of_the_usual_list_works() {
    let mut bundle = mapped_bundle();
    let shown = bundle
        .shell("awk '{print $5}' /proc/self/mountinfo; ls /dev/pts; touch /dev/shm/x; cat /proc/1/status | head -1");
    for point in ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"] {
        assert!(shown.lines().any(|line| line == point), "no {point} in {shown}");
    }
}

#[test]
fn several_ranges() {
    let mut bundle = Bundle::new();
    host(&format!("chown -R --no-dereference 300000:400000 {}", bundle.rootfs.display()));
    bundle.config.namespace("user");
    bundle.config.set(
        "/linux/uidMappings",
        json!([
            {"containerID": 0, "hostID": 300_000, "size": 10},
            {"containerID": 1000, "hostID": 310_000, "size": 1},
            {"containerID": 2000, "hostID": 320_000, "size": 500}
        ]),
    );
    bundle.config.set("/linux/gidMappings", json!([{"containerID": 0, "hostID": 400_000, "size": 3000}]));
    bundle.config.capabilities(&["bounding", "permitted", "effective"], &["CAP_CHOWN", "CAP_SETUID"]);
    let script = "awk '{print $1, $2, $3}' /proc/self/uid_map /proc/self/gid_map; touch /f; chown 1000:2500 /f; chown 500 /f || true";
    let shown = bundle.shell(&format!("{script} 2>/dev/null"));
    assert_eq!(shown, "0 300000 10\n1000 310000 1\n2000 320000 500\n0 400000 3000\n");
    let file = fs::metadata(bundle.rootfs.join("f")).expect("the file is in the root");
    assert_eq!((file.uid(), file.gid()), (310_000, 402_500), "500 is not mapped");
}

#[test]
fn the_user_must_be_mapped() {
    let mut bundle = mapped_bundle();
    bundle.config.set("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [7]}));
    assert_eq!(bundle.shell("id -u; id -g; id -G"), "1000\n1000\n1000 7\n");
    bundle.config.set("/process/user", json!({"uid": 70_000, "gid": 0}));
    bundle.refused(&["process.user.uid", "70000"]);
    bundle.config.set("/process/user", json!({"uid": 0, "gid": 70_000}));
    bundle.refused(&["process.user.gid", "70000"]);
    bundle.config.set("/process/user", json!({"uid": 0, "gid": 0, "additionalGids": [70_000]}));
    bundle.refused(&["70000"]);
}

#[test]
fn mappings_that_make_no_sense() {
    let mut bundle = Bundle::new();
    let mapping =
        |container: i64, host: i64, size: i64| json!({"containerID": container, "hostID": host, "size": size});
    each(
        [
            (json!([]), "linux.uidMappings"),
            (json!([mapping(0, 1000, 0)]), "linux.uidMappings[0]"),
            (json!([mapping(0, 1000, 10), mapping(5, 2000, 10)]), "linux.uidMappings"),
            (json!([mapping(0, 1000, 10), mapping(20, 1005, 10)]), "linux.uidMappings"),
            (json!([mapping(0, 4_294_967_290, 10)]), "linux.uidMappings"),
            (json!([mapping(-1, 1000, 10)]), "linux.uidMappings[0].containerID"),
            (json!([{"containerID": 0, "size": 10}]), "linux.uidMappings[0]"),
        ],
        |(mappings, needle)| {
            bundle.config = Config::usual();
            bundle.config.namespace("user").set("/linux/uidMappings", mappings);
            bundle.config.set("/linux/gidMappings", json!([mapping(0, 1000, 65536)]));
            bundle.refused(&[needle]);
        },
    );
    bundle.config = Config::usual();
    bundle.config.namespace("user");
    bundle.refused(&["linux.uidMappings"]);
    // Mappings of a namespace that isn't asked for.
    bundle.config = Config::usual();
    bundle.config.set("/linux/uidMappings", json!([mapping(0, 1000, 65536)]));
    bundle.config.set("/linux/gidMappings", json!([mapping(0, 1000, 65536)]));
    bundle.refused(&["linux.uidMappings", "user"]);
}

#[test]
fn joining_the_user_namespace_of_another_container() {
    let mut first = mapped_bundle();
    first.config.stay();
    let first_container = first.start();
    let mut second = mapped_bundle();
    second.config.join_namespace("user", first_container.namespace_path("user"));
    second.config.remove("/linux/uidMappings").remove("/linux/gidMappings").stay();
    let container = second.start();
    assert_eq!(container.namespace("user"), first_container.namespace("user"));
    assert_ne!(container.namespace("pid"), first_container.namespace("pid"));
    assert_eq!(container.shell("id -u; touch /made"), "0\n");
    let made = fs::metadata(second.rootfs.join("made")).expect("the file is in the root");
    assert_eq!(made.uid(), 100_000);
    container.stop();
}

#[test]
fn joining_a_user_namespace_with_all_that_belongs_to_it() {
    // What Kubernetes does for a pod with a user namespace: the second container shares the first one's.
    let mut first = mapped_bundle();
    first.config.stay();
    let first_container = first.start();
    let mut second = mapped_bundle();
    for (kind, file) in [("user", "user"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")] {
        second.config.join_namespace(kind, first_container.namespace_path(file));
    }
    // The same mappings again, as containerd writes them.
    second.config.remove("/hostname").stay();
    let container = second.start();
    for file in ["user", "net", "ipc", "uts", "pid"] {
        assert_eq!(container.namespace(file), first_container.namespace(file), "{file}");
    }
    assert!(container.shell("ps -o args").contains("sleep infinity"));
    container.stop();
}

#[test]
fn joining_a_user_namespace_with_other_mappings() {
    let mut first = mapped_bundle();
    first.config.stay();
    let first_container = first.start();
    let mut second = mapped_bundle();
    second.config.join_namespace("user", first_container.namespace_path("user"));
    second.config.set("/linux/uidMappings/0/hostID", 200_000);
    second.refused(&["linux.uidMappings"]);
}

#[test]
fn exec_in_a_user_namespace() {
    let mut bundle = mapped_bundle();
    bundle.config.stay();
    let container = bundle.start();
    assert_eq!(container.shell("id -u; readlink /proc/self/ns/user"), format!("0\n{}\n", container.namespace("user")));
    let ran = container.call("exec").args(["--user", "1000:1000", &container.id, "id", "-u"]).ok();
    assert_eq!(ran.stdout, "1000\n");
}

#[test]
fn capabilities_count_inside_and_not_outside() {
    let mut bundle = mapped_bundle();
    bundle.config.all_capabilities();
    let outside = bundle.write_file("outside", "");
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o600)).expect("close the file");
    bundle.config.bind(&outside, "/outside", &["bind"]);
    let script = "mount -t tmpfs x /mnt && echo mounted; ip link add name br0 type bridge 2>/dev/null || ip link set lo mtu 9000; echo net
        cat /outside 2>&1 || true; mknod /tmp/x c 1 3 2>&1 || true";
    let shown = bundle.shell(script);
    assert_eq!(
        shown,
        "mounted\nnet\ncat: can't open '/outside': Permission denied\nmknod: /tmp/x: Operation not permitted\n"
    );
}

#[test]
fn sources_that_the_containers_root_may_not_reach() {
    let mut bundle = mapped_bundle();
    bundle.write_file("private/deep/file", "content\n");
    fs::set_permissions(bundle.path("private"), fs::Permissions::from_mode(0o700)).expect("close the directory");
    bundle.bind("private/deep", "/data", &["rbind", "ro"]).bind("private/deep/file", "/file", &["bind"]);
    assert_eq!(bundle.shell("cat /data/file /file"), "content\ncontent\n");
}

#[test]
fn stdio_belongs_to_the_containers_root() {
    let mut bundle = mapped_bundle();
    bundle.config.script("echo out >/proc/self/fd/1; echo err >/proc/self/fd/2");
    let ran = bundle.run();
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "out\n", "err\n"), "{ran}");
}

#[test]
fn parameters_of_the_user_namespaces_own_namespaces() {
    let mut bundle = mapped_bundle();
    bundle.config.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "net.ipv4.ping_group_range": "0 100"}));
    assert_eq!(bundle.shell("cat /proc/sys/net/ipv4/ip_forward"), "1\n");
}

#[test]
fn flags_that_are_locked_stay() {
    // A mount that comes into a user namespace keeps nosuid and the like, and a read-only bind must keep them, too.
    let mut bundle = mapped_bundle();
    let source = bundle.make_directory("source");
    host(&format!("mount -t tmpfs -o nosuid,nodev,noexec,noatime source {}", source.display()));
    bundle.config.bind(&source, "/data", &["bind", "ro"]);
    let mount = crate::harness::mountinfo::at(&bundle.shell("cat /proc/self/mountinfo"), "/data");
    for option in ["nosuid", "nodev", "noexec", "noatime", "ro"] {
        assert!(mount.has(option), "no {option} in {mount:?}");
    }
    host(&format!("umount {}", source.display()));
}

/// The user that runs the runtime in the tests below, with and without an entry in the subuid file.
const USER: u32 = 4711;
const GROUP: u32 = 4712;

/// The name of the user's copy of the runtime.
const NAME: &str = "corten";

/// A bundle that belongs to an ordinary user, who has a copy of the runtime that is in everybody's reach.
struct Rootless {
    bundle: Bundle,
    /// What stands in front of the machine's user files.
    etc: PathBuf,
}

impl Rootless {
    fn new() -> Rootless {
        // Before the bundle, which takes every later mount for one of the runtime's.
        let etc = Host::enter().directory.join(unique("etc"));
        fs::create_dir(&etc).expect("make a directory for user files");
        let passwd = format!("root:x:0:0::/root:/bin/sh\ncorten-test:x:{USER}:{GROUP}::/:/bin/sh\n");
        for (file, text) in [("passwd", passwd.as_str()), ("subuid", ""), ("subgid", "")] {
            fs::write(etc.join(file), text).expect("write a user file");
            host(&format!("[ ! -e /etc/{file} ] || mount --bind {0}/{file} /etc/{file}", etc.display()));
        }
        let mut bundle = Bundle::new();
        copy_program(&crate::harness::call::program(), &bundle.path(NAME));
        bundle.config.remove("/linux/resources").without_namespace("network").without_namespace("cgroup");
        bundle.config.without_mount("/sys/fs/cgroup").without_mount("/sys");
        bundle.config.bind("/sys", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]);
        bundle
            .config
            .set("/mounts/2/options", json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]));
        bundle.config.namespace("user");
        bundle.config.set("/linux/uidMappings", json!([{"containerID": 0, "hostID": USER, "size": 1}]));
        bundle.config.set("/linux/gidMappings", json!([{"containerID": 0, "hostID": GROUP, "size": 1}]));
        host(&format!("chown -R --no-dereference {USER}:{GROUP} {}", bundle.directory.display()));
        Rootless { bundle, etc }
    }

    fn call(&self, command: &str) -> Call {
        self.bundle.write();
        let call = Call::of(self.bundle.path(NAME), &self.bundle.directory);
        call.user(USER, GROUP).arg("--root").arg(&self.bundle.state).arg(command)
    }

    fn run(&self) -> Ran {
        self.call("run").arg("--bundle").arg(&self.bundle.directory).arg(&self.bundle.id).run()
    }

    #[track_caller]
    fn shell(&mut self, script: &str) -> String {
        self.bundle.config.script(script);
        let ran = self.run();
        assert_eq!(ran.code, 0, "{ran}");
        ran.stdout
    }

    /// Gives the user sub-ids, and so the use of newuidmap.
    fn allow_sub_ids(&self) {
        for file in ["subuid", "subgid"] {
            fs::write(self.etc.join(file), "corten-test:500000:65536\n").expect("write a user file");
        }
    }
}

impl Drop for Rootless {
    fn drop(&mut self) {
        for file in ["passwd", "subuid", "subgid"] {
            let _ = rustix::mount::unmount(format!("/etc/{file}"), rustix::mount::UnmountFlags::DETACH);
        }
    }
}

#[test]
fn rootless() {
    let mut rootless = Rootless::new();
    assert_eq!(rootless.shell("id -u; id -g; hostname; touch /made; echo $$"), "0\n0\ncontainer\n1\n");
    let made = fs::metadata(rootless.bundle.rootfs.join("made")).expect("the file is in the root");
    assert_eq!((made.uid(), made.gid()), (USER, GROUP));
    rootless.bundle.config.set("/root/readonly", true);
    assert!(rootless.shell("touch /x 2>&1 || true").contains("Read-only file system"));
    assert_eq!(rootless.shell("echo x >/dev/null; head -c 3 /dev/zero | wc -c; cat /proc/kcore | wc -c"), "3\n0\n");
}

#[test]
fn rootless_life_cycle() {
    let mut rootless = Rootless::new();
    rootless.bundle.config.stay();
    let bundle = rootless.bundle.directory.clone();
    let id = rootless.bundle.id.clone();
    let create = rootless.call("create").arg("--bundle").arg(&bundle).arg("--pid-file").arg(rootless.bundle.pid_file());
    let container = Container::made(&rootless.bundle, &id, create.arg(&id).ok());
    assert_eq!(rootless.call("state").arg(&id).ok().json()["status"], "created");
    rootless.call("start").arg(&id).ok();
    assert_eq!(rootless.call("exec").args([&id, "id", "-u"]).ok().stdout, "0\n");
    assert_eq!(rootless.call("list").arg("-q").ok().stdout, format!("{id}\n"));
    rootless.call("kill").args([&id, "KILL"]).ok();
    container.process.wait();
    assert_eq!(rootless.call("state").arg(&id).ok().json()["status"], "stopped");
    rootless.call("delete").arg(&id).ok();
    rootless.bundle.assert_nothing_left();
}

#[test]
fn rootless_groups_can_not_be_set() {
    let mut rootless = Rootless::new();
    assert_eq!(rootless.shell("cat /proc/self/setgroups"), "deny\n");
    rootless.bundle.config.set("/process/user/additionalGids", json!([5]));
    rootless.run().refused(&["additionalGids"]);
}

#[test]
fn rootless_needs_mappings() {
    let mut rootless = Rootless::new();
    rootless.bundle.config.without_namespace("user").remove("/linux/uidMappings").remove("/linux/gidMappings");
    rootless.run().refused(&["user namespace"]);
}

#[test]
fn rootless_with_sub_ids() {
    if host_fails("command -v newuidmap && test -e /etc/subuid") {
        crate::skip!("newuidmap is missing: apt-get install uidmap");
    }
    let mut rootless = Rootless::new();
    rootless.allow_sub_ids();
    let mappings = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}, {"containerID": 1, "hostID": 500_000, "size": 65536}]);
    rootless.bundle.config.set("/linux/uidMappings", mappings(USER)).set("/linux/gidMappings", mappings(GROUP));
    rootless
        .bundle
        .config
        .capabilities(&["bounding", "permitted", "effective"], &["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"]);
    let shown =
        rootless.shell("awk '{print $1, $2, $3}' /proc/self/uid_map; touch /f; chown 1000:1000 /f; stat -c %u /f");
    assert_eq!(shown, format!("0 {USER} 1\n1 500000 65536\n1000\n"));
    let file = fs::metadata(rootless.bundle.rootfs.join("f")).expect("the file is in the root");
    assert_eq!(file.uid(), 500_999);
    rootless.bundle.config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(rootless.shell("id -u; id -g"), "1000\n1000\n");
}

#[test]
fn rootless_without_the_right_to_sub_ids() {
    let mut rootless = Rootless::new();
    let mappings =
        json!([{"containerID": 0, "hostID": USER, "size": 1}, {"containerID": 1, "hostID": 500_000, "size": 65536}]);
    rootless.bundle.config.set("/linux/uidMappings", mappings.clone()).set("/linux/gidMappings", mappings);
    rootless.run().refused(&["newuidmap"]);
    rootless.bundle.assert_nothing_left();
}

#[test]
fn rootless_state_is_in_the_users_runtime_directory() {
    let rootless = Rootless::new();
    let directory = rootless.bundle.make_directory("xdg");
    host(&format!("chown {USER}:{GROUP} {0}; chmod 700 {0}", directory.display()));
    rootless.bundle.write();
    let call = |command: &str| {
        let call = Call::of(rootless.bundle.path(NAME), &rootless.bundle.directory).user(USER, GROUP);
        call.env("XDG_RUNTIME_DIR", directory.as_os_str()).arg(command)
    };
    call("create").arg("--bundle").arg(&rootless.bundle.directory).arg(&rootless.bundle.id).ok();
    let name = if crate::harness::call::foreign() { "*" } else { NAME };
    let found = host(&format!("ls -d {}/{name}/{}", directory.display(), rootless.bundle.id));
    assert!(found.trim().ends_with(&rootless.bundle.id), "{found}");
    assert_eq!(call("state").arg(&rootless.bundle.id).ok().json()["status"], "created");
    // The sticky bit keeps the cleaners of temporary files away.
    let root = std::path::Path::new(found.trim()).parent().expect("a root").to_owned();
    assert_eq!(fs::metadata(root).expect("look at the root").mode() & 0o7777, 0o1700);
    call("delete").args(["--force", &rootless.bundle.id]).ok();
}

#[test]
fn rootless_limits_without_a_delegated_group_are_refused() {
    let mut rootless = Rootless::new();
    rootless.bundle.config.set("/linux/resources", json!({"pids": {"limit": 100}}));
    rootless.run().refused(&["linux.resources.pids.limit: it needs a cgroup, and this user may not make one"]);
    rootless.bundle.config.remove("/linux/resources").set("/linux/cgroupsPath", "/not/for/users");
    rootless.run().refused(&["linux.cgroupsPath: it needs a cgroup, and this user may not make one"]);
}

#[test]
fn rootless_spec_runs() {
    let rootless = Rootless::new();
    fs::remove_file(rootless.bundle.path("config.json")).ok();
    let runtime = rootless.bundle.path(NAME);
    let call = || Call::of(&runtime, &rootless.bundle.directory).user(USER, GROUP);
    call().args(["spec", "--rootless"]).ok();
    let mut config: Value = serde_json::from_str(&rootless.bundle.read_file("config.json")).expect("JSON");
    config["process"]["terminal"] = json!(false);
    fs::write(rootless.bundle.path("config.json"), config.to_string()).expect("write config.json");
    let call = call().arg("--root").arg(&rootless.bundle.state).arg("run").arg(&rootless.bundle.id);
    let ran = call.input("id -u\n").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "0\n"), "{ran}");
}
