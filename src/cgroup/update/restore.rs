//! What to write to put a file back to what it says now.

/// Files that have one line for each device or resource, and what stands for a line that is not there.
const KEYED: [(&str, Option<&str>); 6] = [
    ("io.max", Some("rbps=max wbps=max riops=max wiops=max")),
    ("io.weight", Some("default")),
    ("io.bfq.weight", Some("default")),
    ("io.latency", Some("target=0")),
    ("rdma.max", Some("hca_handle=max hca_object=max")),
    ("misc.max", Some("max")),
];

/// The value that takes back a write of `value` into a file that says `current`; none where the kernel does not take what
/// it shows.
pub(super) fn value(file: &str, value: &str, current: &str) -> Option<String> {
    let (first, _) = value.split_once(' ').unwrap_or(("default", value));
    let line = |key: &str| current.lines().find(|line| line.split(' ').next() == Some(key)).map(str::to_owned);
    if let Some((_, absent)) = KEYED.iter().find(|(name, _)| *name == file) {
        return line(first).or_else(|| absent.map(|absent| format!("{first} {absent}")));
    }
    let mut lines = current.lines();
    match (file, lines.next(), lines.next()) {
        // An idle group shows no weight; putting cpu.idle back is enough.
        ("cpu.weight", Some("0"), None) => None,
        (_, None, _) => Some("\n".to_owned()),
        (_, Some(only), None) => Some(if only.is_empty() { "\n".to_owned() } else { only.to_owned() }),
        (_, Some(_), Some(_)) => line(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_is_what_puts_it_back() {
        for (file, written, current, expected) in [
            ("memory.max", "5", "max\n", Some("max")),
            ("cpu.max", "5 10", "max 100000\n", Some("max 100000")),
            ("cpuset.cpus", "0", "\n", Some("\n")),
            ("cpuset.cpus", "0", "", Some("\n")),
            ("cpu.weight", "5", "100\n", Some("100")),
            ("cpu.weight", "5", "0\n", None),
            (
                "io.max",
                "8:0 rbps=5",
                "8:0 rbps=1 wbps=max riops=max wiops=max\n",
                Some("8:0 rbps=1 wbps=max riops=max wiops=max"),
            ),
            (
                "io.max",
                "8:0 rbps=5",
                "8:16 rbps=1 wbps=max riops=max wiops=max\n",
                Some("8:0 rbps=max wbps=max riops=max wiops=max"),
            ),
            ("io.max", "8:0 rbps=5", "", Some("8:0 rbps=max wbps=max riops=max wiops=max")),
            ("io.weight", "5", "default 100\n8:0 7\n", Some("default 100")),
            ("io.weight", "8:0 5", "default 100\n8:0 7\n", Some("8:0 7")),
            ("io.bfq.weight", "8:16 5", "default 100\n8:0 7\n", Some("8:16 default")),
            ("rdma.max", "a hca_object=1", "a hca_handle=2 hca_object=max\n", Some("a hca_handle=2 hca_object=max")),
            ("rdma.max", "b hca_object=1", "", Some("b hca_handle=max hca_object=max")),
            ("misc.max", "x 5", "x max\ny 3\n", Some("x max")),
            ("later.max", "x 5", "x 1\ny 3\n", Some("x 1")),
            ("later.max", "z 5", "x 1\ny 3\n", None),
        ] {
            assert_eq!(value(file, written, current).as_deref(), expected, "{file} {written:?} {current:?}");
        }
    }
}
