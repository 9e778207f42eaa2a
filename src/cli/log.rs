//! Where messages go: runc's log file in its two formats, crun's journal and syslog, and always the caller's stderr.
//!
//! Engines read the file back. containerd takes the last object of level `error`, podman wants the whole file to be
//! one object, both decode JSON: so a log in JSON holds the fatal error and nothing else, unless more was asked for.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use clap::ValueEnum;

use super::output;
use crate::error::Attempt;

/// journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).
const JOURNAL: &str = "/run/systemd/journal/socket";

/// syslog(3).
const SYSLOG: &str = "/dev/log";

/// syslog(3): the facility of ordinary programs, LOG_USER.
const FACILITY: u8 = 1 << 3;

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A line with time, level and message
    Text,
    /// An object on a line of its own, with level, msg and time
    Json,
}

/// How much a message matters, most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Level {
    /// The command has failed
    Error,
    /// Something was not as it should be, and the command went on
    Warning,
    /// Of interest to whoever looks
    Info,
    /// What the runtime does
    Debug,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }

    /// The severity of syslog(3) and of the journal's PRIORITY.
    fn severity(self) -> u8 {
        match self {
            Level::Error => 3,
            Level::Warning => 4,
            Level::Info => 6,
            Level::Debug => 7,
        }
    }
}

/// An open log.
#[derive(Debug)]
pub(super) struct Log {
    destination: Destination,
    format: Format,
    least: Level,
}

#[derive(Debug)]
enum Destination {
    Stderr { terminal: bool },
    File(File),
    Journal { socket: UnixDatagram, id: String },
    Syslog { socket: UnixDatagram, id: String },
}

impl Log {
    /// Opens what `--log` names: `PATH`, `file:PATH`, `journald:ID`, `syslog:ID`, or stderr without one.
    ///
    /// The file is made at once, empty: an engine that finds none after a failure reports that instead of the failure.
    pub(super) fn open(destination: Option<&str>, format: Format, level: Option<Level>) -> Result<Self> {
        let least = level.unwrap_or(match format {
            Format::Text => Level::Warning,
            Format::Json => Level::Error,
        });
        Ok(Log { destination: Destination::open(destination)?, format, least })
    }

    /// The log of whoever has given none: text, on stderr.
    pub(super) fn stderr() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Log { destination: Destination::Stderr { terminal }, format: Format::Text, least: Level::Warning }
    }

    /// Writes the error that ends the command, to stderr too.
    pub(super) fn fatal(&self, message: &str) {
        self.write(Level::Error, message);
        if !matches!(self.destination, Destination::Stderr { .. }) {
            output::complain(&format!("{message}\n"));
        }
    }

    /// Writes what was not as it should be.
    pub(super) fn warning(&self, message: &str) {
        self.write(Level::Warning, message);
    }

    /// Writes what the runtime does.
    pub(super) fn debug(&self, message: impl FnOnce() -> String) {
        if self.least >= Level::Debug {
            self.write(Level::Debug, &message());
        }
    }

    /// A log that can't be written must not stop a container: nothing is made of an error here.
    fn write(&self, level: Level, message: &str) {
        if level > self.least {
            return;
        }
        match &self.destination {
            Destination::Stderr { terminal: true } if self.format == Format::Text => {
                output::complain(&plain(level, message));
            }
            Destination::Stderr { .. } => output::complain(&self.record(level, message)),
            Destination::File(file) => {
                let mut file = file;
                let _ = file.write_all(self.record(level, message).as_bytes());
            }
            Destination::Journal { socket, id } => {
                let _ = socket.send(&journal_entry(level, message, id));
            }
            Destination::Syslog { socket, id } => {
                let _ = socket.send(syslog_line(level, message, id, std::process::id()).as_bytes());
            }
        }
    }

    fn record(&self, level: Level, message: &str) -> String {
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        match self.format {
            Format::Text => text(level, message, &time),
            Format::Json => json(level, message, &time),
        }
    }
}

impl Destination {
    fn open(destination: Option<&str>) -> Result<Self> {
        let Some(destination) = destination else {
            return Ok(Log::stderr().destination);
        };
        match destination.split_once(':') {
            Some(("journald", id)) => Ok(Destination::Journal { socket: connected(JOURNAL)?, id: id.to_owned() }),
            Some(("syslog", id)) => Ok(Destination::Syslog { socket: connected(SYSLOG)?, id: id.to_owned() }),
            Some(("file", path)) => file(path),
            _ => file(destination),
        }
    }
}

/// Opens a log file to append to.
fn file(path: &str) -> Result<Destination> {
    let mut options = OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    let file = options.create(true).append(true).open(path).attempt(|| format!("open the log {path:?}"))?;
    Ok(Destination::File(file))
}

fn connected(path: &str) -> Result<UnixDatagram> {
    let open = || {
        let socket = UnixDatagram::unbound()?;
        socket.connect(Path::new(path))?;
        // A log that is full must not hold a container up.
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    std::io::Result::attempt(open(), || format!("open the log {path:?}"))
}

/// For a person at a terminal.
fn plain(level: Level, message: &str) -> String {
    match level {
        Level::Error => format!("corten: {message}\n"),
        _ => format!("corten: {}: {message}\n", level.name()),
    }
}

/// logrus' JSON record.
fn json(level: Level, message: &str, time: &str) -> String {
    #[derive(serde::Serialize)]
    struct Record<'a> {
        level: &'a str,
        msg: &'a str,
        time: &'a str,
    }
    let record = Record { level: level.name(), msg: message, time };
    let mut line = serde_json::to_string(&record).unwrap_or_default();
    line.push('\n');
    line
}

/// logrus' text record: what has other letters than those of a word is quoted.
fn text(level: Level, message: &str, time: &str) -> String {
    format!("time={} level={} msg={}\n", value(time), level.name(), value(message))
}

fn value(text: &str) -> String {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || "-._/@^+".contains(letter);
    if text.chars().all(bare) { text.to_owned() } else { quoted(text) }
}

/// Go's strconv.Quote.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            _ if letter.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", letter as u32)),
            _ if letter.is_control() => quoted.push_str(&format!("\\u{:04x}", letter as u32)),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// One entry of the journal: `FIELD=value` lines, and a field with line breaks as name, length and bytes.
fn journal_entry(level: Level, message: &str, id: &str) -> Vec<u8> {
    let mut entry = Vec::new();
    let priority = level.severity().to_string();
    for (name, value) in [("MESSAGE", message), ("PRIORITY", &priority), ("SYSLOG_IDENTIFIER", "corten"), ("ID", id)] {
        entry.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            entry.push(b'=');
        }
        entry.extend_from_slice(value.as_bytes());
        entry.push(b'\n');
    }
    entry
}

/// A datagram as syslog(3) sends it, but for the time: every daemon sets its own where none is given.
fn syslog_line(level: Level, message: &str, id: &str, pid: u32) -> String {
    let name = if id.is_empty() { "corten" } else { id };
    format!("<{}>{name}[{pid}]: {message}", FACILITY | level.severity())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-02T15:04:05Z";

    #[test]
    fn the_records_are_logrus_s() {
        let message = "container \"a\" does not exist";
        assert_eq!(
            json(Level::Error, message, TIME),
            "{\"level\":\"error\",\"msg\":\"container \\\"a\\\" does not exist\",\"time\":\"2026-01-02T15:04:05Z\"}\n"
        );
        assert_eq!(
            text(Level::Error, message, TIME),
            "time=\"2026-01-02T15:04:05Z\" level=error msg=\"container \\\"a\\\" does not exist\"\n"
        );
        assert_eq!(text(Level::Warning, "/a/b-c", TIME), "time=\"2026-01-02T15:04:05Z\" level=warning msg=/a/b-c\n");
    }

    #[test]
    fn a_record_is_one_line_whatever_the_message() {
        for message in ["a\nb", "\r\n", "tab\tbell\x07", "\0", "é\u{85}\u{2028}", "", "\\n"] {
            for line in [json(Level::Error, message, TIME), text(Level::Error, message, TIME)] {
                assert_eq!(line.matches('\n').count(), 1, "{message:?}");
            }
            let read: serde_json::Value = serde_json::from_str(&json(Level::Error, message, TIME)).unwrap();
            assert_eq!(read["msg"], message);
        }
    }

    #[test]
    fn quotes_are_go_s() {
        let table = [
            ("a b", r#""a b""#),
            ("\"\\", r#""\"\\""#),
            ("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            ("\x00\x1b\x7f", r#""\x00\x1b\x7f""#),
            ("\u{85}é", r#""\u0085é""#),
        ];
        for (text, expected) in table {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(value("v1.2@x^y+z_0/-"), "v1.2@x^y+z_0/-");
        assert_eq!(value(""), "");
        assert_eq!(value("a:b"), "\"a:b\"");
    }

    #[test]
    fn the_journal_gets_lengths_for_lines() {
        assert_eq!(
            journal_entry(Level::Error, "gone", "c1"),
            b"MESSAGE=gone\nPRIORITY=3\nSYSLOG_IDENTIFIER=corten\nID=c1\n"
        );
        assert_eq!(
            journal_entry(Level::Warning, "a\nb", ""),
            b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=4\nSYSLOG_IDENTIFIER=corten\nID=\n"
        );
    }

    #[test]
    fn syslog_gets_facility_and_severity() {
        assert_eq!(syslog_line(Level::Error, "gone", "c1", 7), "<11>c1[7]: gone");
        assert_eq!(syslog_line(Level::Debug, "gone", "", 7), "<15>corten[7]: gone");
    }

    /// A file of the test's own.
    fn path(name: &str) -> std::path::PathBuf {
        let test = std::thread::current().name().unwrap_or_default().replace(':', "-");
        std::env::temp_dir().join(format!("corten-{name}-{}-{test}", std::process::id()))
    }

    /// What is in a log file at the end.
    fn written(format: Format, level: Option<Level>, write: impl Fn(&Log)) -> String {
        let path = path("log");
        let log = Log::open(path.to_str(), format, level).unwrap();
        write(&log);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        text
    }

    #[test]
    fn json_holds_only_the_fatal_error() {
        let talk = |log: &Log| {
            log.debug(|| "one".into());
            log.warning("two");
            log.fatal("three");
        };
        let objects = |text: String| {
            text.lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["msg"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(objects(written(Format::Json, None, talk)), ["three"]);
        assert_eq!(objects(written(Format::Json, Some(Level::Debug), talk)), ["one", "two", "three"]);
        let text = written(Format::Text, None, talk);
        assert!(text.contains("level=warning msg=two\n") && text.ends_with("level=error msg=three\n"), "{text}");
    }

    /// What a daemon gets of a fatal error.
    fn received(destination: fn(UnixDatagram, String) -> Destination) -> Vec<u8> {
        let path = path("socket");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let socket = connected(path.to_str().unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        let log = Log { destination: destination(socket, "c1".into()), format: Format::Text, least: Level::Warning };
        log.debug(|| unreachable!("below the level"));
        log.warning("gone");
        let mut datagram = [0; 512];
        let length = daemon.recv(&mut datagram).unwrap();
        datagram[..length].to_vec()
    }

    #[test]
    fn daemons_get_a_datagram() {
        let entry = received(|socket, id| Destination::Journal { socket, id });
        assert_eq!(entry, b"MESSAGE=gone\nPRIORITY=4\nSYSLOG_IDENTIFIER=corten\nID=c1\n");
        let line = received(|socket, id| Destination::Syslog { socket, id });
        assert_eq!(line, format!("<12>c1[{}]: gone", std::process::id()).as_bytes());
    }

    #[test]
    fn a_daemon_that_is_gone_or_slow_stops_nothing() {
        let path = path("socket");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let socket = connected(path.to_str().unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        let destination = Destination::Syslog { socket, id: String::new() };
        let log = Log { destination, format: Format::Text, least: Level::Warning };
        // More than the socket's queue holds.
        (0..2000).for_each(|_| log.warning("again"));
        drop(daemon);
        log.warning("gone");
    }

    #[test]
    fn a_log_exists_before_anything_is_written() {
        assert_eq!(written(Format::Json, None, |_| ()), "");
    }

    #[test]
    fn a_log_that_can_t_be_opened_is_an_error() {
        let error = Log::open(Some("file:/nonexistent/log"), Format::Text, None).unwrap_err();
        assert_eq!(crate::error::sentence(&error), "open the log \"/nonexistent/log\": no such file or directory");
    }
}
