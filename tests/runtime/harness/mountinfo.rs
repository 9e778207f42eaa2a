//! /proc/PID/mountinfo, read: proc_pid_mountinfo(5).

/// One mount.
#[derive(Debug, Clone)]
pub struct Mount {
    pub point: String,
    /// The options of this mount, not of the file system.
    pub options: Vec<String>,
    /// `shared:N`, `master:N`, `unbindable`.
    pub propagation: Vec<String>,
    pub kind: String,
    pub source: String,
    /// The options of the file system.
    pub data: Vec<String>,
}

impl Mount {
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|found| found == option)
    }

    /// The propagation without the numbers of the groups: `private`, `shared`, `slave`, `shared slave`, `unbindable`.
    pub fn propagation(&self) -> String {
        let words = self.propagation.iter().filter_map(|field| match field.split(':').next() {
            Some("master") => Some("slave"),
            Some("propagate_from") => None,
            other => other,
        });
        let words: Vec<&str> = words.collect();
        if words.is_empty() { "private".to_owned() } else { words.join(" ") }
    }
}

/// The mounts of a table.
pub fn parse(table: &str) -> Vec<Mount> {
    table.lines().map(parse_line).collect()
}

/// The topmost mount at a path.
#[track_caller]
pub fn at(table: &str, point: &str) -> Mount {
    let found = parse(table).into_iter().rfind(|mount| mount.point == point);
    found.unwrap_or_else(|| panic!("nothing is mounted at {point}:\n{table}"))
}

fn parse_line(line: &str) -> Mount {
    let (front, back) = line.split_once(" - ").expect("a mountinfo line has a separator");
    let front: Vec<&str> = front.split(' ').collect();
    let back: Vec<&str> = back.split(' ').collect();
    let words = |text: &str| text.split(',').map(str::to_owned).collect();
    Mount {
        point: front[4].to_owned(),
        options: words(front[5]),
        propagation: front[6..].iter().map(|field| (*field).to_owned()).collect(),
        kind: back[0].to_owned(),
        source: back[1].to_owned(),
        data: words(back.get(2).unwrap_or(&"")),
    }
}
