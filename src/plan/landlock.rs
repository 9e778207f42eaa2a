//! Landlock, by an annotation of our own: the specification has nothing for it.
//!
//! `org.corten.landlock` lists what may be done below which paths of the container, `rx:/ rw:/tmp rw:/dev`: r is to read files and
//! list directories, w is to change both, and ioctl(2) on devices, x is to execute. All else fails with EACCES, for root, too.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::step::{Destination, Step};
use crate::sys::landlock::Access;

/// The annotation.
pub const ANNOTATION: &str = "org.corten.landlock";

/// The step that the annotation asks for.
pub fn landlock(annotations: &BTreeMap<String, String>) -> Result<Option<Step>> {
    let Some(text) = annotations.get(ANNOTATION) else { return Ok(None) };
    let mut rules = Vec::new();
    for rule in text.split_whitespace() {
        let Some((rights, path)) =
            rule.split_once(':').filter(|(_, path)| path.starts_with('/') && !path.contains('\0'))
        else {
            bail!("annotations[{ANNOTATION:?}]: {rule:?} is not RIGHTS:/PATH");
        };
        let mut access = Access::empty();
        for right in rights.chars() {
            access |= match right {
                'r' => Access::READ_FILE | Access::READ_DIR,
                'w' => Access::WRITE_FILE | Access::CHANGE_DIR | Access::REFER | Access::TRUNCATE | Access::IOCTL_DEV,
                'x' => Access::EXECUTE,
                _ => bail!("annotations[{ANNOTATION:?}]: {right:?} of {rule:?} is none of r, w and x"),
            };
        }
        if access.is_empty() {
            bail!("annotations[{ANNOTATION:?}]: {rule:?} allows nothing");
        }
        rules.push((access, Destination::new(path)));
    }
    if rules.is_empty() {
        bail!("annotations[{ANNOTATION:?}]: without a rule no program could be executed");
    }
    Ok(Some(Step::Landlock(rules)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> std::result::Result<Vec<(Access, String)>, String> {
        match landlock(&[(ANNOTATION.to_owned(), text.to_owned())].into()) {
            Ok(Some(Step::Landlock(rules))) => {
                Ok(rules.into_iter().map(|(access, path)| (access, path.absolute().to_owned())).collect())
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn off_without_the_annotation() {
        assert!(landlock(&BTreeMap::new()).unwrap().is_none());
    }

    #[test]
    fn rights_are_letters_before_a_path() {
        let read = Access::READ_FILE | Access::READ_DIR;
        let expected = [(read | Access::EXECUTE, "/".to_owned()), (Access::all() - Access::EXECUTE, "/a:b".to_owned())];
        assert_eq!(rules(" rx:/\n wr:/x/../a:b"), Ok(expected.to_vec()));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (text, reason) in [
            ("", "without a rule"),
            ("/tmp", "\"/tmp\" is not RIGHTS:/PATH"),
            ("rw:tmp", "is not RIGHTS:/PATH"),
            ("rwa:/tmp", "'a' of \"rwa:/tmp\""),
            (":/tmp", "allows nothing"),
        ] {
            let text = rules(text).unwrap_err();
            assert!(text.starts_with("annotations[\"org.corten.landlock\"]: ") && text.contains(reason), "{text}");
        }
    }
}
