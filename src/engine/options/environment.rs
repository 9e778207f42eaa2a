//! `--env`, `--env-file`, `--label-file`.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::error::Attempt;

/// A caller's variables, and behind them those of an image that they say nothing of. Each name is there once.
pub fn merged(of_image: &[String], callers: impl IntoIterator<Item = String>) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut all: Vec<String> = Vec::new();
    for variable in callers {
        match all.iter_mut().find(|known| name(known) == name(&variable)) {
            Some(known) => *known = variable,
            None => all.push(variable),
        }
    }
    let known: Vec<String> = all.iter().map(|variable| name(variable)).collect();
    // A name without a value is docker's way to take a variable of the image away.
    all.retain(|variable| variable.contains('='));
    all.extend(of_image.iter().filter(|variable| !known.contains(&name(variable))).cloned());
    all
}

/// Puts variables over others: each name once, at its first place.
pub fn merge(variables: &mut Vec<String>, over: impl IntoIterator<Item = String>) {
    for variable in over {
        let (name, has_value) = variable.split_once('=').map_or((&variable[..], false), |(name, _)| (name, true));
        let position = variables.iter().position(|known| known.split('=').next() == Some(name));
        match (position, has_value) {
            (Some(at), true) => variables[at] = variable,
            // docker's way to take a variable of the image away.
            (Some(at), false) => drop(variables.remove(at)),
            (None, true) => variables.push(variable),
            (None, false) => {}
        }
    }
}

/// `--env`: a name without a value stands for the caller's, if there is one.
pub fn variable(text: &str) -> Result<String> {
    let name = text.split('=').next().unwrap_or_default();
    ensure!(!name.is_empty(), "invalid environment variable: {text}");
    if text.contains('=') {
        return Ok(text.into());
    }
    Ok(std::env::var(name).map_or_else(|_| name.to_owned(), |value| format!("{name}={value}")))
}

/// The lines of a file of variables: blank ones and those that begin with `#` say nothing.
pub fn file(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).attempt(|| format!("open {path:?}"))?;
    let mut all = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        ensure!(
            !name.is_empty() && !name.contains(char::is_whitespace),
            "invalid env file ({}): variable '{name}' contains whitespaces or has no name",
            path.display()
        );
        all.push(variable(line)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_later_wins() {
        let mut variables = vec!["A=1".to_owned(), "B=2".into()];
        merge(&mut variables, ["B=3".into(), "C=4".into(), "A".into(), "D".into()]);
        assert_eq!(variables, ["B=3", "C=4"]);
        assert!(variable("=x").is_err());
        assert_eq!(variable("A=b=c").unwrap(), "A=b=c");
    }
}
