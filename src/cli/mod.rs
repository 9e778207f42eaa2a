//! The command line of `corten`: what runc's callers send, read into calls of the runtime.
//!
//! First the flags before the command are read, and the log is opened; then the command's own, so that an engine finds
//! a mistake in these in its log. Only the clap command that is called is built, which takes half of the time that the
//! whole tree does.

mod arguments;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod globals;
mod kill;
mod list;
mod log;
mod output;
mod pause;
mod plan;
mod ps;
mod resume;
mod run;
mod selection;
pub(crate) mod signal;
mod size;
mod spec;
mod start;
mod state;
#[cfg(test)]
mod tests;
mod update;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches};

use crate::container::{Host, Inherited};
use crate::error::{Attempt, sentence};
use crate::security::sealed_executable;
use crate::sys::signal::keep_statuses;
use globals::{CommandLine, Globals};
use log::Log;

/// What a command is carried out with.
struct Context {
    globals: Globals,
    host: Host,
    log: Rc<Log>,
    inherited: Inherited,
}

/// A command: its arguments are the fields, its help their documentation.
trait Operation: CommandFactory + FromArgMatches {
    /// The exit status when it fails.
    const FAILURE: u8 = 1;

    /// Does it, and says the exit status.
    fn carry_out(self, context: &Context) -> Result<u8>;
}

/// A command in the table of all.
struct Entry {
    name: &'static str,
    arguments: fn() -> clap::Command,
    carry_out: fn(&Context, &ArgMatches) -> Result<u8>,
    failure: u8,
    enters_container: bool,
    /// Reads the arguments and does nothing.
    #[cfg(any(test, fuzzing))]
    understand: fn(&ArgMatches) -> Result<(), clap::Error>,
}

impl Entry {
    /// A command whose process becomes one of a container's.
    const fn entering<O: Operation>(name: &'static str) -> Self {
        Entry { enters_container: true, ..Entry::of::<O>(name) }
    }

    const fn of<O: Operation>(name: &'static str) -> Self {
        fn carry_out<O: Operation>(context: &Context, matches: &ArgMatches) -> Result<u8> {
            O::from_arg_matches(matches)?.carry_out(context)
        }
        Entry {
            name,
            arguments: O::command,
            carry_out: carry_out::<O>,
            failure: O::FAILURE,
            enters_container: false,
            #[cfg(any(test, fuzzing))]
            understand: |matches| O::from_arg_matches(matches).map(drop),
        }
    }

    fn command(&self) -> clap::Command {
        settled((self.arguments)()).name(self.name).bin_name(format!("corten {}", self.name))
    }
}

/// The commands, in the order of the help: a container's life, then what is done to one that runs, then the rest.
static ENTRIES: [Entry; 16] = [
    Entry::entering::<create::Create>("create"),
    Entry::of::<start::Start>("start"),
    Entry::entering::<run::Run>("run"),
    Entry::of::<kill::Kill>("kill"),
    Entry::of::<delete::Delete>("delete"),
    Entry::of::<state::State>("state"),
    Entry::of::<list::List>("list"),
    Entry::entering::<exec::Exec>("exec"),
    Entry::of::<ps::Ps>("ps"),
    Entry::of::<pause::Pause>("pause"),
    Entry::of::<resume::Resume>("resume"),
    Entry::of::<update::Update>("update"),
    Entry::of::<events::Events>("events"),
    Entry::of::<plan::Plan>("plan"),
    Entry::of::<spec::Spec>("spec"),
    Entry::of::<features::Features>("features"),
];

/// Reads the program's arguments, its name first, does what they say, and returns the exit status.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    // Before anything is opened: what is ours must be told from what the caller passes on.
    let inherited = Inherited::at_start();
    keep_statuses();
    let all: Vec<OsString> = arguments.into_iter().collect();
    let given: Vec<OsString> = all.iter().skip(1).cloned().collect();
    let CommandLine { globals, command } = match read("corten", &given) {
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => return printed(&tree().render_long_help().to_string()),
        Err(error) => return misused(tree(), &error, &Log::stderr()),
    };
    if globals.version {
        return printed(&version());
    }
    let entry = command.first().and_then(|name| ENTRIES.iter().find(|entry| name == entry.name));
    let sealed =
        if entry.is_some_and(|entry| entry.enters_container) { sealed_executable::ensure(all) } else { Ok(()) };
    let ready = sealed.and_then(|()| inherited.close_on_execute());
    let log = match globals.open_log() {
        Ok(log) => log,
        Err(error) => return failed(&error, 1, &Log::stderr()),
    };
    log.debug(|| format!("called with {given:?}"));
    if let Err(error) = ready {
        return failed(&error, 1, &log);
    }
    let Some((name, given)) = command.split_first() else {
        return printed(&tree().render_help().to_string());
    };
    match entry {
        Some(entry) => carried_out(entry, given, globals, log, inherited),
        None if name == "help" || name == "h" => help(given.first(), &log),
        None => failed(&anyhow::anyhow!("unknown command {name:?}; `corten help` lists them"), 1, &log),
    }
}

/// The whole of the command line, for help, manual pages and completions.
pub fn tree() -> clap::Command {
    settled(Globals::command()).subcommands(ENTRIES.iter().map(Entry::command))
}

/// What `--version` prints. docker looks for the words "version" and "commit:".
fn version() -> String {
    let commit = option_env!("CORTEN_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.map(|commit| format!("commit: {commit}\n")).unwrap_or_default();
    format!("corten version {}\n{commit}spec: {}\n", env!("CARGO_PKG_VERSION"), crate::spec::VERSION)
}

fn carried_out(entry: &Entry, given: &[OsString], globals: Globals, log: Log, inherited: Inherited) -> u8 {
    let mut command = entry.command();
    let matches = match matched(&mut command, given) {
        Ok(matches) => matches,
        Err(error) => return misused(command, &error, &log),
    };
    let log = Rc::new(log);
    let warnings = Rc::clone(&log);
    let host = match globals.host(move |warning| warnings.warning(warning)) {
        Ok(host) => host,
        Err(error) => return failed(&error, 1, &log),
    };
    let context = Context { globals, host, log, inherited };
    match (entry.carry_out)(&context, &matches) {
        Ok(status) => status,
        Err(error) => failed(&error, entry.failure, &context.log),
    }
}

fn help(name: Option<&OsString>, log: &Log) -> u8 {
    let Some(name) = name else {
        return printed(&tree().render_help().to_string());
    };
    match ENTRIES.iter().find(|entry| name == entry.name) {
        Some(entry) => printed(&entry.command().render_long_help().to_string()),
        None => failed(&anyhow::anyhow!("no help for {name:?}; `corten help` lists the commands"), 1, log),
    }
}

/// The settings that all levels share.
fn settled(command: clap::Command) -> clap::Command {
    // One text for both flags: an engine's -help is --help.
    let help = Arg::new("help").short('h').long("help").action(ArgAction::HelpLong).help("Print this help");
    command
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(help)
}

/// Reads the arguments of one level.
fn read<T: CommandFactory + FromArgMatches>(name: &'static str, given: &[OsString]) -> Result<T, clap::Error> {
    let mut command = settled(T::command()).name(name);
    let matches = matched(&mut command, given)?;
    T::from_arg_matches(&matches)
}

fn matched(command: &mut clap::Command, given: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let canonical = arguments::canonical(command, given)?;
    command.try_get_matches_from_mut(canonical)
}

/// Reads the program's arguments, without its name, as the program does up to the call: the command's name, or what is wrong.
#[cfg(any(test, fuzzing))]
pub(crate) fn understood(given: &[OsString]) -> Result<&'static str, String> {
    let CommandLine { globals, command } = read("corten", given).map_err(|error| mistake(&error))?;
    globals.host(|_| {}).map_err(|error| sentence(&error))?;
    let (name, given) = command.split_first().ok_or("no command")?;
    let entry = ENTRIES.iter().find(|entry| name == entry.name).ok_or_else(|| format!("unknown command {name:?}"))?;
    let matches = matched(&mut entry.command(), given).map_err(|error| mistake(&error))?;
    (entry.understand)(&matches).map_err(|error| mistake(&error))?;
    Ok(entry.name)
}

/// Help if that was asked for, and else what is wrong with the arguments, as runc says it: the help on stdout, and
/// the mistake in the log.
fn misused(mut command: clap::Command, error: &clap::Error, log: &Log) -> u8 {
    if error.kind() == ErrorKind::DisplayHelp {
        return printed(&error.render().to_string());
    }
    let _ = output::print(&format!("Incorrect Usage.\n\n{}\n", command.render_help()));
    log.fatal(&mistake(error));
    1
}

/// clap's error as one sentence: its first paragraph, without what it puts before and after.
fn mistake(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or(&text);
    let sentence = paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    sentence.strip_prefix("error: ").unwrap_or(&sentence).to_owned()
}

fn printed(text: &str) -> u8 {
    match output::print(text) {
        Ok(()) => 0,
        Err(error) => failed(&error, 1, &Log::stderr()),
    }
}

fn failed(error: &anyhow::Error, status: u8, log: &Log) -> u8 {
    log.fatal(&sentence(error));
    status
}

/// A bundle as the kernel calls it: absolute and without links, as runc's callers find it in the state.
fn bundle(path: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(path).attempt(|| format!("find the bundle {path:?}"))
}

/// A path as it is from anywhere: commands may change the directory.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).attempt(|| format!("make {path:?} absolute"))
}
