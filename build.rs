//! Tells the linker where the program is entered.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // src/sys/first.rs: it is written for this processor, and no other needs it.
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "x86_64") {
        println!("cargo:rustc-link-arg-bin=corten=-Wl,--entry=corten_first");
    }
}
