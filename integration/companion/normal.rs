//! What is not the same in two runs of one program: ids, times, addresses; and what is the same but for the program's name.

use std::sync::LazyLock;

use regex_lite::Regex;

use super::Side;

/// What is looked for, and what stands in its place.
type Rule = (Regex, &'static str);

fn rules(all: &[(&str, &'static str)]) -> Vec<Rule> {
    all.iter().map(|(pattern, with)| (Regex::new(pattern).expect("a pattern"), *with)).collect()
}

static OF_BOTH: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    rules(&[
        (r"\b[0-9a-f]{64}\b", "ID"),
        (r"\b[0-9a-f]{12}\b", "SHORT-ID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "TIME"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC", "TIME"),
        (r"(Less than a second|About a minute|\d+ seconds?|\d+ minutes?)", "AGE"),
        (r"\b(10|172)\.\d+\.\d+\.\d+\b", "ADDRESS"),
        (r"\b02:42(:[0-9a-f]{2}){4}\b", "MAC"),
    ])
});

static OF_DOCKER: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    rules(&[
        // Its client says so when the container that it waits for doesn't start.
        (r#"(?m)^time="[^"]*" level=error msg="error waiting for container: context canceled"\n?"#, ""),
        (r#"\bdocker([ :'"])"#, "ctn$1"),
        // There is no daemon here, and every error is told in one way.
        ("Error response from daemon: ", ""),
    ])
});

/// The text without what differs by nature. Columns are of another width when what is in them is, and so have two blanks between them.
pub(super) fn normal(text: &str, side: Side) -> String {
    let mut text = text.to_owned();
    if side == Side::Docker {
        apply(&OF_DOCKER, &mut text);
    }
    apply(&OF_BOTH, &mut text);
    let plain = |line: &str| {
        // docker's `run` puts a full stop behind the daemon's words.
        let line = line.strip_prefix("ctn: ").map_or(line, |line| line.strip_suffix('.').unwrap_or(line));
        line.strip_prefix("Error: ").unwrap_or(line).trim_end().to_owned()
    };
    // A heading above ages is as wide as these.
    let lines: Vec<String> = text.lines().map(plain).collect();
    let has_ages = lines.iter().any(|line| line.contains("AGE"));
    lines.iter().map(|line| if has_ages { narrowed(line) } else { line.clone() } + "\n").collect()
}

fn apply(rules: &[Rule], text: &mut String) {
    for (pattern, with) in rules {
        *text = pattern.replace_all(text, *with).into_owned();
    }
}

fn narrowed(line: &str) -> String {
    let mut narrow = String::new();
    for cell in line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()) {
        if !narrow.is_empty() {
            narrow += "  ";
        }
        narrow += cell;
    }
    narrow
}
