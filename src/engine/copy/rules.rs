//! Docker's rules for what is copied where.

use anyhow::{Result, bail, ensure};

use crate::image::layer::path;

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The last component of its path; empty for a root.
    pub name: Vec<u8>,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Whether what is in it is meant, not the directory itself: the path ends with `/.`.
    pub is_content: bool,
}

/// What is at the target's path, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A directory.
    Directory,
    /// Something else.
    File,
    /// Nothing.
    Nothing,
}

/// Where the copy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The directory that it is made in, which must be there.
    pub directory: Vec<u8>,
    /// Its name; empty if the content of the source comes into the directory.
    pub name: Vec<u8>,
}

/// Where a copy is made; `says_directory` if the target's path, which is clean, was given with a slash at its end.
pub fn placed(source: &Source, path: &[u8], target: Target, says_directory: bool) -> Result<Placed> {
    let (parent, name) = path::split(path);
    let as_name = Placed { directory: parent.to_vec(), name: name.to_vec() };
    match target {
        Target::Directory => {
            let name = if source.is_directory && source.is_content { Vec::new() } else { source.name.clone() };
            Ok(Placed { directory: path.to_vec(), name })
        }
        Target::File if source.is_directory => bail!("cannot copy directory"),
        Target::File if says_directory => bail!("not a directory"),
        Target::File => Ok(as_name),
        Target::Nothing => {
            ensure!(source.is_directory || !says_directory, "no such directory");
            Ok(as_name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(is_directory: bool, is_content: bool, target: Target, says_directory: bool) -> String {
        let source = Source { name: b"src".to_vec(), is_directory, is_content };
        match placed(&source, b"a/dst", target, says_directory) {
            Ok(placed) => format!("{} {}", placed.directory.escape_ascii(), placed.name.escape_ascii()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn docker_s_table() {
        let file = |target, says| answer(false, false, target, says);
        assert_eq!(file(Target::Nothing, false), "a dst");
        assert_eq!(file(Target::Nothing, true), "no such directory");
        assert_eq!(file(Target::File, false), "a dst");
        assert_eq!(file(Target::File, true), "not a directory");
        assert_eq!(file(Target::Directory, false), "a/dst src");
        let directory = |content, target| answer(true, content, target, false);
        for content in [false, true] {
            assert_eq!(directory(content, Target::Nothing), "a dst");
            assert_eq!(directory(content, Target::File), "cannot copy directory");
        }
        assert_eq!(directory(false, Target::Directory), "a/dst src");
        assert_eq!(directory(true, Target::Directory), "a/dst ");
    }
}
