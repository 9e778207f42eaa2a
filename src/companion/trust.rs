//! `--disable-content-trust`, which docker's scripts give.

use clap::{ArgAction, Args};

/// What there is to choose about signatures: nothing yet.
#[derive(Debug, Args)]
pub(super) struct Trust {
    /// Look at no signatures, which nobody does here
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_parser = disabled)]
    #[allow(dead_code, reason = "there is one value that it can have")]
    disable_content_trust: bool,
}

fn disabled(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "true" => Ok(true),
        "0" | "f" | "false" => Err("signatures are looked at by nobody here"),
        _ => Err("true or false is wanted"),
    }
}
