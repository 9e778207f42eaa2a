//! From an image's configuration to a runtime's (image-spec, conversion.md).

use std::io::Read;

use anyhow::{Context, Result, bail};
use rustix::fs::FileType;
use serde_json::{Value, json};

use super::config::Config;
use super::layer::Stack;
use super::layer::copy::IdMaps;
use super::layer::stack::Found;
use crate::spec::template;

/// Where programs are looked for when the image doesn't say.
pub(crate) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// docker's default set.
pub(crate) const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
/// Bytes that an image's passwd or group may have: an image may be hostile.
pub(crate) const LARGEST_FILE: u64 = 1 << 20;

/// What the caller wants beside what the image says.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// A terminal for the process.
    pub terminal: bool,
    /// How ids are mapped; a user namespace if they are.
    pub ids: IdMaps,
    /// The container is an ordinary user's.
    pub rootless: bool,
}

/// A `config.json` that runs the image.
pub fn config(image: &Config, files: &Stack, wishes: &Wishes) -> Result<Value> {
    let run = &image.config;
    let template = if wishes.rootless { template::rootless(0, 0) } else { template::CONFIG.to_owned() };
    let mut config: Value = serde_json::from_str(&template).context("the template is JSON")?;
    let user = User::of(&run.user, files).with_context(|| format!("the image's user {:?}", run.user))?;
    let mut environment = run.env.clone();
    let has = |environment: &[String], name: &str| environment.iter().any(|line| line.starts_with(name));
    if !has(&environment, "PATH=") {
        environment.insert(0, PATH.into());
    }
    if !has(&environment, "HOME=") {
        environment.push(format!("HOME={}", user.home));
    }
    if wishes.terminal && !has(&environment, "TERM=") {
        environment.push("TERM=xterm".into());
    }
    let mut arguments = [&run.entrypoint[..], &run.cmd[..]].concat();
    if arguments.is_empty() {
        arguments.push("sh".into());
    }
    let directory = if run.working_dir.is_empty() { "/" } else { &run.working_dir };
    let process = &mut config["process"];
    process["terminal"] = wishes.terminal.into();
    process["user"] = json!({"uid": user.uid, "gid": user.gid, "additionalGids": user.groups});
    process["args"] = arguments.into();
    process["env"] = environment.into();
    process["cwd"] = directory.into();
    process["noNewPrivileges"] = false.into();
    for set in ["bounding", "effective", "permitted"] {
        process["capabilities"][set] = json!(CAPABILITIES);
    }
    config["root"] = json!({"path": "rootfs"});
    config["annotations"] = annotations(image);
    if !wishes.ids.users.is_empty() {
        let ranges = |ranges: &[super::layer::copy::IdRange]| -> Vec<Value> {
            let range = |range: &super::layer::copy::IdRange| json!({"containerID": range.container, "hostID": range.host, "size": range.length});
            ranges.iter().map(range).collect()
        };
        config["linux"]["uidMappings"] = ranges(&wishes.ids.users).into();
        config["linux"]["gidMappings"] = ranges(&wishes.ids.groups).into();
        if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut().filter(|_| !wishes.rootless) {
            namespaces.push(json!({"type": "user"}));
        }
    }
    Ok(config)
}

fn annotations(image: &Config) -> Value {
    let mut annotations: serde_json::Map<String, Value> =
        image.config.labels.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    let ports = image.config.exposed_ports.keys().cloned().collect::<Vec<_>>().join(",");
    for (key, value) in [
        ("os", &image.os),
        ("architecture", &image.architecture),
        ("variant", &image.variant),
        ("author", &image.author),
        ("created", image.created.as_ref().unwrap_or(&String::new())),
        ("stopSignal", &image.config.stop_signal),
        ("exposedPorts", &ports),
    ] {
        if !value.is_empty() {
            // Labels of the image win.
            annotations.entry(format!("org.opencontainers.image.{key}")).or_insert(value.clone().into());
        }
    }
    annotations.into()
}

/// Whom a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: String,
}

impl User {
    /// `[user[:group]]` by names or numbers, looked up in the image's files. A group that is given leaves the others out.
    pub fn of(text: &str, files: &Stack) -> Result<User> {
        User::looked_up(text, &read(files, b"etc/passwd")?, &read(files, b"etc/group")?)
    }

    fn looked_up(text: &str, passwd: &str, group: &str) -> Result<User> {
        let (user, wanted_group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (text, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let number = user.parse::<u32>().ok();
        let entry =
            lines(passwd, 7).find(|fields| fields[0] == user || number.is_some_and(|uid| fields[2].parse() == Ok(uid)));
        let mut found = match (&entry, number) {
            (Some(fields), _) => {
                let id = |at: usize, what: &str| {
                    fields[at].parse::<u32>().with_context(|| format!("{user:?} has no {what} in /etc/passwd"))
                };
                let (uid, gid) = (id(2, "number")?, id(3, "group")?);
                User { uid, gid, groups: Vec::new(), home: fields[5].to_owned() }
            }
            (None, Some(uid)) => User { uid, gid: 0, groups: Vec::new(), home: "/".into() },
            (None, None) => bail!("unable to find user {user}: no matching entries in passwd file"),
        };
        if found.home.is_empty() {
            found.home = "/".into();
        }
        if let Some(wanted) = wanted_group {
            let number = wanted.parse::<u32>().ok();
            let entry = lines(group, 3).find(|fields| fields[0] == wanted).and_then(|fields| fields[2].parse().ok());
            found.gid = entry
                .or(number)
                .with_context(|| format!("unable to find group {wanted}: no matching entries in group file"))?;
        } else if let Some(fields) = entry {
            let member =
                |line: &Vec<&str>| line.get(3).is_some_and(|names| names.split(',').any(|name| name == fields[0]));
            found.groups = lines(group, 3).filter(member).filter_map(|line| line[2].parse().ok()).collect();
        }
        Ok(found)
    }
}

/// The lines of passwd(5) or group(5) that have all fields.
fn lines(text: &str, fields: usize) -> impl Iterator<Item = Vec<&str>> {
    let split = |line: &'_ str| !line.starts_with('#');
    text.lines()
        .filter(move |line| split(line))
        .map(|line| line.trim().split(':').collect::<Vec<_>>())
        .filter(move |line| line.len() >= fields)
}

/// A file of the image, links followed inside of it; nothing if there is none.
fn read(files: &Stack, path: &[u8]) -> Result<String> {
    let shown = crate::image::tar::shown(path);
    let Some(Found::Other(other)) = files.resolve(path)? else { return Ok(String::new()) };
    if other.kind() != FileType::RegularFile {
        bail!("the image's {shown} is no regular file");
    }
    if other.stat.st_size as u64 > LARGEST_FILE {
        bail!("the image's {shown} has more than {LARGEST_FILE} bytes");
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::from(other.open()?);
    file.take(LARGEST_FILE).read_to_end(&mut bytes).with_context(|| format!("read the image's {shown}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# comment\nweb:x:33:34:web:/var/www:/bin/sh\nbroken:x\n12:x:99:98::/n:\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlog:x:4:web,other\naudio:x:29:web\n";

    fn user(text: &str) -> Result<(u32, u32, Vec<u32>, String)> {
        User::looked_up(text, PASSWD, GROUP).map(|user| (user.uid, user.gid, user.groups, user.home))
    }

    #[test]
    fn users_are_found_as_the_image_specification_says() {
        for (text, wanted) in [
            ("", (0, 0, vec![], "/root")),
            ("web", (33, 34, vec![4, 29], "/var/www")),
            ("33", (33, 34, vec![4, 29], "/var/www")),
            ("web:log", (33, 4, vec![], "/var/www")),
            ("web:7", (33, 7, vec![], "/var/www")),
            ("1000", (1000, 0, vec![], "/")),
            ("1000:1001", (1000, 1001, vec![], "/")),
            (":log", (0, 4, vec![], "/root")),
        ] {
            let (uid, gid, groups, home) = wanted;
            assert_eq!(user(text).unwrap(), (uid, gid, groups, home.to_owned()), "{text:?}");
        }
        assert!(user("nobody").unwrap_err().to_string().contains("unable to find user nobody"));
        assert!(user("web:none").is_err());
    }
}
