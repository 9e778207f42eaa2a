//! Lists of manifests that are put together here, one file each below `manifests/`, until they are pushed as an index.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::{Store, file};
use crate::error::Attempt;
use crate::image::manifest::{Descriptor, Index};
use crate::image::media_type;
use crate::image::reference::Reference;

/// A list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// Its manifests, in the order in which they came.
    pub members: Vec<Member>,
}

/// One image of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Where it is from, by its full name.
    pub source: String,
    /// Its manifest, and whom it is for.
    pub descriptor: Descriptor,
}

impl List {
    /// Adds an image, in the place of what came from the same name.
    pub fn add(&mut self, member: Member) {
        match self.members.iter_mut().find(|other| other.source == member.source) {
            Some(known) => *known = member,
            None => self.members.push(member),
        }
    }

    /// The image that came from a name.
    pub fn member(&mut self, source: &Reference) -> Option<&mut Member> {
        let source = source.to_string();
        self.members.iter_mut().find(|member| member.source == source)
    }

    /// The index, in the family that all its manifests are of.
    pub fn index(&self) -> Result<(&'static str, Vec<u8>)> {
        let is_docker = |member: &Member| member.descriptor.media_type == media_type::DOCKER_MANIFEST;
        let all_docker = !self.members.is_empty() && self.members.iter().all(is_docker);
        let media_type = if all_docker { media_type::DOCKER_LIST } else { media_type::OCI_INDEX };
        let manifests = self.members.iter().map(|member| member.descriptor.clone()).collect();
        let index = Index { media_type: media_type.to_owned(), manifests, ..Index::default() };
        Ok((media_type, serde_json::to_vec_pretty(&index).context("write an index as JSON")?))
    }
}

/// What stands in a file's name as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

impl Store {
    fn lists(&self) -> PathBuf {
        self.path("manifests")
    }

    fn list_name(name: &Reference) -> String {
        format!("{}.json", utf8_percent_encode(&name.to_string(), PLAIN))
    }

    /// The list of a name, if there is one.
    pub fn list(&self, name: &Reference) -> Result<Option<List>> {
        let path = self.lists().join(Store::list_name(name));
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            read => {
                let bytes = read.attempt(|| format!("read {path:?}"))?;
                serde_json::from_slice(&bytes).map(Some).with_context(|| format!("{path:?} can't be read"))
            }
        }
    }

    /// Changes the list of a name, alone; without any it begins empty.
    pub fn change_list<T>(
        &self,
        name: &Reference,
        change: impl FnOnce(Option<List>) -> Result<(List, T)>,
    ) -> Result<T> {
        let _alone = self.lock(FlockOperation::LockExclusive)?;
        let (list, result) = change(self.list(name)?)?;
        let lists = self.lists();
        fs::create_dir_all(&lists).attempt(|| format!("make the directory {lists:?}"))?;
        file::write_whole(&lists, &Store::list_name(name), &serde_json::to_vec_pretty(&list)?)?;
        Ok(result)
    }

    /// Forgets a list; says whether there was one.
    pub fn forget_list(&self, name: &Reference) -> Result<bool> {
        let _alone = self.lock(FlockOperation::LockExclusive)?;
        self.remove_list(name)
    }

    /// The same, unless it has become another one.
    pub fn forget_list_as(&self, name: &Reference, known: &List) -> Result<bool> {
        let _alone = self.lock(FlockOperation::LockExclusive)?;
        Ok(self.list(name)?.as_ref() == Some(known) && self.remove_list(name)?)
    }

    fn remove_list(&self, name: &Reference) -> Result<bool> {
        let path = self.lists().join(Store::list_name(name));
        match fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            removed => removed.attempt(|| format!("remove {path:?}")).map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_of_the_family_of_its_manifests() {
        let member = |kind: &str| Member { source: kind.into(), descriptor: Descriptor::of(kind, kind.as_bytes()) };
        let mut list = List::default();
        list.add(member(media_type::DOCKER_MANIFEST));
        assert_eq!(list.index().unwrap().0, media_type::DOCKER_LIST);
        list.add(member(media_type::OCI_MANIFEST));
        assert_eq!(list.index().unwrap().0, media_type::OCI_INDEX);
        list.add(member(media_type::OCI_MANIFEST));
        assert_eq!(list.members.len(), 2);
        assert_eq!(Store::list_name(&"host:5/a/b:1".parse().unwrap()), "host%3A5%2Fa%2Fb%3A1.json");
    }
}
