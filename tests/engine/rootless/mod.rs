//! Containers of an ordinary user.

mod life;
mod pasta;

use crate::harness::user;
