//! The program of the image `corten/hello`: says what a process in a container sees. `build.rs` makes it, for it is part of `ctn`.

use std::fs;

fn main() {
    println!("Hello from a container of Corten. This is what its process sees:\n");
    let arguments: Vec<String> = std::env::args().collect();
    say("process", &format!("{}: {}", std::process::id(), arguments.join(" ")));
    say("all processes", &processes().join(" "));
    say("host name", read("/proc/sys/kernel/hostname").trim());
    say("user", &users());
    say("cgroup", read("/proc/self/cgroup").trim().trim_start_matches("0::"));
    each("capabilities", &chosen("/proc/self/status", &["CapEff", "CapBnd", "NoNewPrivs", "Seccomp:"]));
    each("mounts", &mounts());
    each("network", &network());
    say("devices", &names("/dev").join(" "));
    say("root files", &names("/").join(" "));
}

fn say(title: &str, text: &str) {
    println!("  {title:<14} {text}");
}

/// One title for several lines.
fn each(title: &str, lines: &[String]) {
    for (number, line) in lines.iter().enumerate() {
        say(if number == 0 { title } else { "" }, line);
    }
}

/// Nothing where it can't be read: that is an answer, too.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn names(path: &str) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn processes() -> Vec<String> {
    names("/proc").into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

fn users() -> String {
    let ids = |line: &str| line.split_whitespace().nth(1).unwrap_or("?").to_owned();
    chosen("/proc/self/status", &["Uid", "Gid", "Groups"]).iter().map(|line| ids(line)).collect::<Vec<_>>().join(" ")
}

/// Lines that begin so.
fn chosen(path: &str, beginnings: &[&str]) -> Vec<String> {
    let text = read(path);
    let lines = text.lines().filter(|line| beginnings.iter().any(|beginning| line.starts_with(beginning)));
    lines.map(|line| line.replace('\t', " ")).collect()
}

fn mounts() -> Vec<String> {
    let text = read("/proc/self/mounts");
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let options: String = fields.get(3)?.chars().take(48).collect();
        Some(format!("{:<20} {:<8} {options}", fields.get(1)?, fields.get(2)?))
    };
    text.lines().filter_map(line).collect()
}

/// Interfaces, and the addresses that are this container's (the kernel's table of local routes).
fn network() -> Vec<String> {
    let devices = read("/proc/net/dev");
    let interfaces = devices.lines().skip(2).filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned());
    let table = read("/proc/net/fib_trie");
    let mut addresses: Vec<String> = Vec::new();
    let mut last = "";
    for line in table.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address;
        } else if line.contains("/32 host LOCAL") && !addresses.iter().any(|known| known == last) {
            addresses.push(last.to_owned());
        }
    }
    vec![interfaces.collect::<Vec<_>>().join(" "), addresses.join(" ")]
}
