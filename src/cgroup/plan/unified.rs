//! `linux.resources.unified`: files by their names.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::Write;

/// A value of several lines is written line by line, for the kernel takes one command in each write.
pub(super) fn writes(files: &BTreeMap<String, String>) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (file, value) in files {
        let field = format!("linux.resources.unified[{file:?}]");
        if file.contains('/') || !file.contains('.') || file.starts_with('.') || file.contains('\0') {
            bail!("{field}: this is not the name of a cgroup file, which is CONTROLLER.PARAMETER");
        }
        let mut lines = value.lines().filter(|line| !line.is_empty()).peekable();
        if lines.peek().is_none() {
            // An empty value resets cpuset.cpus and the like.
            writes.push(Write::new(file, "\n", &field));
        }
        writes.extend(lines.map(|line| Write::new(file, line, &field)));
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::super::{refusal, table};

    #[test]
    fn each_line_is_a_write() {
        assert_eq!(
            table(r#"{"unified":{"memory.high":"5","io.max":"8:0 rbps=1\n8:16 rbps=2\n","cpuset.cpus":""}}"#),
            ["cpuset.cpus = \n", "io.max = 8:0 rbps=1", "io.max = 8:16 rbps=2", "memory.high = 5"]
        );
    }

    #[test]
    fn only_files_of_the_group_itself() {
        for name in ["../memory.max", "a/b.max", "memory", "", ".", "..", ".x"] {
            let resources = serde_json::json!({ "unified": { name: "1" } }).to_string();
            assert!(refusal(&resources).starts_with("linux.resources.unified["), "{name}");
        }
    }
}
