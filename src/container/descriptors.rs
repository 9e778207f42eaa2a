//! Descriptors that the caller passes on to the container: `--preserve-fds N`, and systemd's LISTEN_FDS (sd_listen_fds(3)).

use anyhow::{Result, bail};

use crate::error::Attempt;
use crate::sys::execute;

/// Descriptors 3, 4, … that stay open in the container, and what its environment says of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// How many.
    pub count: u32,
    /// `LISTEN_FDS` and what goes with it.
    pub environment: Vec<String>,
}

/// What the caller left open above stdio: 3, 4, … up to the first that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inherited {
    count: u32,
}

impl Inherited {
    /// Counts them. To be called before anything is opened: a number that the caller did not open must not be taken by a file of ours and
    /// passed on in its place.
    pub fn at_start() -> Inherited {
        Inherited { count: (3..).take_while(|number| execute::is_open(*number)).count() as u32 }
    }

    /// Has them closed at execve(2): no command passes on what it was not told to, neither to a container nor to a hook.
    pub fn close_on_execute(self) -> Result<()> {
        execute::close_on_execute_from(3).attempt(|| "close inherited descriptors at execve")
    }

    /// As if this many were open.
    #[cfg(test)]
    pub(crate) fn of(count: u32) -> Inherited {
        Inherited { count }
    }

    /// Says what is to be passed on all the same.
    pub fn passed(self, preserve: u32) -> Result<Passed> {
        let own_pid = rustix::process::getpid().as_raw_nonzero().to_string();
        let variable = |name: &str| std::env::var(name).ok();
        let of_systemd = variable("LISTEN_PID").is_some_and(|pid| pid == own_pid);
        let listen = variable("LISTEN_FDS").filter(|_| of_systemd).and_then(|count| count.parse::<u32>().ok());
        let count = preserve.saturating_add(listen.unwrap_or(0));
        if count > self.count {
            bail!("pass descriptor {}: it is not open; {count} above stdio were announced", 3 + self.count);
        }
        let Some(listen) = listen else { return Ok(Passed { count, environment: Vec::new() }) };
        // The program will be pid 1 of its namespace, which is the pid that it compares with.
        let mut environment = vec![format!("LISTEN_FDS={listen}"), "LISTEN_PID=1".to_owned()];
        environment.extend(variable("LISTEN_FDNAMES").map(|names| format!("LISTEN_FDNAMES={names}")));
        Ok(Passed { count, environment })
    }
}
