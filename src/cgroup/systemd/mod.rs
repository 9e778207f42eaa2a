//! The systemd driver: a container is a unit, and systemd makes its group.
//!
//! [`Unit`] says which unit a `linux.cgroupsPath` names, [`properties`] and [`annotation`] what systemd is told of it, and
//! [`Systemd`] is the connection to the manager. The group is then one like any other (see [`super::Group`]): limits are
//! written into its files as well, since systemd knows only some of them and rounds others.
//!
//! The protocol, D-Bus, is spoken by a client of our own, for all that is needed of it are four calls and one signal, one
//! after the other: [`value`], `wire` and `message` are its types and its bytes, `address` and `connection` its sockets.

mod address;
pub mod annotation;
mod connection;
mod manager;
mod message;
mod name;
pub mod properties;
mod text;
mod update;
pub mod value;
mod wire;

pub use manager::{Systemd, unit_properties};
pub use name::{Unit, slice_path};
#[cfg(test)]
mod tests;
