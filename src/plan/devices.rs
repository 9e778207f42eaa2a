//! `linux.devices`, the nodes that every container has, and the links beside them (config-linux.md, "Default Devices").

use anyhow::{Result, bail};

use super::namespaces::{Kind, Wanted};
use super::step::{AttributeChange, Bind, Destination, DeviceNode, Follow, OnProc, Source, Step, c_string};
use super::{Host, Preparation, Preparations, TreeCopy};
use crate::spec::{Device, Spec};

/// Path, major and minor number; all character devices with mode 0666.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/random", 1, 8),
    ("/dev/full", 1, 7),
    ("/dev/tty", 5, 0),
    ("/dev/zero", 1, 5),
    ("/dev/urandom", 1, 9),
];

/// The steps that fill `/dev`.
pub fn devices(spec: &Spec, wanted: &Wanted, host: &Host, preparations: &mut Preparations) -> Result<Vec<Step>> {
    let mut nodes: Vec<DeviceNode> = Vec::new();
    for (index, device) in spec.linux.devices.iter().enumerate() {
        nodes.push(node(device, &format!("linux.devices[{index}]"))?);
    }
    for (path, major, minor) in DEFAULT {
        let path = Destination::new(path);
        if nodes.iter().any(|node| node.path == path) {
            continue;
        }
        nodes.push(DeviceNode {
            path,
            kind: libc::S_IFCHR,
            number: (major, minor),
            mode: 0o666,
            owner: (0, 0),
            field: String::new(),
        });
    }
    let by_bind = wanted.has(Kind::User) || !host.initial_user_namespace;
    let mut steps: Vec<Step> = nodes
        .into_iter()
        .map(|node| {
            if by_bind && node.kind != libc::S_IFIFO {
                bind(node, host, wanted, preparations)
            } else {
                Step::MakeDevice(node)
            }
        })
        .collect();
    steps.extend(links(host));
    Ok(steps)
}

fn node(device: &Device, at: &str) -> Result<DeviceNode> {
    let kind = match device.kind.as_str() {
        "c" | "u" => libc::S_IFCHR,
        "b" => libc::S_IFBLK,
        "p" => libc::S_IFIFO,
        other => bail!("{at}.type: {other:?} is not c, u, b or p"),
    };
    if Destination::new(&device.path).is_root() {
        bail!("{at}.path: {:?} is the root itself", device.path);
    }
    // A fifo has no numbers; the specification allows them to be there all the same.
    let number = if kind == libc::S_IFIFO {
        (0, 0)
    } else {
        (number(device.major, at, "major", MOST_MAJOR)?, number(device.minor, at, "minor", MOST_MINOR)?)
    };
    let mode = device.file_mode.unwrap_or(0o666) & 0o7777;
    let owner = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
    Ok(DeviceNode { path: Destination::new(&device.path), kind, number, mode, owner, field: at.to_owned() })
}

/// The kernel's device numbers have 12 bits and 20 bits (MINORBITS in include/linux/kdev_t.h); of a larger one mknod(2) would take
/// the lower bits, which are another device's.
const MOST_MAJOR: u32 = (1 << 12) - 1;
const MOST_MINOR: u32 = (1 << 20) - 1;

fn number(value: Option<i64>, at: &str, field: &str, most: u32) -> Result<u32> {
    let Some(value) = value else { bail!("{at}.{field}: is missing") };
    match u32::try_from(value) {
        Ok(number) if number <= most => Ok(number),
        _ => bail!("{at}.{field}: {value} is not a device number, which is 0 to {most}"),
    }
}

/// In a user namespace mknod(2) of a device is refused, so the host's node of the same path is bound.
fn bind(node: DeviceNode, host: &Host, wanted: &Wanted, preparations: &mut Preparations) -> Step {
    let path = c_string(&node.path.absolute());
    let slot = (host.privileged && wanted.has(Kind::User)).then(|| {
        preparations.add(Preparation::CopyTree(TreeCopy {
            path: path.clone(),
            recursive: false,
            propagation: super::step::Propagation { kind: libc::MS_PRIVATE, recursive: false },
            follow: true,
            id_map: None,
        }))
    });
    Step::BindMount(Bind {
        field: node.field,
        source: Source { path, slot },
        destination: node.path,
        recursive: false,
        change: AttributeChange::default(),
        change_all: AttributeChange::default(),
        propagation: Vec::new(),
        on_proc: OnProc::Refused,
        follow: Follow { source: true, destination: true },
    })
}

fn links(host: &Host) -> Vec<Step> {
    let mut links = vec![
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
    ];
    if host.has_kcore {
        links.push(("/dev/core", "/proc/kcore"));
    }
    links
        .into_iter()
        .map(|(path, target)| Step::Symlink { path: Destination::new(path), target: c_string(target) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kind: &str) -> Device {
        Device { kind: kind.into(), path: "/dev/x".into(), major: Some(1), minor: Some(3), ..Device::default() }
    }

    #[test]
    fn a_fifo_has_no_numbers() {
        let fifo = node(&device("p"), "linux.devices[0]").unwrap();
        assert_eq!((fifo.kind, fifo.number), (libc::S_IFIFO, (0, 0)));
        let character = node(&device("u"), "linux.devices[0]").unwrap();
        assert_eq!((character.kind, character.number, character.mode), (libc::S_IFCHR, (1, 3), 0o666));
    }

    #[test]
    fn an_unknown_type_or_number_is_refused() {
        let text = node(&device("x"), "linux.devices[0]").unwrap_err().to_string();
        assert_eq!(text, "linux.devices[0].type: \"x\" is not c, u, b or p");
        let negative = Device { major: Some(-1), ..device("c") };
        let text = node(&negative, "d").unwrap_err().to_string();
        assert_eq!(text, "d.major: -1 is not a device number, which is 0 to 4095");
        // Its lower bits are those of /dev/null.
        let null = Device { minor: Some((1 << 20) + 3), ..device("c") };
        let text = node(&null, "d").unwrap_err().to_string();
        assert_eq!(text, "d.minor: 1048579 is not a device number, which is 0 to 1048575");
    }
}
