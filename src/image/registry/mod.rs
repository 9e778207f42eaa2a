//! Registries: images from there and to there (distribution-spec 1.1).
//!
//! | in this room | what |
//! | --- | --- |
//! | [`client`], [`repository`] | what commands start with: all that the user's configuration says, and one repository in one registry |
//! | [`pull`], [`push`], [`list`], [`progress`] | whole images, and what a person sees of it |
//! | [`manifests`], [`blob`], [`upload`], [`tags`], [`referrers`], [`link`], [`search`], [`mod@file`] | the protocol, a file for each of its parts |
//! | [`server`], [`authentication`], [`challenge`], [`scope`] | one registry, and how it is told who is asking |
//! | [`credentials`], [`helper`] | who the user is where |
//! | [`places`], [`certificates`] | mirrors and insecure registries; whom to believe |
//! | [`transport`], [`url`], [`retry`], [`patience`], [`failure`] | HTTP below it all |
//!
//! Nothing is believed that isn't hashed. What is secret goes to the server that it is for: not to another one that a redirect, an upload's
//! location or a mirror names, and not in the clear.

pub mod authentication;
pub mod blob;
pub mod certificates;
pub mod challenge;
pub mod client;
pub mod credentials;
pub mod failure;
pub mod file;
mod helper;
pub mod link;
pub mod list;
pub mod manifests;
pub mod patience;
pub mod places;
pub mod progress;
pub mod pull;
pub mod push;
pub mod referrers;
pub mod repository;
pub mod retry;
pub mod scope;
pub mod search;
pub mod server;
pub mod tags;
pub mod transport;
pub mod upload;
pub mod url;
