//! Who a process is: numbers of the configuration, never a name that an image explains (CVE-2016-3697), and files of the
//! image are read as what they are: at an end, and not without one.

use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::json;

use crate::harness::{Bundle, Config};

#[test]
fn names_are_not_looked_up() {
    let mut bundle = Bundle::new();
    // Names that look like numbers, and numbers that are names of root.
    let passwd = "root:x:0:0::/:/bin/sh\n1000:x:0:0::/:/bin/sh\n 8:x:0:0::/:/bin/sh\nwheel:x:0:0::/:/bin/sh\n";
    bundle.write_file("rootfs/etc/passwd", passwd);
    bundle.write_file("rootfs/etc/group", "1000:x:0:\nwheel:x:0:\n");
    bundle.config.stay();
    let container = bundle.start();
    let exec = |user: &str| {
        let script = "id -u; id -g; id -G";
        container.call("exec").args([&format!("--user={user}"), &container.id, "sh", "-c", script]).run()
    };
    assert_eq!(exec("1000").stdout, "1000\n0\n0\n");
    assert_eq!(exec("1000:1000").stdout, "1000\n1000\n1000\n");
    for name in ["root", "wheel", " 8", "0x0", "1e3", "0:wheel", "0 ", ":", "-1", "4294967296", "1000abc", "٣"] {
        let ran = exec(name);
        assert_ne!(ran.code, 0, "{name:?}: {ran}");
        assert_eq!(ran.stdout.lines().filter(|line| *line == "0").count(), 0, "{name:?}: {ran}");
    }
}

#[test]
fn no_number_means_as_you_are() {
    // setresuid(2) and setresgid(2) take -1 for "leave it": the process would stay root.
    let mut bundle = Bundle::new();
    for user in [
        json!({"uid": u32::MAX, "gid": 1000}),
        json!({"uid": 1000, "gid": u32::MAX}),
        json!({"uid": 1000, "gid": 1000, "additionalGids": [u32::MAX]}),
    ] {
        bundle.config.set("/process/user", user);
        bundle.refused(&["process.user"]);
    }
    bundle.config = Config::usual();
    bundle.config.stay();
    let container = bundle.start();
    for arguments in [["--user", "4294967295"], ["--user", "1000:4294967295"], ["--additional-gids", "4294967295"]] {
        container.call("exec").args(arguments).args([&container.id, "id"]).run().failed(255, &["4294967295"]);
    }
}

/// What an image may have in place of /etc/passwd; HOME is looked up there.
#[test]
fn a_passwd_that_is_no_file() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/env", json!(["PATH=/bin"])).args(["sh", "-c", "echo $HOME"]);
    let passwd = bundle.rootfs.join("etc/passwd");
    let outside = bundle.write_file("outside", "root:x:0:0::/home/of/the/host:/bin/sh\n");
    let replace = |with: &dyn Fn()| {
        let _ = std::fs::remove_file(&passwd);
        with();
        assert_eq!(bundle.output(), "/\n");
    };
    let mode = Mode::from_raw_mode(0o666);
    replace(&|| mknodat(CWD, &passwd, FileType::Fifo, mode, 0).expect("make a pipe"));
    replace(&|| {
        mknodat(CWD, &passwd, FileType::CharacterDevice, mode, makedev(1, 5)).expect("make a device without end")
    });
    replace(&|| symlink("/dev/zero", &passwd).expect("link"));
    replace(&|| symlink("/proc/self/fd/0", &passwd).expect("link"));
    replace(&|| symlink(&outside, &passwd).expect("link"));
    replace(&|| symlink(format!("../../../../../..{}", outside.display()), &passwd).expect("link"));
    replace(&|| symlink(format!("/proc/1/root{}", outside.display()), &passwd).expect("link"));
    replace(&|| std::fs::create_dir(&passwd).expect("make a directory"));
}

#[test]
fn a_passwd_without_end() {
    // Sparse, so that it costs the test nothing; a runtime that reads all of it runs out of the memory that it is given here.
    let mut bundle = Bundle::new();
    let passwd = std::fs::OpenOptions::new().write(true).open(bundle.rootfs.join("etc/passwd")).expect("open passwd");
    passwd.set_len(1 << 40).expect("make passwd long");
    bundle.config.set("/process/env", json!(["PATH=/bin"])).args(["sh", "-c", "echo $HOME"]);
    let ran = bundle.run_call().arg(&bundle.id).after("ulimit -v 262144").ok();
    assert_eq!(ran.stdout, "/root\n", "{ran}");
}
