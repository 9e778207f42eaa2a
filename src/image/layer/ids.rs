//! Ids of files that are others inside of a user namespace than outside: of owners, and of what extended attributes say of users.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use super::attributes::{Attributes, DEFAULT_ACL};

const ACL: &[u8] = b"system.posix_acl_access";
const CAPABILITY: &[u8] = b"security.capability";
/// The lengths of its versions 3 and 2.
const WITH_ROOT: usize = 24;
const WITHOUT_ROOT: usize = 20;

/// How ids of an image become ids of this machine; without ranges they are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMaps {
    /// Users.
    pub users: Vec<IdRange>,
    /// Groups.
    pub groups: Vec<IdRange>,
}

/// A range of ids: in the container, on the host, how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first in the container.
    pub container: u32,
    /// The first on the host.
    pub host: u32,
    /// How many.
    pub length: u32,
}

/// `CONTAINER:HOST:LENGTH`.
impl FromStr for IdRange {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<IdRange> {
        let numbers: Option<Vec<u32>> = text.split(':').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[container, host, length]) => Ok(IdRange { container, host, length }),
            _ => bail!("{text:?} is no range of ids: CONTAINER:HOST:LENGTH is wanted"),
        }
    }
}

/// What has an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    User,
    Group,
}

impl IdMaps {
    /// Whether all ids stay what they are.
    pub fn is_identity(&self) -> bool {
        self.users.iter().chain(&self.groups).all(|range| range.container == range.host)
    }

    /// Root of the container, as the machine has it: of the machine itself where the container has none.
    pub fn root(&self) -> (u32, u32) {
        (self.to_host(Of::User, 0).unwrap_or(0), self.to_host(Of::Group, 0).unwrap_or(0))
    }

    /// A user and a group of the container, as the machine has them.
    pub fn owner(&self, uid: u32, gid: u32) -> Result<(u32, u32)> {
        Ok((self.to_host(Of::User, uid)?, self.to_host(Of::Group, gid)?))
    }

    /// Whether user and group have ids in the container.
    pub fn has_owner(&self, uid: u32, gid: u32) -> bool {
        self.to_container(Of::User, uid).is_ok() && self.to_container(Of::Group, gid).is_ok()
    }

    /// The id on the machine of a user of the container.
    fn to_host(&self, of: Of, id: u32) -> Result<u32> {
        let other = |range: &IdRange| moved(id, range.container, range.host, range.length);
        self.found(of, id, other)
            .with_context(|| format!("the {} {id} of the container has no id on the machine", of.word()))
    }

    /// The id in the container of a user of the machine.
    fn to_container(&self, of: Of, id: u32) -> Result<u32> {
        let other = |range: &IdRange| moved(id, range.host, range.container, range.length);
        self.found(of, id, other)
            .with_context(|| format!("the {} {id} of the machine has no id in the container", of.word()))
    }

    fn found(&self, of: Of, id: u32, other: impl Fn(&IdRange) -> Option<u32>) -> Option<u32> {
        let ranges = if of == Of::User { &self.users } else { &self.groups };
        if ranges.is_empty() { Some(id) } else { ranges.iter().find_map(other) }
    }

    fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// What is the container's, as the machine has it.
    pub fn on_host(&self, attributes: Attributes) -> Result<Attributes> {
        let mut wanted = self.changed(attributes, |of, id| self.to_host(of, id))?;
        if let Some(capabilities) = wanted.xattrs.get_mut(CAPABILITY) {
            name_root(capabilities, self.root().0);
        }
        Ok(wanted)
    }

    /// What is the machine's, as the container has it.
    pub fn in_container(&self, attributes: Attributes) -> Result<Attributes> {
        self.changed(attributes, |of, id| self.to_container(of, id))
    }

    /// The owners in the container of what is on the machine.
    pub(super) fn owners_in_container(&self, stat: &mut Stat) -> Result<()> {
        if !self.is_empty() {
            stat.st_uid = self.to_container(Of::User, stat.st_uid)?;
            stat.st_gid = self.to_container(Of::Group, stat.st_gid)?;
        }
        Ok(())
    }

    /// The same of extended attributes.
    pub(super) fn xattrs_in_container(&self, xattrs: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Result<()> {
        if self.is_empty() { Ok(()) } else { change_xattrs(xattrs, &|of, id| self.to_container(of, id)) }
    }

    fn changed(&self, mut wanted: Attributes, id: impl Fn(Of, u32) -> Result<u32>) -> Result<Attributes> {
        if self.is_empty() {
            return Ok(wanted);
        }
        (wanted.uid, wanted.gid) = (id(Of::User, wanted.uid)?, id(Of::Group, wanted.gid)?);
        change_xattrs(&mut wanted.xattrs, &id)?;
        Ok(wanted)
    }
}

impl Of {
    fn word(self) -> &'static str {
        match self {
            Of::User => "user",
            Of::Group => "group",
        }
    }
}

fn moved(id: u32, from: u32, to: u32, length: u32) -> Option<u32> {
    let offset = id.checked_sub(from).filter(|offset| *offset < length)?;
    to.checked_add(offset)
}

fn change_xattrs(xattrs: &mut BTreeMap<Vec<u8>, Vec<u8>>, id: &dyn Fn(Of, u32) -> Result<u32>) -> Result<()> {
    for (name, value) in xattrs {
        match &name[..] {
            ACL | DEFAULT_ACL => change_acl(value, id)?,
            CAPABILITY => change_capabilities(value, id),
            _ => {}
        }
    }
    Ok(())
}

/// acl(5) as linux/posix_acl_xattr.h has it: a version, then entries of tag, permissions and id, of which two kinds have one.
fn change_acl(value: &mut [u8], id: &dyn Fn(Of, u32) -> Result<u32>) -> Result<()> {
    const HEADER: usize = 4;
    for entry in value.get_mut(HEADER..).unwrap_or_default().chunks_exact_mut(8) {
        let of = match u16::from_le_bytes([entry[0], entry[1]]) {
            0x02 => Of::User,
            0x08 => Of::Group,
            _ => continue,
        };
        let own = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        entry[4..].copy_from_slice(&id(of, own)?.to_le_bytes());
    }
    Ok(())
}

/// Capabilities that hold in a user namespace alone name its root (capabilities(7), version 3). Those of the container's root are what
/// version 2 says of root.
fn change_capabilities(value: &mut Vec<u8>, id: &dyn Fn(Of, u32) -> Result<u32>) {
    if value.len() != WITH_ROOT || value[3] != 3 {
        return;
    }
    let root = u32::from_le_bytes([value[20], value[21], value[22], value[23]]);
    match id(Of::User, root) {
        Ok(0) => {
            value.truncate(WITHOUT_ROOT);
            value[3] = 2;
        }
        Ok(root) => value[WITHOUT_ROOT..].copy_from_slice(&root.to_le_bytes()),
        Err(_) => {}
    }
}

/// What an image says of its root holds in the container's user namespace. Without the name it would be of the machine's root, whom a mount
/// that maps ids refuses (`cap_convert_nscap()` in security/commoncap.c).
fn name_root(value: &mut Vec<u8>, root: u32) {
    if root != 0 && value.len() == WITHOUT_ROOT && value[3] == 2 {
        value[3] = 3;
        value.extend(root.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tar::Time;

    fn maps() -> IdMaps {
        let ranges =
            |host| vec![IdRange { container: 0, host, length: 10 }, IdRange { container: 20, host: 5, length: 1 }];
        IdMaps { users: ranges(1000), groups: ranges(2000) }
    }

    fn attributes(uid: u32, gid: u32, xattrs: &[(&[u8], Vec<u8>)]) -> Attributes {
        let xattrs = xattrs.iter().map(|(name, value)| (name.to_vec(), value.clone())).collect();
        Attributes { mode: 0o644, uid, gid, modified: Time::default(), xattrs }
    }

    fn acl(user: u32, group: u32) -> Vec<u8> {
        let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &7u16.to_le_bytes(), &id.to_le_bytes()].concat();
        [&2u32.to_le_bytes()[..], &entry(1, u32::MAX), &entry(2, user), &entry(8, group), &entry(0x20, u32::MAX)]
            .concat()
    }

    #[test]
    fn both_ways() {
        let inside = attributes(3, 20, &[(ACL, acl(9, 1)), (b"user.x", b"1".to_vec())]);
        let outside = attributes(1003, 5, &[(ACL, acl(1009, 2001)), (b"user.x", b"1".to_vec())]);
        assert_eq!(maps().on_host(inside.clone()).unwrap(), outside);
        assert_eq!(maps().in_container(outside.clone()).unwrap(), inside);
        assert_eq!(IdMaps::default().in_container(outside.clone()).unwrap(), outside);
    }

    #[test]
    fn who_is_not_mapped() {
        let error = |answer: Result<Attributes>| answer.unwrap_err().to_string();
        assert_eq!(
            error(maps().on_host(attributes(10, 0, &[]))),
            "the user 10 of the container has no id on the machine"
        );
        assert_eq!(
            error(maps().in_container(attributes(1000, 7, &[]))),
            "the group 7 of the machine has no id in the container"
        );
        assert!(error(maps().on_host(attributes(0, 0, &[(DEFAULT_ACL, acl(50, 0))]))).starts_with("the user 50 of"));
    }

    #[test]
    fn capabilities_of_the_containers_root_are_an_images() {
        let capabilities = |version: u8, root: &[u8]| [&[1, 0, 0, version][..], &[9; 16], root].concat();
        let of = |root: u32| attributes(1000, 2000, &[(CAPABILITY, capabilities(3, &root.to_le_bytes()))]);
        let found = |root| maps().in_container(of(root)).unwrap().xattrs[CAPABILITY].clone();
        assert_eq!(found(1000), capabilities(2, &[]));
        assert_eq!(found(1001), capabilities(3, &1u32.to_le_bytes()));
        assert_eq!(found(77), capabilities(3, &77u32.to_le_bytes()));
        let image = attributes(0, 0, &[(CAPABILITY, capabilities(2, &[]))]);
        let there = maps().on_host(image.clone()).unwrap();
        assert_eq!(there, of(1000));
        assert_eq!(maps().in_container(there).unwrap(), image);
        assert_eq!(IdMaps::default().on_host(image.clone()).unwrap(), image);
    }

    #[test]
    fn any_bytes_are_looked_at() {
        for value in [vec![], vec![3], vec![2; 13], vec![3; 24], vec![255; 24]] {
            let any = attributes(1000, 2000, &[(ACL, value.clone()), (CAPABILITY, value)]);
            let _ = maps().in_container(any);
        }
    }
}
