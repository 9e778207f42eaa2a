//! Containers of an ordinary user.

mod life;
mod pasta;

pub use crate::harness::user;
