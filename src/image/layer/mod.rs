//! Layers: archives of changes, and the directories that they are unpacked to.
//!
//! A layer is unpacked by itself, in the form that overlayfs wants: what it removes is a character device 0:0, a directory that hides
//! all below it is marked opaque by an extended attribute. So all layers of an image are unpacked at the same time.

pub mod apply;
pub mod attributes;
pub mod changes;
pub mod compression;
pub mod copy;
pub mod descent;
pub mod directories;
pub mod finish;
pub mod form;
pub mod gzip;
pub mod ids;
pub mod pack;
pub mod path;
pub mod pipeline;
pub mod stack;
#[cfg(test)]
mod tests;
pub mod tree;

pub use apply::{Outcome, apply};
pub use finish::finish;
pub use form::Form;
pub use stack::Stack;
