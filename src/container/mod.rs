//! The life of a container: one file for each call of the command line.
//!
//! What is known of a container is in its state directory ([`directory`]) and in the kernel; its status is derived from both and
//! never stored ([`status`]).

mod console;
mod create;
mod delete;
mod descriptors;
mod detach;
mod directory;
mod embed;
mod events;
mod exec;
mod foreground;
mod group;
mod host;
mod kill;
mod list;
mod notify_socket;
mod options;
mod out_of_memory;
mod pause;
mod plan;
mod record;
mod resctrl;
mod run;
mod start;
mod status;
mod update;

pub use create::create;
pub use delete::delete;
pub use descriptors::{Inherited, Passed};
#[cfg(feature = "companion")]
pub(crate) use detach::Keys;
pub use embed::{Embedded, embed, embed_exec};
pub use events::events;
pub use exec::exec;
#[cfg(feature = "companion")]
pub(crate) use foreground::{Raw, terminal_size};
pub use kill::kill;
pub use list::{list, state};
pub use options::*;
pub use pause::{pause, pids, resume};
pub use plan::plan;
#[cfg(any(test, fuzzing))]
pub(crate) use record::read_and_written;
pub use run::run;
pub use start::start;
pub use update::update;
