//! Writes corten's manual pages and shell completions below a directory that is laid out like `PREFIX/share`:
//! `cargo run --example manual -- DIRECTORY`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).context("usage: manual DIRECTORY")?;
    pages(&directory.join("man/man8"))?;
    for (shell, file) in [
        (Shell::Bash, "bash-completion/completions/corten"),
        (Shell::Zsh, "zsh/site-functions/_corten"),
        (Shell::Fish, "fish/vendor_completions.d/corten.fish"),
    ] {
        let mut script = Vec::new();
        generate(shell, &mut corten::cli::tree(), "corten", &mut script);
        write(&directory.join(file), &script)?;
    }
    Ok(())
}

/// One page for the program, and one for each command.
fn pages(directory: &Path) -> Result<()> {
    let mut tree = corten::cli::tree();
    // Gives the commands their full names, which the program's page refers to.
    tree.build();
    for command in tree.get_subcommands() {
        let name = format!("corten-{}", command.get_name());
        page(directory, &name, command.clone().display_name(name.clone()))?;
    }
    page(directory, "corten", tree.clone())
}

fn page(directory: &Path, name: &str, command: Command) -> Result<()> {
    let source = concat!("corten ", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command).title(name.to_uppercase()).section("8").source(source).manual("Containers");
    let mut text = Vec::new();
    page.render(&mut text)?;
    write(&directory.join(format!("{name}.8")), &text)
}

fn write(file: &Path, text: &[u8]) -> Result<()> {
    let directory = file.parent().context("a file has a directory")?;
    fs::create_dir_all(directory).with_context(|| format!("make {directory:?}"))?;
    fs::write(file, text).with_context(|| format!("write {file:?}"))
}
