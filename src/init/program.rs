//! Finding the program and becoming it. The texts are the ones by which engines tell exit code 126 from 127.

use std::ffi::{CStr, CString};

use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::Errno;

use super::{Fault, Init, Outcome, tree};
use crate::error::Refusal;
use crate::sys::execute::{execve, pass_on};

/// Where programs are looked for when the environment has no PATH.
const DEFAULT_PATH: &CStr = c"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Init<'_> {
    /// Looks `args[0]` up as the user who runs it, so that a missing program is an error of `create`.
    pub(super) fn find_program(&mut self) -> Outcome {
        let name = self.plan.program.arguments.first().ok_or(Fault::from(Errno::INVAL))?;
        let shown = name.to_string_lossy();
        if name.as_bytes().contains(&b'/') {
            executable(name).map_err(|error| match error {
                Errno::NOENT | Errno::NOTDIR => {
                    Fault::new(error, format!("exec: \"{shown}\": stat {shown}: {}", Refusal(error)))
                }
                // execve(2) would say EACCES; dockers before 23 know no other word for exit code 126.
                Errno::ISDIR => {
                    let (what, refusal) = (Refusal(error), Refusal(Errno::ACCESS));
                    Fault::new(Errno::ACCESS, format!("exec: \"{shown}\": {what}: {refusal}"))
                }
                _ => Fault::new(error, format!("exec: \"{shown}\": {}", Refusal(error))),
            })?;
            self.program = Some(name.clone());
            return Ok(());
        }
        let mut refusal = None;
        let path = self.plan.program.path.as_deref().unwrap_or(DEFAULT_PATH);
        for directory in path.to_bytes().split(|byte| *byte == b':') {
            let directory = if directory.is_empty() { b"." } else { directory };
            let candidate = CString::new([directory, b"/", name.as_bytes()].concat()).unwrap_or_default();
            match executable(&candidate) {
                Ok(()) => {
                    self.program = Some(candidate);
                    return Ok(());
                }
                Err(Errno::ACCESS) => refusal = Some(Errno::ACCESS),
                Err(_) => {}
            }
        }
        Err(match refusal {
            Some(error) => Fault::new(error, format!("exec: \"{shown}\": {}", Refusal(error))),
            None => Fault::new(Errno::NOENT, format!("exec: \"{shown}\": executable file not found in $PATH")),
        })
    }

    pub(super) fn execute(&mut self) -> Outcome {
        let program = self.program.take().ok_or(Fault::from(Errno::NOENT))?;
        let mut environment = self.plan.program.environment.clone();
        environment.extend(self.home.take());
        pass_on(3..3 + self.plan.passed)?;
        let error = execve(&program, &self.plan.program.arguments, &environment);
        let shown = program.to_string_lossy();
        Err(Fault::new(error, format!("exec: \"{shown}\": {}", Refusal(error))))
    }
}

fn executable(path: &CStr) -> rustix::io::Result<()> {
    if tree::is(&stat(path)?, FileType::Directory) {
        return Err(Errno::ISDIR);
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}
