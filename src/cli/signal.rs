//! Signals by name and number.

use crate::container::Signal;

/// The names of signal(7) below the real-time ones; the numbers are those of x86-64 and aarch64.
const NAMES: [(&str, i32); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("UNUSED", 31),
];

/// The first real-time signal that a C library leaves to programs, glibc and musl differ by one; systemd in a container
/// is told to stop by SIGRTMIN+3, which is 37 for it (glibc).
const REAL_TIME_FIRST: i32 = 34;

/// The last signal of the kernel.
const LAST: i32 = 64;

/// Reads `9`, `KILL`, `SIGKILL` in any letters, `RTMIN+3`; 0 asks only whether there is a process (kill(2)).
pub(crate) fn parse(text: &str) -> Result<Signal, String> {
    let unknown = || format!("unknown signal {text:?}");
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=LAST).contains(&number) { Ok(Signal(number)) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    named.or_else(|| real_time(name)).map(Signal).ok_or_else(unknown)
}

/// `RTMIN`, `RTMIN+n`, `RTMAX-n`, `RTMAX`.
fn real_time(name: &str) -> Option<i32> {
    let offset =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i32>().ok()).flatten();
    let number = match name.strip_prefix("RTMIN") {
        Some("") => REAL_TIME_FIRST,
        Some(more) => REAL_TIME_FIRST.checked_add(offset(more.strip_prefix('+')?)?)?,
        None => match name.strip_prefix("RTMAX")? {
            "" => LAST,
            less => LAST.checked_sub(offset(less.strip_prefix('-')?)?)?,
        },
    };
    (REAL_TIME_FIRST..=LAST).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("9", 9),
            ("0", 0),
            ("64", 64),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigkill", 9),
            ("term", 15),
            ("SIGUSR2", 12),
            ("SIGRTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("RTMAX", 64),
            ("SIGRTMIN+30", 64),
        ] {
            assert_eq!(parse(text), Ok(Signal(number)), "{text}");
        }
        for text in [
            "",
            "SIG",
            "-9",
            "65",
            "KILLED",
            "SIGSIGKILL",
            "RTMIN+31",
            "RTMIN+",
            "RTMIN++1",
            "RTMIN-1",
            "RTMAX-31",
            "RTMAX+1",
            "9.0",
            "RTMIN+99999999999",
            "99999999999",
        ] {
            assert_eq!(parse(text), Err(format!("unknown signal {text:?}")), "{text}");
        }
    }

    #[test]
    fn the_numbers_are_the_c_library_s() {
        let table = [
            ("HUP", libc::SIGHUP),
            ("BUS", libc::SIGBUS),
            ("STKFLT", libc::SIGSTKFLT),
            ("CHLD", libc::SIGCHLD),
            ("URG", libc::SIGURG),
            ("PWR", libc::SIGPWR),
            ("SYS", libc::SIGSYS),
            ("IO", libc::SIGIO),
        ];
        for (name, number) in table {
            assert_eq!(parse(name), Ok(Signal(number)), "{name}");
        }
    }
}
