//! `ctn`: the commands, with docker's names, flags and output.
//!
//! A file for each command: parse, call [`crate::image`] or [`crate::network`], print.

#![allow(rustdoc::broken_intra_doc_links, reason = "what stands in brackets may be left out: these are help texts")]

mod commit;
mod container;
mod diff;
mod events;
mod export;
mod history;
mod images;
mod import;
mod info;
mod inspect;
mod instruction;
mod load;
mod login;
mod logout;
mod manifest;
mod mount;
mod network;
mod output;
mod progress;
mod prune;
mod pruned;
mod pull;
mod push;
mod refusal;
mod registry;
mod remove;
mod save;
mod search;
mod system;
pub mod table;
mod tag;
mod tags;
pub mod template;
mod tree;
mod trust;
pub mod units;
mod unpack;
mod volume;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::engine::rootless::{self, User};
use crate::engine::{Engine, monitor};
use crate::error::sentence;
use crate::image::digest::Digest;
use crate::image::layer::Form;
use crate::image::layer::copy::IdMaps;
use crate::image::store::Store;
use crate::image::store::table::Image;
use crate::sys::signal::keep_statuses;

/// Containers, images and networks, without a daemon
#[derive(Debug, Parser)]
#[command(
    name = "ctn",
    version,
    disable_version_flag = true,
    subcommand_required = true,
    arg_required_else_help = true,
    args_override_self = true
)]
struct CommandLine {
    /// Print the version
    #[arg(short, long, action = clap::ArgAction::Version)]
    version: Option<bool>,

    /// Where images are kept; else CTN_ROOT, /var/lib/corten, or below XDG_DATA_HOME for an ordinary user
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Pull(pull::Pull),
    Push(push::Push),
    Login(login::Login),
    Logout(logout::Logout),
    Load(load::Load),
    Save(save::Save),
    Import(import::Import),
    Export(export::Export),
    Images(images::Images),
    Tag(tag::Tag),
    Rmi(remove::Remove),
    Inspect(inspect::Inspect),
    History(history::History),
    Unpack(unpack::Unpack),
    Mount(mount::Mount),
    #[command(visible_alias = "umount")]
    Unmount(mount::Unmount),
    Diff(diff::Diff),
    Commit(commit::Commit),
    Events(events::Events),
    Info(info::Info),
    Version(info::Version),
    #[command(flatten)]
    Containers(container::Command),
    /// Commands for containers
    #[command(subcommand)]
    Container(container::Group),
    /// Commands for volumes
    #[command(subcommand)]
    Volume(volume::Command),
    Search(search::Search),
    SearchByTags(tags::Tags),
    /// Commands for images
    #[command(subcommand)]
    Image(ImageCommand),
    /// Commands for manifests
    #[command(subcommand)]
    Manifest(manifest::Manifest),
    /// Commands for networks
    #[command(subcommand)]
    Network(network::Network),
    /// Commands for the whole store
    #[command(subcommand)]
    System(system::System),
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    #[command(visible_alias = "list")]
    Ls(images::Images),
    #[command(visible_alias = "remove")]
    Rm(remove::Remove),
    Prune(prune::Prune),
    Pull(pull::Pull),
    Push(push::Push),
    Load(load::Load),
    Save(save::Save),
    Import(import::Import),
    Tag(tag::Tag),
    Tags(tags::Tags),
    Inspect(inspect::Inspect),
    History(history::History),
    Diff(diff::Diff),
    Mount(mount::Mount),
    #[command(visible_alias = "umount")]
    Unmount(mount::Unmount),
}

/// What a command is carried out with.
struct Context {
    root: PathBuf,
    /// Whose command it is, if not root's.
    user: Option<User>,
}

impl Context {
    fn store(&self) -> Result<Store> {
        Store::open(&self.root)
    }

    fn engine(&self) -> Result<Engine> {
        Engine::open(&self.root, self.user.clone())
    }

    /// How the ids here are ids of the machine, for an ordinary user.
    fn ids(&self) -> Option<&IdMaps> {
        self.user.as_ref().map(|user| &user.ids)
    }

    /// Whether there can be any: root of a user namespace has none.
    fn has_containers(&self) -> bool {
        self.user.is_some() || Form::of_process() == Form::Trusted
    }

    /// The engine, where a text names one of its containers.
    fn engine_with(&self, container: &str) -> Result<Option<Engine>> {
        if !self.has_containers() {
            return Ok(None);
        }
        let engine = self.engine()?;
        let is_there = engine.find(container).is_ok();
        Ok(is_there.then_some(engine))
    }

    /// The image of each container.
    fn images_of_containers(&self) -> Result<Vec<Digest>> {
        if !self.has_containers() {
            return Ok(Vec::new());
        }
        let engine = self.engine()?;
        Ok(engine.all()?.into_iter().filter_map(|container| container.record.image).collect())
    }

    /// The hexadecimal ids of images that containers were made of, or that are mounted.
    fn used_images(&self, store: &Store) -> Result<BTreeSet<String>> {
        let of_containers = self.images_of_containers()?.into_iter().map(|id| id.hex().to_owned());
        let mounted = store.mounts()?.into_iter().map(|(id, _)| id);
        Ok(of_containers.chain(mounted).collect())
    }

    /// The user's number on the machine.
    fn user(&self) -> u32 {
        self.user.as_ref().map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid)
    }
}

/// A command: its arguments are the fields, its help their documentation.
trait Operation {
    /// Does it, and says the exit status.
    fn carry_out(self, context: &Context) -> Result<u8>;
}

impl Operation for Command {
    fn carry_out(self, context: &Context) -> Result<u8> {
        match self {
            Command::Pull(pull) | Command::Image(ImageCommand::Pull(pull)) => pull.carry_out(context),
            Command::Push(push) | Command::Image(ImageCommand::Push(push)) => push.carry_out(context),
            Command::Login(login) => login.carry_out(context),
            Command::Logout(logout) => logout.carry_out(context),
            Command::Search(search) => search.carry_out(context),
            Command::SearchByTags(tags) | Command::Image(ImageCommand::Tags(tags)) => tags.carry_out(context),
            Command::Load(load) | Command::Image(ImageCommand::Load(load)) => load.carry_out(context),
            Command::Save(save) | Command::Image(ImageCommand::Save(save)) => save.carry_out(context),
            Command::Import(import) | Command::Image(ImageCommand::Import(import)) => import.carry_out(context),
            Command::Export(export) => export.carry_out(context),
            Command::Images(images) | Command::Image(ImageCommand::Ls(images)) => images.carry_out(context),
            Command::Tag(tag) | Command::Image(ImageCommand::Tag(tag)) => tag.carry_out(context),
            Command::Rmi(remove) | Command::Image(ImageCommand::Rm(remove)) => remove.carry_out(context),
            Command::Inspect(inspect) => inspect.carry_out(context),
            Command::Image(ImageCommand::Inspect(inspect)) => inspect.of_images().carry_out(context),
            Command::History(history) | Command::Image(ImageCommand::History(history)) => history.carry_out(context),
            Command::Unpack(unpack) => unpack.carry_out(context),
            Command::Mount(mount) | Command::Image(ImageCommand::Mount(mount)) => mount.carry_out(context),
            Command::Unmount(unmount) | Command::Image(ImageCommand::Unmount(unmount)) => unmount.carry_out(context),
            Command::Diff(diff) | Command::Image(ImageCommand::Diff(diff)) => diff.carry_out(context),
            Command::Commit(commit) => commit.carry_out(context),
            Command::Events(events) => events.carry_out(context),
            Command::Info(info) => info.carry_out(context),
            Command::Version(version) => version.carry_out(context),
            Command::Containers(command) => command.carry_out(context),
            Command::Container(group) => group.carry_out(context),
            Command::Volume(volume) => volume.carry_out(context),
            Command::Image(ImageCommand::Prune(prune)) => prune.carry_out(context),
            Command::Manifest(manifest) => manifest.carry_out(context),
            Command::Network(network) => network.carry_out(context),
            Command::System(system) => system.carry_out(context),
        }
    }
}

impl Command {
    /// Whether the exit status is the program's in the container, and docker's 125 says that there is none.
    fn is_run(&self) -> bool {
        use container::{Command::Run, Group};
        matches!(self, Command::Containers(Run(_)) | Command::Container(Group::Common(Run(_))))
    }
}

/// Reads the program's arguments, its name first, does what they say, and returns the exit status: docker's 125 for a mistake in a flag
/// and for whatever keeps a `run` from running, 1 for any other and for what failed.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    keep_statuses();
    // Modes are set as they are wanted.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|word| word == monitor::WORD) {
        return monitor::main(&arguments);
    }
    if arguments.get(1).is_some_and(|word| word == rootless::holder::WORD) {
        return rootless::holder::main(&arguments);
    }
    all_descriptors();
    let parsed = taking_dashes(tree()).try_get_matches_from(&arguments);
    let line = match parsed.and_then(|matches| CommandLine::from_arg_matches(&matches)) {
        Ok(line) => line,
        Err(error) => {
            if is_answer(&error) {
                return output::print(&error.render().to_string()).map_or(1, |()| 0);
            }
            output::complain(&refusal::text(&error, tree(), &arguments));
            return if is_of_flag(&error) { 125 } else { 1 };
        }
    };
    // docker's status of a `run` that nobody could carry out: its client has 1 for what it refuses by itself.
    let (who, status) = if line.command.is_run() { ("ctn: ", 125) } else { ("", 1) };
    let failed = |who, status, error| {
        output::complain(&format!("{who}Error: {}\n", sentence(&error)));
        status
    };
    match context(line.root) {
        Ok(context) => line.command.carry_out(&context).unwrap_or_else(|error| failed("", 1, error)),
        Err(error) => failed(who, status, error),
    }
}

/// Enters the user's namespace, if it is an ordinary user who calls.
fn context(root: Option<PathBuf>) -> Result<Context> {
    let user = rootless::enter()?;
    let root = root.map_or_else(|| Store::default_root(user.is_none()), Ok)?;
    Ok(Context { root, user })
}

/// Whether help was asked for, or nothing at all.
fn is_answer(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// Whether there is no such flag, or no such value of it.
fn is_of_flag(error: &clap::Error) -> bool {
    let of_one = !matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict);
    let name = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) => name.as_str(),
        _ => "",
    };
    // Of what is no UTF-8 it is not said where it stands.
    of_one && name.starts_with('-') || error.kind() == ErrorKind::InvalidUtf8
}

/// The merged view of an image holds a few descriptors for each layer, of which there may be hundreds.
fn all_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // Refused, it stays as it was, which is enough for most images.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// As Go's flags are read: what stands behind a flag that needs a value is the value, whatever it begins with
/// (`commit -m '- first'`, `--label -x`).
fn taking_dashes(command: clap::Command) -> clap::Command {
    let takes = |argument: &clap::Arg| {
        let is_flag = argument.get_long().is_some() || argument.get_short().is_some();
        let is_optional = argument.get_num_args().is_some_and(|count| count.min_values() == 0);
        is_flag && argument.get_action().takes_values() && !is_optional
    };
    let command = command.mut_args(|argument| match takes(&argument) {
        true => argument.allow_hyphen_values(true),
        false => argument,
    });
    command.mut_subcommands(taking_dashes)
}

/// The whole of the command line, for help, manual pages and completions.
pub fn tree() -> clap::Command {
    CommandLine::command()
}

/// A `--filter`, which has a name and a value.
fn filter(text: &str) -> Result<String, &'static str> {
    if text.contains('=') { Ok(text.to_owned()) } else { Err("bad format of filter (expected name=value)") }
}

/// What a filter's value says, as docker reads it.
fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

/// Bytes of an image's files, all layers together, as docker counts them.
fn size_of(store: &Store, image: &Image) -> u64 {
    let layer = |chain_id| store.layer(chain_id).map_or(0, |record| record.size);
    image.config.chain().iter().map(layer).sum()
}
