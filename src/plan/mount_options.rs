//! The options of a mount: config.md, "Linux mount options", and the few that runc and crun add.

use anyhow::{Result, bail};

use super::step::{AttributeChange, Follow, Parameter, Propagation, c_string};

/// What a list of options asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `bind` or `rbind`.
    pub bind: bool,
    /// `rbind`.
    pub recursive: bool,
    /// `remount`.
    pub remount: bool,
    /// Of the one mount.
    pub change: AttributeChange,
    /// Of the mount and all below (`rro` and its relatives).
    pub change_all: AttributeChange,
    /// In the order given.
    pub propagation: Vec<Propagation>,
    /// Of the superblock, and everything that is not known: for the file system.
    pub parameters: Vec<Parameter>,
    /// `tmpcopyup`.
    pub copy_up: bool,
    /// `idmap` (false) or `ridmap` (true), with crun's own maps behind `=`.
    pub id_map: Option<IdMap>,
    /// `src-nofollow`, `dest-nofollow`.
    pub follow: Follow,
}

/// `idmap[=uids=C-H-S#…;gids=…]` and `ridmap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// With all below.
    pub recursive: bool,
    /// What follows `=`, not parsed.
    pub custom: Option<String>,
}

/// Attributes that are a flag: its name, and the name that clears it.
const FLAGS: [(u64, &str, &str); 6] = super::step::ATTRIBUTE_NAMES;

/// Access-time attributes are one field of several values (mount_setattr(2)): name, value.
const ACCESS_TIMES: [(&str, u64); 6] = [
    ("relatime", libc::MOUNT_ATTR_RELATIME),
    ("noatime", libc::MOUNT_ATTR_NOATIME),
    ("strictatime", libc::MOUNT_ATTR_STRICTATIME),
    // What is cleared leaves the kernel's default.
    ("atime", libc::MOUNT_ATTR_RELATIME),
    ("norelatime", libc::MOUNT_ATTR_STRICTATIME),
    ("nostrictatime", libc::MOUNT_ATTR_RELATIME),
];

/// Settings of the superblock that fsconfig(2) knows for every file system, and ones that only some know.
const SUPERBLOCK: [(&str, bool); 13] = [
    ("sync", false),
    ("async", false),
    ("dirsync", false),
    ("lazytime", false),
    ("nolazytime", false),
    ("mand", true),
    ("nomand", true),
    ("iversion", true),
    ("noiversion", true),
    ("acl", true),
    ("noacl", true),
    ("silent", true),
    ("loud", true),
];

/// Every option with a meaning of ours, for `features`.
pub fn known() -> Vec<String> {
    let mut names: Vec<String> =
        ["bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap", "defaults"].map(String::from).into();
    for (_, set, clear) in FLAGS {
        names.extend([set.to_owned(), clear.to_owned(), format!("r{set}"), format!("r{clear}")]);
    }
    for (name, _) in ACCESS_TIMES {
        names.extend([name.to_owned(), format!("r{name}")]);
    }
    names.extend(SUPERBLOCK.iter().map(|(name, _)| (*name).to_owned()));
    for (name, _) in PROPAGATIONS {
        names.extend([name.to_owned(), format!("r{name}")]);
    }
    names.sort();
    names
}

const PROPAGATIONS: [(&str, u64); 4] = [
    ("shared", libc::MS_SHARED),
    ("slave", libc::MS_SLAVE),
    ("private", libc::MS_PRIVATE),
    ("unbindable", libc::MS_UNBINDABLE),
];

/// Reads `rootfsPropagation` or a propagation option.
pub fn propagation(name: &str) -> Option<Propagation> {
    let find = |name: &str| PROPAGATIONS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    find(name)
        .map(|kind| Propagation { kind, recursive: false })
        .or_else(|| Some(Propagation { kind: find(name.strip_prefix('r')?)?, recursive: true }))
}

/// Reads a list of options; `at` is its JSON path.
pub fn parse(options: &[String], at: &str) -> Result<Options> {
    let mut parsed = Options {
        bind: false,
        recursive: false,
        remount: false,
        change: AttributeChange::default(),
        change_all: AttributeChange::default(),
        propagation: Vec::new(),
        parameters: Vec::new(),
        copy_up: false,
        id_map: None,
        follow: Follow { source: true, destination: true },
    };
    for (index, option) in options.iter().enumerate() {
        // podman --systemd leaves one empty, which the kernel's own parsers of such lists pass over as well.
        if option.is_empty() || parsed.set_mode(option) || parsed.set_attribute(option) {
            continue;
        }
        if let Some(propagation) = propagation(option) {
            parsed.propagation.push(propagation);
            continue;
        }
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key, Some(c_string(value))),
            None => (option.as_str(), None),
        };
        if key.is_empty() {
            bail!("{at}[{index}]: {option:?} is not an option");
        }
        let optional = value.is_none() && SUPERBLOCK.contains(&(key, true));
        parsed.parameters.push(Parameter { key: c_string(key), value, optional });
    }
    Ok(parsed)
}

impl Options {
    /// Options that change what is done; false if `option` is none of them.
    fn set_mode(&mut self, option: &str) -> bool {
        match option {
            "defaults" => {}
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "src-nofollow" => self.follow.source = false,
            "dest-nofollow" => self.follow.destination = false,
            _ => {
                let (name, custom) = match option.split_once('=') {
                    Some((name, custom)) => (name, Some(custom.to_owned())),
                    None => (option, None),
                };
                if !matches!(name, "idmap" | "ridmap") {
                    return false;
                }
                self.id_map = Some(IdMap { recursive: name == "ridmap", custom });
            }
        }
        true
    }

    /// Options that are attributes of the mount, or with `r` before of all its tree; false if `option` is none of them.
    fn set_attribute(&mut self, option: &str) -> bool {
        if apply(&mut self.change, option) {
            return true;
        }
        option.strip_prefix('r').is_some_and(|plain| apply(&mut self.change_all, plain))
    }
}

/// The last of contradicting options wins, as in mount(8).
fn apply(change: &mut AttributeChange, name: &str) -> bool {
    for (flag, set, clear) in FLAGS {
        if name == set {
            change.set |= flag;
            change.clear &= !flag;
            return true;
        }
        if name == clear {
            change.set &= !flag;
            change.clear |= flag;
            return true;
        }
    }
    let Some((_, value)) = ACCESS_TIMES.iter().find(|(known, _)| *known == name) else { return false };
    // mount_setattr(2): whoever changes the field clears all of it first.
    change.set = change.set & !libc::MOUNT_ATTR__ATIME | value;
    change.clear |= libc::MOUNT_ATTR__ATIME;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[&str]) -> Options {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        parse(&options, "mounts[0].options").unwrap()
    }

    #[test]
    fn the_last_of_a_contradiction_wins() {
        assert_eq!(of(&["ro", "rw"]).change, AttributeChange { set: 0, clear: libc::MOUNT_ATTR_RDONLY });
        assert_eq!(of(&["suid", "nosuid"]).change, AttributeChange { set: libc::MOUNT_ATTR_NOSUID, clear: 0 });
        let times = of(&["noatime", "strictatime"]).change;
        assert_eq!(times, AttributeChange { set: libc::MOUNT_ATTR_STRICTATIME, clear: libc::MOUNT_ATTR__ATIME });
    }

    #[test]
    fn recursive_attributes_are_kept_apart() {
        let options = of(&["rbind", "rro", "rnosuid", "nodev"]);
        assert!(options.bind && options.recursive);
        assert_eq!(options.change.set, libc::MOUNT_ATTR_NODEV);
        assert_eq!(options.change_all.set, libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID);
        assert_eq!(of(&["rrelatime"]).change_all.clear, libc::MOUNT_ATTR__ATIME);
        assert_eq!(of(&["rsymfollow"]).change_all.clear, libc::MOUNT_ATTR_NOSYMFOLLOW);
    }

    #[test]
    fn propagation_is_not_taken_for_a_recursive_attribute() {
        let options = of(&["rprivate", "shared", "rslave"]);
        let expected = [(libc::MS_PRIVATE, true), (libc::MS_SHARED, false), (libc::MS_SLAVE, true)];
        assert_eq!(options.propagation, expected.map(|(kind, recursive)| Propagation { kind, recursive }));
    }

    #[test]
    fn what_is_not_known_goes_to_the_file_system() {
        let options = of(&["size=64k", "mode=1777", "newinstance", "sync", "acl"]);
        let keys: Vec<_> = options.parameters.iter().map(|p| (p.key.to_str().unwrap(), p.optional)).collect();
        assert_eq!(keys, [("size", false), ("mode", false), ("newinstance", false), ("sync", false), ("acl", true)]);
    }

    #[test]
    fn an_empty_option_is_none_and_one_without_a_name_is_refused() {
        assert!(of(&["", "size=64k", ""]).parameters.len() == 1);
        assert!(parse(&["=64k".to_owned()], "mounts[0].options").is_err());
    }

    #[test]
    fn id_maps_of_both_kinds() {
        assert_eq!(of(&["idmap"]).id_map, Some(IdMap { recursive: false, custom: None }));
        let custom = Some("uids=0-1-2".to_owned());
        assert_eq!(of(&["ridmap=uids=0-1-2"]).id_map, Some(IdMap { recursive: true, custom }));
    }

    #[test]
    fn every_option_of_the_specification_is_known() {
        let known = known();
        for name in
            ["ro", "rro", "rrw", "rnosymfollow", "rnorelatime", "rstrictatime", "runbindable", "nomand", "diratime"]
        {
            assert!(known.iter().any(|option| option == name), "{name}");
        }
    }
}
