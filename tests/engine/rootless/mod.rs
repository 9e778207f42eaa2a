//! Containers of an ordinary user.

mod life;
mod networks;
mod pasta;
mod wire;

pub use crate::harness::user;
