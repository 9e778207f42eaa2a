//! Images: what they are called, what they consist of, and how they come onto the disk and go from there.

pub mod archive;
pub mod bundle;
pub mod config;
pub mod digest;
pub mod layer;
pub mod manifest;
pub mod media_type;
pub mod mount;
pub mod platform;
pub mod reference;
pub mod registry;
pub mod store;
pub mod tar;
