//! A log's options, which are docker's.

use anyhow::{Context, Result, bail, ensure};

use super::tag;
use crate::engine::options;
use crate::engine::record::LogConfig;

/// How large logs get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file; none without limit.
    pub size: Option<u64>,
    /// How many files there are at most, the current one among them.
    pub files: u32,
    /// Whether files that were put aside are compressed.
    pub compress: bool,
}

/// Options of every driver.
const COMMON: [&str; 2] = ["mode", "max-buffer-size"];

/// What is kept for a log that is slow, unless something else is asked for.
const BUFFER: u64 = 1 << 20;

impl Limits {
    /// What a configuration says; none where no files are written.
    pub fn of(log: &LogConfig) -> Result<Option<Limits>> {
        let (mut limits, is_local) = match log.kind.as_str() {
            "" | "json-file" => (Limits { size: None, files: 1, compress: false }, false),
            "local" => (Limits { size: Some(20 << 20), files: 5, compress: true }, true),
            "none" => {
                ensure!(log.config.is_empty(), "the log driver none takes no options");
                return Ok(None);
            }
            "journald" => {
                let unknown = log.config.keys().find(|key| !COMMON.contains(&key.as_str()) && !tag::is_option(key));
                if let Some(key) = unknown {
                    bail!("unknown log opt '{key}' for journald log driver");
                }
                buffer(log)?;
                tag::check(log)?;
                return Ok(None);
            }
            other => bail!("the log driver {other:?} is not supported: use json-file, local, journald or none"),
        };
        for (key, value) in &log.config {
            let wrong = || format!("invalid value for log option {key}: {value:?}");
            match key.as_str() {
                "max-size" if value == "-1" => limits.size = None,
                "max-size" => {
                    let size = options::bytes(value).with_context(wrong)?;
                    ensure!(size > 0, "{}", wrong());
                    limits.size = Some(size);
                }
                "max-file" => {
                    limits.files = value.parse().ok().filter(|files| *files > 0).with_context(wrong)?;
                }
                "compress" => limits.compress = truth(value).with_context(wrong)?,
                key if COMMON.contains(&key) || (tag::is_option(key) && !is_local) => {}
                _ if is_local => bail!("unknown log opt '{key}' for log driver local"),
                _ => bail!("unknown log opt '{key}' for json-file log driver"),
            }
        }
        buffer(log)?;
        tag::check(log)?;
        ensure!(limits.files == 1 || limits.size.is_some(), "max-file needs max-size: a log without limit is one file");
        let is_rotated = limits.files > 1;
        ensure!(is_rotated || !is_local || !limits.compress, "compression cannot be enabled when max file count is 1");
        ensure!(
            is_rotated || !limits.compress,
            "compress cannot be true when max-file is less than 2 or max-size is not set"
        );
        Ok(Some(limits))
    }
}

/// In the mode in which a container never waits for its log: bytes that are kept while the log is slow.
pub(super) fn buffer(log: &LogConfig) -> Result<Option<usize>> {
    let size = log.config.get("max-buffer-size");
    match log.config.get("mode").map_or("", String::as_str) {
        "non-blocking" => {
            let wrong = || "error parsing option max-buffer-size";
            let bytes = size.map_or(Ok(BUFFER), |size| options::bytes(size)).with_context(wrong)?;
            usize::try_from(bytes).with_context(wrong).map(Some)
        }
        "" | "blocking" => {
            ensure!(size.is_none(), "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
            Ok(None)
        }
        mode => bail!("logger: logging mode not supported: {mode}"),
    }
}

/// Go's words for yes and no (strconv.ParseBool).
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(kind: &str, options: &[(&str, &str)]) -> LogConfig {
        LogConfig { kind: kind.into(), config: options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect() }
    }

    fn limits(kind: &str, options: &[(&str, &str)]) -> Option<Limits> {
        Limits::of(&log(kind, options)).unwrap()
    }

    #[test]
    fn defaults_are_dockers() {
        let wanted = Limits { size: None, files: 1, compress: false };
        assert_eq!(limits("", &[]), Some(wanted));
        assert_eq!(limits("local", &[]), Some(Limits { size: Some(20 << 20), files: 5, compress: true }));
        let three = [("max-size", "1k"), ("max-file", "3"), ("compress", "T")];
        assert_eq!(limits("json-file", &three), Some(Limits { size: Some(1024), files: 3, compress: true }));
        assert_eq!(limits("local", &[("max-file", "1"), ("compress", "false")]).unwrap().files, 1);
        assert_eq!(limits("journald", &[("mode", "non-blocking")]), None);
        let buffer = |options: &[(&str, &str)]| buffer(&log("", options)).unwrap();
        assert_eq!(buffer(&[]), None);
        assert_eq!(buffer(&[("mode", "blocking")]), None);
        assert_eq!(buffer(&[("mode", "non-blocking")]), Some(1 << 20));
        assert_eq!(buffer(&[("mode", "non-blocking"), ("max-buffer-size", "4k")]), Some(4096));
    }

    #[test]
    fn what_cant_be_is_refused() {
        for (kind, options, word) in [
            ("json-file", &[("compress", "true")][..], "compress cannot be true"),
            ("json-file", &[("compress", "true"), ("max-size", "1m")], "compress cannot be true"),
            ("json-file", &[("compress", "yes")], "compress: \"yes\""),
            ("local", &[("max-file", "1")], "max file count is 1"),
            ("json-file", &[("mode", "fast")], "logging mode not supported: fast"),
            ("journald", &[("max-buffer-size", "1m")], "only supported with"),
            ("local", &[("mode", "non-blocking"), ("max-buffer-size", "x")], "max-buffer-size"),
            ("journald", &[("compress", "false")], "unknown log opt"),
        ] {
            let error = format!("{:#}", Limits::of(&log(kind, options)).unwrap_err());
            assert!(error.contains(word), "{kind} {options:?}: {error}");
        }
    }
}
