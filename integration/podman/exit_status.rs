//! What `podman run` and `podman exec` end with: the program's status, or 125, 126 and 127 as podman's manual has them,
//! which podman makes out of the runtime's error text.

use anyhow::{Result, ensure};

use super::Podman;
use crate::harness::image;
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Podman>)> {
    cases![
        is_the_programs,
        is_127_for_a_missing_program,
        is_126_for_a_file_that_is_no_program,
        is_126_for_a_directory,
        is_a_failure_for_a_program_in_a_wrong_format,
        is_128_and_the_signal,
        of_exec_is_the_programs,
        of_exec_is_127_for_a_missing_program,
        of_exec_is_126_for_a_file_that_is_no_program,
    ]
}

fn is_the_programs(podman: &Podman) -> Result<()> {
    for status in [0, 1, 42, 255] {
        podman.run(&[], &["/bin/sh", "-c", &format!("exit {status}")]).finish()?.ends_with(status)?;
    }
    Ok(())
}

fn is_127_for_a_missing_program(podman: &Podman) -> Result<()> {
    let finished = podman.run(&[], &["no-such-program"]).finish()?.ends_with(127)?;
    finished.says("executable file not found in $PATH")?;
    let finished = podman.run(&[], &["/no/such/program"]).finish()?.ends_with(127)?;
    finished.says("/no/such/program")?.says("no such file or directory")?;
    Ok(())
}

fn is_126_for_a_file_that_is_no_program(podman: &Podman) -> Result<()> {
    let finished = podman.run(&[], &["/etc/nothing-to-run"]).finish()?.ends_with(126)?;
    finished.says("/etc/nothing-to-run")?.says("permission denied")?;
    Ok(())
}

fn is_126_for_a_directory(podman: &Podman) -> Result<()> {
    podman.run(&[], &["/etc"]).finish()?.ends_with(126)?.says("/etc")?;
    Ok(())
}

fn is_a_failure_for_a_program_in_a_wrong_format(podman: &Podman) -> Result<()> {
    let source = podman.host.new_directory("format")?;
    image::program_in_no_format(&source.join("program"))?;
    let volume = format!("{}:/volume:ro", source.display());
    let finished = podman.run(&["--volume", &volume], &["/volume/program"]).finish()?;
    ensure!(finished.status != 0, "success from {finished}");
    ensure!(finished.stderr.to_lowercase().contains("exec format error"), "{finished}");
    Ok(())
}

fn is_128_and_the_signal(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    podman.podman(&["kill", &container.name]).stdout()?;
    let status = container.wait()?;
    ensure!(status == 128 + 9, "{status}");
    Ok(())
}

fn of_exec_is_the_programs(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    for status in [0, 1, 42, 255] {
        container.exec(&["/bin/sh", "-c", &format!("exit {status}")]).finish()?.ends_with(status)?;
    }
    container.exec(&["/bin/sh", "-c", "kill -TERM $$"]).finish()?.ends_with(128 + 15)?;
    container.exec(&["/bin/sh", "-c", "kill -KILL $$"]).finish()?.ends_with(128 + 9)?;
    Ok(())
}

fn of_exec_is_127_for_a_missing_program(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    let finished = container.exec(&["no-such-program"]).finish()?.ends_with(127)?;
    finished.says("executable file not found in $PATH")?;
    container.exec(&["/no/such/program"]).finish()?.ends_with(127)?.says("no such file or directory")?;
    Ok(())
}

fn of_exec_is_126_for_a_file_that_is_no_program(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    container.exec(&["/etc/nothing-to-run"]).finish()?.ends_with(126)?.says("permission denied")?;
    Ok(())
}
