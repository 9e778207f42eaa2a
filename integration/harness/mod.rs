//! What the cases stand on: a host to run on, commands and terminals with bounds, daemons, an image.

pub(crate) mod command;
pub(crate) mod daemon;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod network;
pub(crate) mod terminal;
pub(crate) mod trial;
