//! Values of flags that are kept as texts, and are looked at before anything else.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};

/// `NAME:ADDRESS` or `NAME=ADDRESS`.
pub(super) fn add_host(text: &str) -> Result<String> {
    ensure!(text.find([':', '=']).is_some_and(|at| at > 0), "bad format for add-host: {text:?}");
    Ok(text.to_owned())
}

pub(super) fn address(text: &str) -> Result<String> {
    let address = text.parse::<IpAddr>().ok().with_context(|| format!("{text} is not an ip address"))?;
    Ok(address.to_string())
}

/// `KEY=VALUE` or `KEY`.
pub(super) fn label(text: &str) -> Result<String> {
    ensure!(!text.is_empty() && !text.starts_with('='), "invalid label '{text}': empty name");
    Ok(text.to_owned())
}
