//! `linux.resources.pids` → `pids.max`.

use super::Write;

/// 0 is a limit like any other since runtime-spec 1.3: nothing more may be started, what is there goes on.
pub(super) fn write(limit: i64) -> Write {
    let value = if limit < 0 { "max".to_owned() } else { limit.to_string() };
    Write::new("pids.max", value, "linux.resources.pids.limit")
}

#[cfg(test)]
mod tests {
    use super::super::table;

    #[test]
    fn zero_is_a_limit_and_less_is_none() {
        assert_eq!(table(r#"{"pids":{"limit":0}}"#), ["pids.max = 0"]);
        assert_eq!(table(r#"{"pids":{"limit":-1}}"#), ["pids.max = max"]);
        assert_eq!(table(r#"{"pids":{"limit":64}}"#), ["pids.max = 64"]);
    }
}
