//! Writes the programs' manual pages and shell completions below a directory that is laid out like `PREFIX/share`:
//! `cargo run --example manual -- DIRECTORY`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).context("usage: manual DIRECTORY")?;
    for (program, tree) in [("corten", corten::cli::tree()), ("ctn", corten::companion::tree())] {
        pages(&directory.join("man/man8"), program, tree.clone())?;
        for (shell, file) in [
            (Shell::Bash, format!("bash-completion/completions/{program}")),
            (Shell::Zsh, format!("zsh/site-functions/_{program}")),
            (Shell::Fish, format!("fish/vendor_completions.d/{program}.fish")),
        ] {
            let mut script = Vec::new();
            generate(shell, &mut tree.clone(), program, &mut script);
            write(&directory.join(file), &script)?;
        }
    }
    Ok(())
}

/// One page for the program, and one for each command, those of groups too.
fn pages(directory: &Path, program: &str, mut tree: Command) -> Result<()> {
    // Gives the commands their full names, which the program's page refers to.
    tree.build();
    below(directory, program, &tree)?;
    page(directory, program, tree.clone())
}

fn below(directory: &Path, above: &str, tree: &Command) -> Result<()> {
    for command in tree.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("{above}-{}", command.get_name());
        below(directory, &name, command)?;
        page(directory, &name, command.clone().display_name(name.clone()))?;
    }
    Ok(())
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
