//! What `docker run` and `docker exec` end with: the program's status, or 125, 126 and 127 as docker's manual has them,
//! which dockerd and its client make out of the runtime's error text.

use anyhow::{Result, ensure};

use super::Docker;
use crate::harness::image;
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Docker>)> {
    cases![
        is_the_programs,
        is_127_for_a_missing_program,
        is_126_for_a_file_that_is_no_program,
        is_126_for_a_directory,
        is_126_for_a_program_in_a_wrong_format,
        is_125_for_a_container_that_cannot_be_made,
        is_128_and_the_signal,
        of_exec_is_the_programs,
        of_exec_tells_of_a_missing_program,
        of_exec_is_126_for_a_file_that_is_no_program,
    ]
}

fn is_the_programs(docker: &Docker) -> Result<()> {
    for status in [0, 1, 42, 255] {
        docker.run(&[], &["/bin/sh", "-c", &format!("exit {status}")]).finish()?.ends_with(status)?;
    }
    Ok(())
}

fn is_127_for_a_missing_program(docker: &Docker) -> Result<()> {
    let finished = docker.run(&[], &["no-such-program"]).finish()?.ends_with(127)?;
    finished.says(r#"exec: "no-such-program": executable file not found in $PATH"#)?;
    let finished = docker.run(&[], &["/no/such/program"]).finish()?.ends_with(127)?;
    finished.says("/no/such/program")?.says("no such file or directory")?;
    Ok(())
}

fn is_126_for_a_file_that_is_no_program(docker: &Docker) -> Result<()> {
    let finished = docker.run(&[], &["/etc/nothing-to-run"]).finish()?.ends_with(126)?;
    finished.says("/etc/nothing-to-run")?.says("permission denied")?;
    Ok(())
}

fn is_126_for_a_directory(docker: &Docker) -> Result<()> {
    let finished = docker.run(&[], &["/etc"]).finish()?.ends_with(126)?;
    finished.says("/etc")?;
    Ok(())
}

fn is_126_for_a_program_in_a_wrong_format(docker: &Docker) -> Result<()> {
    // execve(2) refuses it with ENOEXEC, after the container was started: whichever way that is told, it is a failure.
    let source = docker.host.new_directory("format")?;
    image::program_in_no_format(&source.join("program"))?;
    let volume = format!("{}:/volume:ro", source.display());
    let finished = docker.run(&["--volume", &volume], &["/volume/program"]).finish()?;
    ensure!(finished.status != 0, "success from {finished}");
    finished.says("exec format error")?;
    Ok(())
}

fn is_125_for_a_container_that_cannot_be_made(docker: &Docker) -> Result<()> {
    let finished = docker.run(&["--sysctl", "kernel.shm_no_such_thing=1"], &["/bin/true"]).finish()?;
    ensure!([125, 127].contains(&finished.status), "exit status {} from {finished}", finished.status);
    finished.says("shm_no_such_thing")?;
    let finished = docker.run(&["--workdir", "/etc/passwd/x"], &["/bin/true"]).finish()?;
    ensure!(finished.status >= 125, "exit status {} from {finished}", finished.status);
    finished.says("/etc/passwd")?.says("not a directory")?;
    Ok(())
}

fn is_128_and_the_signal(docker: &Docker) -> Result<()> {
    // Not the container's first process, which the kernel protects from what it sends itself.
    docker.run(&["--init"], &["/bin/sh", "-c", "kill -TERM $$"]).finish()?.ends_with(128 + 15)?;
    let container = docker.sleeper(&[])?;
    docker.docker(&["kill", &container.name]).stdout()?;
    let status = container.wait()?;
    ensure!(status == 128 + 9, "{status}");
    Ok(())
}

fn of_exec_is_the_programs(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    for status in [0, 1, 42, 255] {
        container.exec(&["/bin/sh", "-c", &format!("exit {status}")]).finish()?.ends_with(status)?;
    }
    container.exec(&["/bin/sh", "-c", "kill -TERM $$"]).finish()?.ends_with(128 + 15)?;
    container.exec(&["/bin/sh", "-c", "kill -KILL $$"]).finish()?.ends_with(128 + 9)?;
    Ok(())
}

fn of_exec_tells_of_a_missing_program(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    for program in ["no-such-program", "/no/such/program"] {
        let finished = container.exec(&[program]).finish()?;
        // Before docker 23 every exec that can't be started is 126.
        ensure!([126, 127].contains(&finished.status), "exit status {} from {finished}", finished.status);
        finished_says_anywhere(&finished, if program.contains('/') { "no such file" } else { "not found in $PATH" })?;
    }
    Ok(())
}

fn of_exec_is_126_for_a_file_that_is_no_program(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    let finished = container.exec(&["/etc/nothing-to-run"]).finish()?.ends_with(126)?;
    finished_says_anywhere(&finished, "permission denied")
}

/// docker prints why an exec failed on standard output in some releases, on standard error in others.
fn finished_says_anywhere(finished: &crate::harness::command::Finished, text: &str) -> Result<()> {
    ensure!(finished.stdout.contains(text) || finished.stderr.contains(text), "no {text:?} from {finished}");
    Ok(())
}
