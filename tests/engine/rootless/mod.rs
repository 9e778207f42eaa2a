//! Containers of an ordinary user.

mod life;
mod pasta;
pub mod user;
