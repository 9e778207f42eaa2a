//! Of the harness, which can make places of an ordinary user, too.

#[path = "../../../tests/engine/rootless/user.rs"]
pub mod user;
