//! Every command's `--help`, read: what docker has, and what it says.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::{Pair, Side};
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Pair>)> {
    cases![every_command_and_flag_of_dockers_is_there, every_help_says_what_there_is]
}

/// A command's help: its commands, and its flags with their letters.
#[derive(Debug, Default)]
struct Help {
    commands: BTreeSet<String>,
    flags: BTreeMap<String, Option<String>>,
    text: String,
}

fn help(pair: &Pair, side: Side, path: &[String]) -> Result<Help> {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let text = pair.on(side, &arguments).finish()?.success()?.stdout;
    let mut help = Help { text: text.clone(), ..Help::default() };
    let mut in_commands = false;
    for line in text.lines() {
        if !line.starts_with(' ') && !line.is_empty() {
            in_commands = line.trim_end().ends_with("Commands:");
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(first) = words.first() else { continue };
        let depth = line.len() - line.trim_start().len();
        if in_commands && depth == 2 {
            help.commands.insert(first.trim_end_matches('*').to_owned());
            // `[alias: list]` or `[aliases: list, x]`
            if let Some((_, aliases)) = line.split_once("[alias") {
                let aliases = aliases.trim_start_matches("es").trim_start_matches(": ").trim_end_matches(']');
                help.commands.extend(aliases.split(", ").map(|alias| alias.trim_start_matches(": ").to_owned()));
            }
        } else if depth <= 6 && first.starts_with('-') {
            let (letter, long) = match first.strip_suffix(',') {
                Some(letter) => (Some(letter.to_owned()), words.get(1).copied().unwrap_or_default()),
                None => (None, *first),
            };
            let long = long.split(['=', '[']).next().unwrap_or_default();
            help.flags.insert(long.to_owned(), letter);
            if let Some((_, aliases)) = line.split_once("[alias") {
                for alias in aliases.split_whitespace().filter(|word| word.starts_with("--")) {
                    help.flags.insert(alias.trim_end_matches([',', ']']).to_owned(), None);
                }
            }
        }
    }
    Ok(help)
}

/// What docker has and `ctn` has not, by the end of the command's path (`*` is any), and why.
const MISSING: &[(&str, &str, &str)] = &[
    ("*", "build", "there are no builds yet"),
    ("", "builder", "there are no builds yet"),
    ("", "completion", "made by `make install`"),
    ("", "config", SWARM),
    ("", "node", SWARM),
    ("", "secret", SWARM),
    ("", "service", SWARM),
    ("", "stack", SWARM),
    ("", "swarm", SWARM),
    ("", "plugin", "there is nothing to plug into"),
    ("", "trust", "signatures are looked at by nobody here"),
    ("", "context", DAEMON),
    ("", "--config", DAEMON),
    ("", "--context", DAEMON),
    ("", "--debug", DAEMON),
    ("", "--host", DAEMON),
    ("", "--log-level", DAEMON),
    ("", "--tls", DAEMON),
    ("", "--tlscacert", DAEMON),
    ("", "--tlscert", DAEMON),
    ("", "--tlskey", DAEMON),
    ("", "--tlsverify", DAEMON),
    ("version", "--kubeconfig", "docker has no use for it any more"),
    ("*", "--cpu-rt-period", CGROUP1),
    ("*", "--cpu-rt-runtime", CGROUP1),
    ("*", "--kernel-memory", CGROUP1),
    ("*", "--isolation", "Windows'"),
    ("network create", "--ingress", SWARM),
];

const SWARM: &str = "a swarm's";
const DAEMON: &str = "there is no daemon to be reached";
const CGROUP1: &str = "cgroup v2 has no such limit";

fn every_command_and_flag_of_dockers_is_there(pair: &Pair) -> Result<()> {
    let mut wrong = Vec::new();
    let mut used = vec![false; MISSING.len()];
    let mut paths = vec![Vec::new()];
    while let Some(path) = paths.pop() {
        let line = path.join(" ");
        let (docker, ctn) = (help(pair, Side::Docker, &path)?, help(pair, Side::Ctn, &path)?);
        let mut missing = |what: &str| {
            let is = |(at, known, _): &(&str, &str, &str)| (*at == "*" || *at == line) && *known == what;
            let found: Vec<usize> = (0..MISSING.len()).filter(|at| is(&MISSING[*at])).collect();
            found.iter().for_each(|at| used[*at] = true);
            !found.is_empty()
        };
        for command in &docker.commands {
            if ctn.commands.contains(command) {
                paths.push([&path[..], std::slice::from_ref(command)].concat());
            } else if !missing(command) {
                wrong.push(format!("`{line}` has no command {command}"));
            }
        }
        for (flag, letter) in &docker.flags {
            match ctn.flags.get(flag) {
                Some(own) if letter.is_none() || own == letter => {}
                Some(own) => wrong.push(format!("`{line}`: {flag} has the letter {own:?} and not {letter:?}")),
                None if missing(flag) => {}
                None => wrong.push(format!("`{line}` has no flag {flag}")),
            }
        }
    }
    let unused = MISSING.iter().zip(used).filter(|(_, used)| !used);
    wrong.extend(unused.map(|((at, what, why), _)| format!("`{at}` has {what} now, or docker has not ({why})")));
    ensure!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// Each of `ctn`'s own commands: a sentence about it, how it is called, and a sentence for each flag.
fn every_help_says_what_there_is(pair: &Pair) -> Result<()> {
    let mut wrong = Vec::new();
    let mut paths = vec![Vec::new()];
    let mut count = 0;
    while let Some(path) = paths.pop() {
        let help = help(pair, Side::Ctn, &path)?;
        count += 1;
        let line = format!("ctn {}", path.join(" "));
        let mut lines = help.text.lines();
        let about = lines.next().unwrap_or_default();
        if about.len() < 8 || about.starts_with("Usage") {
            wrong.push(format!("`{line}` doesn't say what it is for: {about:?}"));
        }
        // A command that is in two places is called by the shorter name, and an alias by the first one.
        let above = path.split_last().map(|(_, above)| above.join(" ")).unwrap_or_default();
        let name = path.last().cloned().unwrap_or_default();
        let ways = [format!("Usage: ctn {above}"), format!("Usage: ctn {name} ")];
        if !ways.iter().any(|way| help.text.contains(way.trim_end())) {
            wrong.push(format!("`{line}` doesn't say how it is called"));
        }
        // A flag's sentence is behind it, or in the next line.
        let all: Vec<&str> = help.text.lines().collect();
        for (at, text) in all.iter().enumerate().filter(|(_, text)| text.trim_start().starts_with('-')) {
            let behind = text.trim_start().split("  ").filter(|part| !part.is_empty()).count() > 1;
            let below = all
                .get(at + 1)
                .is_some_and(|next| next.starts_with("          ") && !next.trim_start().starts_with('-'));
            if !behind && !below {
                wrong.push(format!("`{line}` doesn't say what is: {text}"));
            }
        }
        // The commands that clap adds are no commands of ours.
        let commands = help.commands.iter().filter(|command| *command != "help" && !path.contains(*command));
        paths.extend(commands.map(|command| [&path[..], std::slice::from_ref(command)].concat()));
    }
    ensure!(count > 80, "only {count} commands were looked at");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
