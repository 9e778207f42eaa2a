//! A store of a test's own with an image of busybox, and `ctn` as a child process.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use super::wait::Process;

#[allow(clippy::duplicate_mod, reason = "a program of tests may have both harnesses")]
#[path = "../helpers/call.rs"]
pub mod call;
#[path = "user.rs"]
pub mod user;

pub use call::{install, prepare, succeeded};

/// The program under test: the one just built, unless another is named.
pub fn ctn() -> PathBuf {
    std::env::var_os("CORTEN_TEST_CTN").map_or_else(|| env!("CARGO_BIN_EXE_ctn").into(), PathBuf::from)
}

/// Which ids containers have, whatever their stores.
pub const CLAIMS: &str = "/var/lib/corten/id-ranges";

/// For what must happen some time. Nothing is timed by it.
pub const LIMIT: Duration = Duration::from_secs(60);

const APPLETS: [&str; 34] = [
    "sh", "true", "false", "sleep", "cat", "echo", "ls", "id", "mount", "hostname", "ps", "kill", "touch", "env",
    "head", "wc", "tty", "stty", "dd", "mkdir", "rm", "grep", "pwd", "printf", "chmod", "stat", "test", "seq",
    "readlink", "mknod", "date", "df", "trap", "sync",
];

/// A directory that goes with the test, a store in it, and an image `box` in that.
#[derive(Debug)]
pub struct Place {
    pub path: PathBuf,
    /// Whose calls of ctn they are, if not root's.
    pub user: Option<u32>,
    /// The network namespace below /run/netns that root's calls are made in, if not this one.
    pub network: Option<String>,
}

impl Place {
    pub fn new() -> Place {
        Place::with(|path| Place { path, user: None, network: None })
    }

    /// With a store on a disk of its own, of so many MB.
    pub fn with_disk(megabytes: u32) -> Place {
        Place::with(|path| {
            let place = Place { path, user: None, network: None };
            fs::create_dir(place.store()).unwrap();
            let options = format!("size={megabytes}m");
            let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "disk"]).arg(place.store()).status();
            assert!(mount.unwrap().success());
            place
        })
    }

    /// A directory of its own for a test, and a store with an image.
    pub fn with(make: impl FnOnce(PathBuf) -> Place) -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(rustix::process::geteuid().is_root(), "these tests run containers: run them as root");
        let name = format!("engine-tests-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        let place = make(path);
        place.import();
        place
    }

    fn import(&self) {
        let root = self.join("image");
        for directory in ["bin", "etc", "tmp", "root", "proc", "sys", "dev", "data/below"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        install(Path::new("/bin/busybox"), &root.join("bin/busybox"));
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/tmp:/bin/sh\n").unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\nweb:x:34:\nlog:x:44:web\nextra:x:55:\n").unwrap();
        fs::write(root.join("data/of-image"), "from the image\n").unwrap();
        fs::write(root.join("not-executable"), "").unwrap();
        fs::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
        let tar =
            Command::new("tar").arg("-C").arg(&root).args(["-c", "-f"]).arg(self.join("image.tar")).arg(".").status();
        assert!(tar.unwrap().success());
        self.ctn(&["import", "-c", "CMD [\"sh\"]", "-c", "ENV OF=image", "image.tar", "box"]);
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// How many mounts of the host are in this place. Other tests mount elsewhere meanwhile.
    pub fn mounts(&self) -> usize {
        let own = self.path.display().to_string();
        fs::read_to_string("/proc/self/mountinfo").unwrap().lines().filter(|line| line.contains(&own)).count()
    }

    pub fn store(&self) -> PathBuf {
        self.join("store")
    }

    /// A call of ctn on the test's store.
    pub fn command(&self, arguments: &[&str]) -> Command {
        if self.user.is_some() {
            return user::command(self, arguments);
        }
        let mut command = match &self.network {
            Some(_) => Command::new("nsenter"),
            None => Command::new(ctn()),
        };
        if let Some(name) = &self.network {
            command.arg(format!("--net=/run/netns/{name}")).arg(ctn());
        }
        prepare(&mut command, &self.path, arguments);
        command
    }

    pub fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints, if it succeeds.
    #[track_caller]
    pub fn ctn(&self, arguments: &[&str]) -> String {
        succeeded(&self.call(arguments), arguments)
    }

    /// What a command in a container prints; the container is gone afterwards.
    #[track_caller]
    pub fn inside(&self, flags: &[&str], script: &str) -> String {
        self.ctn(&[&["run", "--rm", "--network", "none"], flags, &["box", "sh", "-c", script]].concat())
    }

    /// Starts a container that stays.
    #[track_caller]
    pub fn detached(&self, name: &str, flags: &[&str], script: &str) -> String {
        let id = self
            .ctn(&[&["run", "-d", "--network", "none", "--name", name], flags, &["box", "sh", "-c", script]].concat());
        id.trim().to_owned()
    }

    /// Exit status, output and errors.
    pub fn outcome(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.call(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// One sentence, and this exit status.
    #[track_caller]
    pub fn refusal(&self, status: i32, arguments: &[&str]) -> String {
        let (code, output, errors) = self.outcome(arguments);
        // `inspect` prints an empty list then, as docker does.
        assert_eq!((code, output.trim_start_matches("[]\n")), (Some(status), ""), "{arguments:?}: {errors}");
        errors
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A field of `inspect`.
    #[track_caller]
    pub fn field(&self, name: &str, field: &str) -> String {
        self.ctn(&["inspect", "--format", &format!("{{{{{field}}}}}"), name]).trim().to_owned()
    }

    /// Waits until a field is so.
    #[track_caller]
    pub fn until_field(&self, name: &str, field: &str, wanted: &str) {
        until(&format!("{field} of {name} is {wanted}"), || self.field(name, field) == wanted);
    }

    /// The pid of a container's monitor, which is its process's parent.
    #[track_caller]
    pub fn monitor_of(&self, name: &str) -> i32 {
        let pid = self.field(name, ".State.Pid");
        parent(&pid)
    }

    /// Everything that containers of this store have left anywhere.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for directory in ["containers", "names", "pins"] {
            let entries = fs::read_dir(self.store().join(directory)).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| entry.path().display().to_string()));
        }
        if let Some(run) = self.run() {
            for entry in fs::read_dir(&run).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if name.len() == 64 || name.starts_with("renamed-") || name.starts_with("replaced-") {
                    left.push(entry.path().display().to_string());
                }
            }
            let runtime = fs::read_dir(run.join("runtime")).into_iter().flatten().flatten();
            left.extend(runtime.map(|entry| entry.path().display().to_string()));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let below = |line: &&str| line.contains(self.path.to_str().unwrap());
        let is_disk = |line: &&str| line.contains(&format!(" {} ", self.store().display()));
        left.extend(mounts.lines().filter(below).filter(|line| !is_disk(line)).map(str::to_owned));
        for id in self.ids_ever() {
            let group = PathBuf::from("/sys/fs/cgroup/corten").join(&id);
            if group.exists() {
                left.push(group.display().to_string());
            }
            left.extend(claims_of(&id));
            let store = PathBuf::from(CLAIMS).join(format!("{id}.store"));
            left.extend(store.exists().then(|| store.display().to_string()));
        }
        left
    }

    /// Where this store's containers are while they run.
    pub fn run(&self) -> Option<PathBuf> {
        use corten::image::digest::Digest;
        if self.user.is_some() {
            return user::run(self);
        }
        let hash = Digest::of(self.store().as_os_str().as_encoded_bytes());
        let run = PathBuf::from(format!("/run/corten/engine-{}", &hash.hex()[..8]));
        run.exists().then_some(run)
    }

    /// Every container that there was.
    pub fn ids_ever(&self) -> Vec<String> {
        let text = self.run().map(|run| fs::read_to_string(run.join("events")).unwrap_or_default()).unwrap_or_default();
        let mut ids: Vec<String> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|event| event["Actor"]["ID"].as_str().map(str::to_owned))
            .collect();
        ids.sort();
        ids.dedup();
        ids
    }

    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let left = self.leftovers();
        assert!(left.is_empty(), "left: {left:#?}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let ids = self.ctn_quietly(&["ps", "-aq"]);
        let ids: Vec<&str> = ids.lines().collect();
        if !ids.is_empty() {
            self.ctn_quietly(&[&["rm", "-fv"], &ids[..]].concat());
        }
        if let Some(run) = self.run() {
            let _ = fs::remove_dir_all(run);
        }
        // Where it is a disk.
        let _ = Command::new("umount").arg("-lq").arg(self.store()).output();
        let _ = Command::new("rm").arg("-rf").arg(&self.path).status();
    }
}

impl Place {
    fn ctn_quietly(&self, arguments: &[&str]) -> String {
        self.command(arguments)
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    }
}

/// Alone among the tests that run `system prune`, or see what it has not been at: it looks at the ids of every store.
pub fn alone_with_prunes() -> MutexGuard<'static, ()> {
    static PRUNES: Mutex<()> = Mutex::new(());
    // What another test failed at is not this one's.
    PRUNES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The links that say which ids a container has.
pub fn claims_of(id: &str) -> Vec<String> {
    let entries = fs::read_dir(CLAIMS).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(id)).collect()
}

#[track_caller]
pub fn parent(pid: &str) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

/// One line says what is wrong; another may say where to read more.
pub fn is_one_sentence(text: &str) -> bool {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("See 'ctn ")).count() == 1
}

/// Kills a process, and waits until it is gone: before that it is right to say that it lives.
#[track_caller]
pub fn kill(pid: i32) {
    let process = Process::watch(pid);
    kill_process(process.pid, Signal::KILL).unwrap();
    process.wait_gone();
}

/// Looks again and again until something is so that other processes do.
#[track_caller]
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// KiB of heap, stack and other memory that no file is behind (proc_pid_smaps(5)).
pub fn allocated(pid: i32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (mut is_of_file, mut sum) = (false, 0);
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0].contains('-') && !words[0].ends_with(':') {
            is_of_file = words.get(5).is_some_and(|path| path.starts_with('/'));
        } else if !is_of_file && matches!(words[0], "Private_Clean:" | "Private_Dirty:") {
            sum += words[1].parse::<u64>().unwrap();
        }
    }
    sum
}
