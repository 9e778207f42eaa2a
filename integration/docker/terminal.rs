//! `docker run --tty`, `docker exec --tty`, `docker attach`, each on a terminal.

use anyhow::{Result, ensure};

use super::Docker;
use crate::harness::image;
use crate::harness::terminal::Terminal;
use crate::harness::trial::{Case, cases};

/// Waits for a line, says on which terminal it is and of what size, follows a change, reads another line.
const SCRIPT: &str = "read go; tty; until stty size 2>/dev/null | grep -x '30 100'; do :; done; \
                      trap 'echo changed to $(stty size)' WINCH; echo waiting; \
                      until stty size | grep -qx '40 120'; do :; done; until read line; do :; done; echo got $line; exit 9";

pub(super) fn cases() -> Vec<(&'static str, Case<Docker>)> {
    cases![runs_on_a_terminal, executes_on_a_terminal, attaches, has_a_console, writes_to_a_terminal_nobody_has]
}

fn follow(mut terminal: Terminal) -> Result<()> {
    terminal.type_in("go\n")?;
    terminal.expect("/dev/pts/")?;
    terminal.expect("30 100")?;
    terminal.expect("waiting")?;
    terminal.resize_until(40, 120, "changed to 40 120")?;
    terminal.type_in("a line\n")?;
    terminal.expect("got a line")?;
    let (status, seen) = terminal.finish()?;
    ensure!(status == 9, "exit status {status}:\n{seen}");
    Ok(())
}

fn runs_on_a_terminal(docker: &Docker) -> Result<()> {
    let command = docker.command(&["run", "--rm", "-it", image::NAME, "/bin/sh", "-c", SCRIPT]);
    follow(Terminal::start(&command, 30, 100)?)
}

fn executes_on_a_terminal(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    let command = docker.command(&["exec", "-it", &container.name, "/bin/sh", "-c", SCRIPT]);
    follow(Terminal::start(&command, 30, 100)?)
}

fn attaches(docker: &Docker) -> Result<()> {
    let container = docker.detach(&["-it"], &["/bin/sh", "-c", SCRIPT])?;
    follow(Terminal::start(&docker.command(&["attach", &container.name]), 30, 100)?)
}

fn has_a_console(docker: &Docker) -> Result<()> {
    // The terminal is the controlling one, belongs to the user, and is /dev/console too.
    let script = "stat -c %t:%T $(tty); stat -c %t:%T /dev/console; stat -c %u $(tty); \
                  cut -d' ' -f 7 /proc/self/stat; : < /dev/tty && echo controlling";
    let printed = docker.script(&["--tty", "--user", "1234"], script)?;
    let lines: Vec<_> = printed.lines().map(str::trim).collect();
    ensure!(lines.len() == 5, "{printed}");
    ensure!(lines[0] == lines[1] && lines[0].starts_with("88:"), "{printed}");
    ensure!(lines[2] == "1234", "{printed}");
    ensure!(lines[3] != "0", "{printed}");
    ensure!(lines[4] == "controlling", "{printed}");
    Ok(())
}

fn writes_to_a_terminal_nobody_has(docker: &Docker) -> Result<()> {
    let container = docker.detach(&["--tty"], &["/bin/sh", "-c", "echo written; exit 2"])?;
    ensure!(container.wait()? == 2, "the exit status");
    let logs = container.logs()?;
    ensure!(logs.0 == "written\r\n", "{logs:?}");
    Ok(())
}
