//! What is wrong with a command line, as docker says it: a sentence, and where help is.
//!
//! clap knows what is wrong; its own words are several lines, with advice that doesn't fit programs that take a command.

use std::error::Error as _;
use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The text for the caller. `tree` is the whole command line's, `arguments` are those that were refused, the program's name first.
pub(super) fn text(error: &clap::Error, mut tree: Command, arguments: &[OsString]) -> String {
    tree.build();
    let (path, command) = named(&tree, arguments);
    let sentence = match error.kind() {
        ErrorKind::UnknownArgument => match context(error, ContextKind::InvalidArg) {
            Some(flag) if flag.starts_with("--") => format!("unknown flag: {flag}"),
            Some(flag) if flag.starts_with('-') => {
                let letter = flag.trim_start_matches('-').chars().next().unwrap_or('-');
                let rest = rest_of_group(arguments, letter).unwrap_or_else(|| letter.to_string());
                format!("unknown shorthand flag: '{letter}' in -{rest}")
            }
            _ => return wrong_count(&path, command),
        },
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::TooManyValues => {
            match value(error, command) {
                Some(sentence) => sentence,
                None => return wrong_count(&path, command),
            }
        }
        ErrorKind::MissingRequiredArgument | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            return wrong_count(&path, command);
        }
        ErrorKind::InvalidSubcommand => {
            let word = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("{}: '{word}' is not a {path} command", tree.get_name())
        }
        // What is left are sentences of one line, after which advice begins.
        _ => {
            let text = error.render().to_string();
            text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    };
    format!("{sentence}\nSee '{path} --help'.\n")
}

/// The command that the arguments name, and how it is called.
fn named<'t>(tree: &'t Command, arguments: &[OsString]) -> (String, &'t Command) {
    let mut command = tree;
    let mut path = tree.get_name().to_owned();
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        if word == "--root" {
            words.next();
        } else if let Some(next) = command.find_subcommand(word) {
            path = format!("{path} {}", next.get_name());
            command = next;
        } else if !word.starts_with('-') {
            break;
        }
    }
    (path, command)
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    }
}

/// What is from this letter on in the argument of letters that has it: `ztz` of `-iztz`.
fn rest_of_group(arguments: &[OsString], letter: char) -> Option<String> {
    let mut words = arguments.iter().filter_map(|word| word.to_str());
    let group = words.find(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letter))?;
    group.find(letter).map(|at| group[at..].to_owned())
}

/// What is said of a value that can't be used; nothing if it isn't a flag's, and there was one too many of them.
fn value(error: &clap::Error, command: &Command) -> Option<String> {
    let named = context(error, ContextKind::InvalidArg)?;
    let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
    let reason = || match (error.source(), error.get(ContextKind::ValidValue)) {
        (_, Some(ContextValue::Strings(valid))) if !valid.is_empty() => format!("use one of {}", valid.join(", ")),
        (Some(reason), _) => reason.to_string(),
        _ => "it can't be read".to_owned(),
    };
    if !named.starts_with('-') {
        return matches!(error.kind(), ErrorKind::ValueValidation).then(reason);
    }
    // `-m, --memory <BYTES>` or `--memory <BYTES>`.
    let long = named.split(' ').find_map(|word| word.strip_prefix("--"))?;
    let long = long.split(['=', '[']).next().unwrap_or(long);
    if value.is_empty() && error.source().is_none() {
        return Some(format!("flag needs an argument: --{long}"));
    }
    let letter = command.get_arguments().find(|argument| argument.get_long() == Some(long))?.get_short();
    let flag = letter.map_or(format!("--{long}"), |letter| format!("-{letter}, --{long}"));
    Some(of_flag(&flag, value, &reason()))
}

/// `invalid argument "x" for "-m, --memory" flag: invalid size: 'x'`
pub(super) fn of_flag(flag: &str, value: &str, reason: &str) -> String {
    format!("invalid argument {value:?} for {flag:?} flag: {reason}")
}

/// How many arguments a command takes, and what it is for.
fn wrong_count(path: &str, command: &Command) -> String {
    let (least, most) = counts(command);
    let arguments = |count: usize| format!("{count} argument{}", if count == 1 { "" } else { "s" });
    let takes = match (least, most) {
        (_, Some(0)) => "accepts no arguments".to_owned(),
        (least, Some(most)) if least == most => format!("requires exactly {}", arguments(least)),
        (0, Some(most)) => format!("requires at most {}", arguments(most)),
        (least, Some(most)) => format!("requires at least {least} and at most {}", arguments(most)),
        (least, None) => format!("requires at least {}", arguments(least)),
    };
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    format!("\"{path}\" {takes}.\nSee '{path} --help'.\n\nUsage:  {usage}\n\n{about}\n")
}

/// The least number of arguments that a command takes, and the greatest, where there is one.
fn counts(command: &Command) -> (usize, Option<usize>) {
    let mut both = (0, Some(0));
    for argument in command.get_positionals() {
        let takes_many = matches!(argument.get_action(), clap::ArgAction::Append);
        let range = argument.get_num_args();
        let least = range.map_or(1, |range| range.min_values()).max(1);
        let is_open = takes_many || range.is_some_and(|range| range.max_values() > 1);
        both.0 += if argument.is_required_set() { least } else { 0 };
        both.1 = if is_open { None } else { both.1.map(|most: usize| most + 1) };
    }
    both
}

#[cfg(test)]
mod tests {
    use super::super::{CommandLine, tree};
    use super::*;
    use clap::Parser;

    fn refused(line: &str) -> String {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        text(&CommandLine::try_parse_from(&arguments).unwrap_err(), tree(), &arguments)
    }

    #[test]
    fn is_one_sentence_and_where_help_is() {
        for (line, wanted) in [
            ("ctn run --nosuch box", "unknown flag: --nosuch\nSee 'ctn run --help'.\n"),
            ("ctn --root x network rm --nosuch=1 n", "unknown flag: --nosuch\nSee 'ctn network rm --help'.\n"),
            ("ctn ps -aZ", "unknown shorthand flag: 'Z' in -Z\nSee 'ctn ps --help'.\n"),
            ("ctn run --name", "flag needs an argument: --name\nSee 'ctn run --help'.\n"),
            (
                "ctn run -a x box",
                "invalid argument \"x\" for \"-a, --attach\" flag: use one of stdin, stdout, stderr\nSee 'ctn run --help'.\n",
            ),
            (
                "ctn run --pids-limit x box",
                "invalid argument \"x\" for \"--pids-limit\" flag: invalid digit found in string\nSee 'ctn run --help'.\n",
            ),
            ("ctn nosuch", "ctn: 'nosuch' is not a ctn command\nSee 'ctn --help'.\n"),
            ("ctn network nosuch", "ctn: 'nosuch' is not a ctn network command\nSee 'ctn network --help'.\n"),
        ] {
            assert_eq!(refused(line), wanted, "{line}");
        }
    }

    #[test]
    fn a_wrong_number_of_arguments_is_told_with_the_right_one() {
        for (line, wanted) in [
            (
                "ctn run",
                "\"ctn run\" requires at least 1 argument.\nSee 'ctn run --help'.\n\nUsage:  ctn run [OPTIONS] IMAGE",
            ),
            ("ctn exec up", "\"ctn exec\" requires at least 2 arguments.\nSee 'ctn exec --help'.\n"),
            (
                "ctn ps x",
                "\"ctn ps\" accepts no arguments.\nSee 'ctn ps --help'.\n\nUsage:  ctn ps [OPTIONS]\n\nList containers\n",
            ),
            ("ctn rename a", "\"ctn rename\" requires exactly 2 arguments.\n"),
            ("ctn network create", "\"ctn network create\" requires exactly 1 argument.\n"),
            ("ctn network create a b", "\"ctn network create\" requires exactly 1 argument.\n"),
            ("ctn volume create a b", "\"ctn volume create\" requires at most 1 argument.\n"),
            ("ctn wait", "\"ctn wait\" requires at least 1 argument.\n"),
        ] {
            let said = refused(line);
            assert!(said.starts_with(wanted), "{line}: {said}");
        }
    }
}
