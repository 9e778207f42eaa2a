//! Containers of an ordinary user.

mod life;
pub mod user;
