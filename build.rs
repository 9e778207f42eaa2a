//! Tells the linker where the program is entered, and makes the program of the image that `ctn` has built in.

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
        hello();
    }
}

/// A static program, for there is nothing but it in the image.
fn hello() {
    println!("cargo:rerun-if-changed=hello/main.rs");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let program = Path::new(&variable("OUT_DIR")).join("hello");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition", "2024", "--crate-name", "hello", "--target", &variable("TARGET")]);
    for option in
        ["target-feature=+crt-static", "opt-level=z", "panic=abort", "lto=fat", "codegen-units=1", "strip=symbols"]
    {
        rustc.args(["-C", option]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    let status = rustc.arg("-o").arg(&program).arg("hello/main.rs").status().expect("start rustc");
    assert!(status.success(), "hello/main.rs can't be compiled");
}
