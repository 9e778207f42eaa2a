//! What walls a process in.

pub mod capabilities;
pub mod sealed_executable;
