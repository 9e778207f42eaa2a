//! Tells the linker where the program is entered, and makes the programs that `ctn` brings into containers.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // src/sys/first.rs: it is written for this processor, and no other needs it.
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "x86_64") {
        println!("cargo:rustc-link-arg-bin=corten=-Wl,--entry=corten_first");
    }
    if env::var_os("CARGO_FEATURE_COMPANION").is_some() {
        program("hello");
        program("reaper");
        println!("cargo:rerun-if-changed=src/sys/reaper.rs");
    }
}

/// A static program: whatever is in a container, it runs.
fn program(name: &str) {
    let source = format!("{name}/main.rs");
    println!("cargo:rerun-if-changed={source}");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let program = Path::new(&variable("OUT_DIR")).join(name);
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition", "2024", "--crate-name", name, "--target", &variable("TARGET")]);
    for option in
        ["target-feature=+crt-static", "opt-level=z", "panic=abort", "lto=fat", "codegen-units=1", "strip=symbols"]
    {
        rustc.args(["-C", option]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    let status = rustc.arg("-o").arg(&program).arg(&source).status().expect("start rustc");
    assert!(status.success(), "{source} can't be compiled");
}
