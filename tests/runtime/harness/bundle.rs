//! A bundle of a test: config.json, a busybox root, a state directory of its own; all gone with the test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::host::{BUSYBOX, Host, SPAWNING, copy_program, unique};
use super::leftovers::{self, Leftovers, Mounts};
use super::wait::{read_until, readable};
use super::{Call, Config, Container, Ran, probe};

#[derive(Debug)]
pub struct Bundle {
    /// The bundle, in which a test keeps everything else, too.
    pub directory: PathBuf,
    pub rootfs: PathBuf,
    /// The runtime's `--root`.
    pub state: PathBuf,
    pub config: Config,
    /// Flags in front of the command, for calls on the bundle but not on its containers: engines leave them out then.
    pub globals: Vec<&'static str>,
    /// The id of the first container; further ones begin with it.
    pub id: String,
    mounts_before: Mounts,
}

impl Bundle {
    pub fn new() -> Bundle {
        Bundle::with(Config::usual())
    }

    pub fn with(config: Config) -> Bundle {
        let host = Host::enter();
        let id = unique("test");
        let directory = host.directory.join(&id);
        let (rootfs, state) = (directory.join("rootfs"), directory.join("state"));
        make_root(&rootfs);
        fs::create_dir(&state).expect("make the state directory");
        Bundle { directory, rootfs, state, config, globals: Vec::new(), id, mounts_before: Mounts::now() }
    }

    /// A bundle whose container runs a shell script.
    pub fn script(script: &str) -> Bundle {
        let mut bundle = Bundle::new();
        bundle.config.script(script);
        bundle
    }

    /// A bundle whose container stays until it is killed.
    pub fn staying() -> Bundle {
        let mut bundle = Bundle::new();
        bundle.config.stay();
        bundle
    }

    /// A path in the bundle.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A path in the bundle, as text for a config.json.
    pub fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path of the tests is text").to_owned()
    }

    /// Makes a directory in the bundle.
    #[track_caller]
    pub fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
        path
    }

    /// Writes a file in the bundle, with its directories.
    #[track_caller]
    pub fn write_file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("make the file's directory");
        fs::write(&path, text).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        path
    }

    #[track_caller]
    pub fn read_file(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
    }

    /// Puts the probe into the container, as the program `probe`.
    pub fn add_probe(&self) -> &Bundle {
        copy_program(probe::program(), &self.rootfs.join("bin/probe"));
        self
    }

    /// Adds a bind mount, after the others, of something in the bundle.
    pub fn bind(&mut self, name: &str, destination: &str, options: &[&str]) -> &mut Bundle {
        let source = self.path(name);
        self.config.bind(source, destination, options);
        self
    }

    /// Writes config.json.
    pub fn write(&self) -> &Bundle {
        let text = serde_json::to_string_pretty(&self.config.0).expect("a JSON value can be written");
        fs::write(self.path("config.json"), text).expect("write config.json");
        self
    }

    /// A call of the runtime on this bundle's state directory.
    pub fn call(&self, command: &str) -> Call {
        Call::new(&self.directory).args(&self.globals).arg("--root").arg(&self.state).arg(command)
    }

    /// A call of `run`, without the id.
    pub fn run_call(&self) -> Call {
        self.write().call("run").arg("--bundle").arg(&self.directory)
    }

    /// A call of `run` that does not wait for the program, without the id.
    pub fn detach_call(&self) -> Call {
        self.run_call().arg("--detach").arg("--pid-file").arg(self.pid_file())
    }

    /// A call of `create`, without the id.
    pub fn create_call(&self) -> Call {
        self.write().call("create").arg("--bundle").arg(&self.directory).arg("--pid-file").arg(self.pid_file())
    }

    /// Where the last container's process is told.
    pub fn pid_file(&self) -> PathBuf {
        self.path("pid")
    }

    /// Runs the container in the foreground.
    #[track_caller]
    pub fn run(&self) -> Ran {
        self.run_call().arg(&self.id).run()
    }

    /// Runs the container in the foreground and returns what it printed; it must end well.
    #[track_caller]
    pub fn output(&self) -> String {
        let ran = self.run();
        assert_eq!(ran.code, 0, "{ran}");
        ran.stdout
    }

    /// Runs a shell script as the container and returns what it printed; it must end well.
    #[track_caller]
    pub fn shell(&mut self, script: &str) -> String {
        self.config.script(script);
        self.output()
    }

    /// Runs the probe as the container and returns what it printed.
    #[track_caller]
    pub fn probe(&mut self, what: &[&str]) -> String {
        self.add_probe();
        self.config.args([&["probe"], what].concat());
        self.output()
    }

    #[track_caller]
    pub fn create(&self) -> Container {
        self.create_with(|call| call)
    }

    /// Creates the container by a call with more arguments.
    #[track_caller]
    pub fn create_with(&self, with: impl FnOnce(Call) -> Call) -> Container {
        Container::made(self, &self.id, with(self.create_call()).arg(&self.id).ok())
    }

    /// Creates one more container of this bundle.
    #[track_caller]
    pub fn create_another(&self, name: &str) -> Container {
        let id = self.another_id(name);
        let ran = self.create_call().arg(&id).ok();
        Container::made(self, &id, ran)
    }

    /// The id of one more container.
    pub fn another_id(&self, name: &str) -> String {
        format!("{}-{name}", self.id)
    }

    /// Runs the container in the background.
    #[track_caller]
    pub fn start(&self) -> Container {
        Container::made(self, &self.id, self.detach_call().arg(&self.id).ok())
    }

    /// Runs the container in the background and waits until it has written a text to its stderr; returns what it wrote.
    #[track_caller]
    pub fn start_until(&self, needle: &str) -> (Container, String) {
        let (reader, writer) = std::io::pipe().expect("make a pipe");
        let ran = self.detach_call().arg(&self.id).stderr(writer).ok();
        let container = Container::made(self, &self.id, ran);
        (container, read_until(reader, needle))
    }

    /// `create` must refuse this bundle, say so with each of `needles`, and leave nothing.
    #[track_caller]
    pub fn refused(&self, needles: &[&str]) -> Ran {
        let ran = self.create_call().arg(&self.id).run();
        if ran.code == 0 {
            // What should have failed must not stand in the way of the next case.
            self.delete_containers();
        }
        let ran = ran.refused(needles);
        assert_eq!(ran.stdout, "", "the error belongs on stderr: {ran}");
        self.assert_nothing_left();
        ran
    }

    /// Waits for the processes that are ending by themselves: those of a container that has just been killed.
    #[track_caller]
    pub fn wait_for_processes(&self) {
        for (pid, _) in self.leftovers().processes {
            if let Ok(pidfd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
                readable(&pidfd, Instant::now() + Duration::from_secs(5));
            }
        }
    }

    /// What containers of this bundle have left on the machine.
    pub fn leftovers(&self) -> Leftovers {
        Leftovers::of(self)
    }

    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let left = self.leftovers();
        assert!(left.is_empty(), "the runtime left {left}");
    }

    /// Takes the mounts that the test has made so far for the host's.
    pub fn accept_mounts(&mut self) {
        self.mounts_before = Mounts::now();
    }

    pub fn mounts_before(&self) -> &Mounts {
        &self.mounts_before
    }

    fn delete_containers(&self) {
        leftovers::end_processes(&self.id);
        for entry in fs::read_dir(&self.state).into_iter().flatten().flatten() {
            self.call("delete").arg("--force").arg(entry.file_name()).spawn().finish();
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.delete_containers();
        let left = self.leftovers();
        left.clear();
        let _ = rustix::mount::unmount(&self.directory, rustix::mount::UnmountFlags::DETACH);
        let _ = fs::remove_dir_all(&self.directory);
        if !std::thread::panicking() {
            assert!(left.is_empty(), "the runtime left {left}");
        }
    }
}

/// A root file system of busybox and nothing else.
pub fn make_root(root: &Path) {
    for directory in ["bin", "dev", "etc", "home/tester", "mnt", "proc", "root", "run", "sys", "tmp", "usr", "var"] {
        fs::create_dir_all(root.join(directory)).expect("make a directory of the root");
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("open /tmp to everybody");
    copy_program(Path::new(BUSYBOX), &root.join("bin/busybox"));
    for applet in APPLETS.iter().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).expect("link a busybox command");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\ntester:x:1000:1000:tester:/home/tester:/bin/sh\n";
    fs::write(root.join("etc/passwd"), passwd).expect("write /etc/passwd");
    fs::write(root.join("etc/group"), "root:x:0:\ntester:x:1000:\n").expect("write /etc/group");
}

static APPLETS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let _no_program_is_written = SPAWNING.read();
    let output = Command::new(BUSYBOX).arg("--list").output().expect("ask busybox for its commands");
    String::from_utf8(output.stdout).expect("command names are text").lines().map(str::to_owned).collect()
});
