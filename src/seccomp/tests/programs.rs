//! The small C programs beside the tests: built when one needs them, and then kept for the others.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::sys::seccomp::Instruction;

/// A program, or why it could not be built.
type Built = Result<PathBuf, String>;

/// libseccomp.c: a profile as libseccomp compiles it.
pub(super) fn libseccomp() -> Option<&'static Path> {
    static BUILT: OnceLock<Built> = OnceLock::new();
    needed("libseccomp-dev", BUILT.get_or_init(|| build("libseccomp", &["-lseccomp"])))
}

/// i386.c: calls of i386 under a filter.
#[cfg(target_arch = "x86_64")]
pub(super) fn i386() -> Option<&'static Path> {
    static BUILT: OnceLock<Built> = OnceLock::new();
    needed("gcc", BUILT.get_or_init(|| build("i386", &[])))
}

/// Runs a program with this input.
pub(super) fn run(program: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Instructions as the programs read and write them.
#[cfg(target_arch = "x86_64")]
pub(super) fn spelled(instructions: &[Instruction]) -> String {
    let line = |one: &Instruction| format!("{} {} {} {}\n", one.code, one.jt, one.jf, one.k);
    instructions.iter().map(line).collect()
}

/// Instructions as the programs read and write them.
pub(super) fn read(text: &str) -> Vec<Instruction> {
    let instruction = |line: &str| {
        let fields: Vec<u32> = line.split(' ').map(|field| field.parse().unwrap()).collect();
        let [code, jt, jf, k] = fields[..] else { panic!("{line}") };
        Instruction { code: code as u16, jt: jt as u8, jf: jf as u8, k }
    };
    text.lines().map(instruction).collect()
}

fn build(name: &str, libraries: &[&str]) -> Built {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/seccomp/tests/{name}.c"));
    let program = std::env::current_exe().unwrap().with_extension(name);
    // Under a name of its own first: another run of the tests may be using the program.
    let unfinished = program.with_extension(format!("{name}.{}", std::process::id()));
    let cc = Command::new("cc").arg(source).args(libraries).arg("-o").arg(&unfinished).output();
    let output = cc.map_err(|error| format!("cc: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    std::fs::rename(&unfinished, &program).map_err(|error| error.to_string())?;
    Ok(program)
}

/// Without the program a test says so and passes, but not in CI, which installs the package.
fn needed(package: &str, built: &'static Built) -> Option<&'static Path> {
    match built {
        Ok(program) => Some(program),
        Err(reason) if std::env::var_os("CI").is_some() => panic!("{package} is needed: {reason}"),
        Err(reason) => {
            println!("skipped, as Debian's {package} is needed: {reason}");
            None
        }
    }
}
