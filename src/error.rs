//! One sentence for what failed: what was attempted, on which object, and the kernel's answer.
//!
//! Everything above [`crate::sys`] returns [`anyhow::Result`]. A system call's errno is kept as a number all the way up
//! ([`errno`]), because engines map exit codes by it and callers decide by it; it is worded only when printed.

use std::fmt;

pub use rustix::io::Errno;

/// The kernel's refusal: an errno that prints as its plain text.
///
/// The texts are strerror(3)'s with a small first letter, as Go programs print them: containerd, dockerd and podman
/// search error texts for `permission denied` and `no such file or directory` in that spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(pub Errno);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.raw_os_error();
        let full = std::io::Error::from_raw_os_error(number).to_string();
        let text = full.split(" (os error").next().unwrap_or(&full);
        let mut letters = text.chars();
        match (letters.next(), letters.clone().next()) {
            // An abbreviation ("RPC struct is bad") keeps its capitals.
            (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
                write!(f, "{}{}", first.to_lowercase(), letters.as_str())
            }
            _ => f.write_str(text),
        }
    }
}

impl std::error::Error for Refusal {}

/// The errno at the root of an error, where a system call was the cause.
pub fn errno(error: &anyhow::Error) -> Option<Errno> {
    error.chain().find_map(|cause| {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return Some(refusal.0);
        }
        cause.downcast_ref::<std::io::Error>().and_then(Errno::from_io_error)
    })
}

/// Says what was attempted when the kernel refuses.
pub trait Attempt<T> {
    /// Turns the errno into an error that reads `WHAT: strerror`.
    fn attempt<W: fmt::Display>(self, what: impl FnOnce() -> W) -> anyhow::Result<T>;
}

impl<T> Attempt<T> for Result<T, Errno> {
    fn attempt<W: fmt::Display>(self, what: impl FnOnce() -> W) -> anyhow::Result<T> {
        self.map_err(|number| anyhow::Error::new(Refusal(number)).context(what().to_string()))
    }
}

impl<T> Attempt<T> for std::io::Result<T> {
    fn attempt<W: fmt::Display>(self, what: impl FnOnce() -> W) -> anyhow::Result<T> {
        self.map_err(|error| match Errno::from_io_error(&error) {
            Some(number) => anyhow::Error::new(Refusal(number)).context(what().to_string()),
            None => anyhow::Error::new(error).context(what().to_string()),
        })
    }
}

/// The whole error as one sentence, outermost attempt first.
pub fn sentence(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_survives_every_context() {
        let result: Result<(), Errno> = Err(Errno::NOENT);
        let error = result.attempt(|| "open \"/x\"").unwrap_err().context("create failed");
        assert_eq!(sentence(&error), "create failed: open \"/x\": no such file or directory");
        assert_eq!(errno(&error), Some(Errno::NOENT));
    }

    #[test]
    fn an_io_error_is_worded_like_a_system_call() {
        let error = std::fs::read("/nonexistent/file").attempt(|| "read it").unwrap_err();
        assert_eq!(sentence(&error), "read it: no such file or directory");
    }

    #[test]
    fn abbreviations_keep_their_capitals() {
        assert_eq!(Refusal(Errno::RFKILL).to_string(), "operation not possible due to RF-kill");
    }
}
