//! The habits of Go's `flag` package, for clap.
//!
//! Engines call a runtime as they call runc: `-no-subreaper`, `--tty=false`, `--memory -1`, and after the id of `exec`
//! whatever they like. clap reads getopt_long(3)'s language. [`canonical`] rewrites the one into a plain form of the
//! other, `--flag`, `--flag=value`, then `--` and the positionals, so that nothing is left for clap to guess.
//!
//! What a flag takes is read from the clap command itself; there is no second list of flags.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command, Error};

/// Rewrites the arguments of one command, without the program's or the command's name.
///
/// A flag may have one dash or two; its value is the rest of the word after `=`, or the whole next word, whatever that
/// looks like. A switch takes a value only after `=`, and the last of its kind wins. Single-letter switches may be joined
/// (`-dt`). An empty value is as good as none, and takes back an earlier one, unless a flag collects its values (`--env`).
/// Flags and positionals mix, but for a command whose last positional is a trailing one (`exec`, `ps`), where
/// the first positional ends the flags. What no flag is known for stays as it is: clap has the words to refuse it.
pub(super) fn canonical(command: &Command, given: &[OsString]) -> Result<Vec<OsString>, Error> {
    let mut reader = Reader { command, rest: given.iter(), flags: Vec::new() };
    let mut positionals = Vec::new();
    let ends_at_positional = command.get_positionals().any(Arg::is_trailing_var_arg_set);
    while let Some(word) = reader.rest.next() {
        match word.as_bytes() {
            b"--" => break,
            [b'-', b'-', name @ ..] => reader.long(word, name)?,
            [b'-', name @ ..] if !name.is_empty() => reader.short(word, name)?,
            _ => {
                positionals.push(word.clone());
                if ends_at_positional {
                    break;
                }
            }
        }
    }
    positionals.extend(reader.rest.cloned());
    let mut canonical = reader.flags;
    if !positionals.is_empty() {
        canonical.push("--".into());
        canonical.append(&mut positionals);
    }
    Ok(canonical)
}

/// Reads a boolean as Go's strconv.ParseBool does.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("invalid boolean value {text:?}")),
    }
}

/// What follows a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Nothing, but `=true` and `=false`.
    Switch,
    /// A value.
    Value,
    /// A value after `=`, or nothing.
    Optional,
}

/// A flag that the command knows.
struct Flag<'a> {
    long: &'a str,
    takes: Takes,
    collects: bool,
}

impl<'a> Flag<'a> {
    fn of(arg: &'a Arg) -> Option<Self> {
        let takes = match (arg.get_action().takes_values(), arg.get_num_args()) {
            (false, _) => Takes::Switch,
            (true, Some(count)) if count.min_values() == 0 => Takes::Optional,
            (true, _) => Takes::Value,
        };
        let collects = matches!(arg.get_action(), ArgAction::Append);
        Some(Flag { long: arg.get_long()?, takes, collects })
    }
}

/// What has been read, and what is still to read.
struct Reader<'c, 'w> {
    command: &'c Command,
    rest: std::slice::Iter<'w, OsString>,
    flags: Vec<OsString>,
}

impl<'c> Reader<'c, '_> {
    /// A word with two dashes: one flag, which may be one letter too, as in Go.
    fn long(&mut self, word: &OsStr, name: &[u8]) -> Result<(), Error> {
        let (name, value) = divided(name);
        match self.flag(name) {
            Some(flag) => self.take(flag, value),
            None => {
                self.flags.push(word.to_owned());
                Ok(())
            }
        }
    }

    /// A word with one dash: a flag as with two, or else letters that are flags each.
    fn short(&mut self, word: &OsStr, letters: &[u8]) -> Result<(), Error> {
        let (name, value) = divided(letters);
        if let Some(flag) = self.flag(name) {
            return self.take(flag, value);
        }
        let Some((switches, valued)) = self.joined(letters) else {
            self.flags.push(word.to_owned());
            return Ok(());
        };
        let read = switches.len() + usize::from(valued.is_some());
        for switch in switches {
            self.take(switch, None)?;
        }
        match valued {
            Some(flag) => {
                let value = &letters[read..];
                let value = value.strip_prefix(b"=").unwrap_or(value);
                self.take(flag, (read < letters.len()).then_some(value))
            }
            None => Ok(()),
        }
    }

    /// The switches that letters stand for, and the flag after them whose value the further letters are.
    fn joined(&self, letters: &[u8]) -> Option<(Vec<Flag<'c>>, Option<Flag<'c>>)> {
        let mut switches = Vec::new();
        for letter in letters {
            let flag = self.flag(std::slice::from_ref(letter))?;
            if flag.takes != Takes::Switch {
                return Some((switches, Some(flag)));
            }
            switches.push(flag);
        }
        Some((switches, None))
    }

    /// The flag of a name, long or of one letter.
    fn flag(&self, name: &[u8]) -> Option<Flag<'c>> {
        let name = std::str::from_utf8(name).ok()?;
        let mut letters = name.chars();
        let letter = letters.next().filter(|_| letters.next().is_none());
        let named = |arg: &&Arg| arg.get_long() == Some(name) || letter.is_some() && arg.get_short() == letter;
        self.command.get_arguments().find(named).and_then(Flag::of)
    }

    /// Writes one flag down, with its value where it has one.
    fn take(&mut self, flag: Flag<'_>, value: Option<&[u8]>) -> Result<(), Error> {
        let name = OsString::from(format!("--{}", flag.long));
        match (flag.takes, value) {
            (Takes::Switch, value) => {
                let on = value.map_or(Ok(true), |value| boolean(&String::from_utf8_lossy(value)));
                let on = on.map_err(|reason| refusal(format!("{reason} for --{}", flag.long)))?;
                self.flags.retain(|earlier| *earlier != name);
                if on {
                    self.flags.push(name);
                }
            }
            (Takes::Optional, None) => self.flags.push(name),
            (Takes::Value, None) => {
                let missing = || refusal(format!("flag needs an argument: --{}", flag.long));
                let value = self.rest.next().ok_or_else(missing)?;
                self.assign(&flag, name, value.as_bytes());
            }
            (_, Some(value)) => self.assign(&flag, name, value),
        }
        Ok(())
    }
}

impl Reader<'_, '_> {
    /// Writes a flag down with its value.
    fn assign(&mut self, flag: &Flag<'_>, name: OsString, value: &[u8]) {
        if value.is_empty() && flag.takes == Takes::Value && !flag.collects {
            let earlier = assigned(name, b"");
            self.flags.retain(|other| !other.as_bytes().starts_with(earlier.as_bytes()));
        } else {
            self.flags.push(assigned(name, value));
        }
    }
}

/// A word at its first `=`.
fn divided(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    match word.iter().position(|&byte| byte == b'=') {
        Some(at) => (&word[..at], Some(&word[at + 1..])),
        None => (word, None),
    }
}

/// `--flag=value` as one word.
fn assigned(name: OsString, value: &[u8]) -> OsString {
    let mut word = name.into_vec();
    word.push(b'=');
    word.extend_from_slice(value);
    OsString::from_vec(word)
}

fn refusal(text: String) -> Error {
    Error::raw(ErrorKind::InvalidValue, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A command with a flag of each kind.
    fn command(trailing: bool) -> Command {
        let flag = |name: &'static str, letter: char| Arg::new(name).long(name).short(letter);
        let command = super::super::settled(Command::new("test"))
            .arg(flag("tty", 't').action(ArgAction::SetTrue))
            .arg(flag("detach", 'd').action(ArgAction::SetTrue))
            .arg(Arg::new("no-subreaper").long("no-subreaper").action(ArgAction::SetTrue))
            .arg(flag("bundle", 'b').action(ArgAction::Set))
            .arg(Arg::new("memory").long("memory").action(ArgAction::Set))
            .arg(flag("env", 'e').action(ArgAction::Append))
            .arg(Arg::new("privs").long("privs").action(ArgAction::Set).num_args(0..=1).require_equals(true))
            .arg(Arg::new("id"));
        if trailing {
            command.arg(Arg::new("rest").num_args(0..).trailing_var_arg(true))
        } else {
            command.arg(Arg::new("signal"))
        }
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    /// What a line becomes, or the refusal.
    fn read(trailing: bool, line: &str) -> String {
        match canonical(&command(trailing), &words(line)) {
            Ok(words) => words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string().trim().to_owned(),
        }
    }

    #[test]
    fn every_spelling_of_a_flag_is_one() {
        let table = [
            // One dash and two.
            ("-no-subreaper c", "--no-subreaper -- c"),
            ("--no-subreaper c", "--no-subreaper -- c"),
            ("-bundle /b c", "--bundle=/b -- c"),
            ("--b /b c", "--bundle=/b -- c"),
            ("-b /b c", "--bundle=/b -- c"),
            // The value in the same word, in the next one, behind the letter.
            ("--bundle=/b c", "--bundle=/b -- c"),
            ("-b=/b c", "--bundle=/b -- c"),
            ("-b/b c", "--bundle=/b -- c"),
            ("-e A=1 -e=B=2 -eC=3 c", "--env=A=1 --env=B=2 --env=C=3 -- c"),
            // A value may look like anything.
            ("--memory -1 c", "--memory=-1 -- c"),
            ("--memory=-1 c", "--memory=-1 -- c"),
            ("--memory --tty c", "--memory=--tty -- c"),
            ("--bundle -- c", "--bundle=-- -- c"),
            ("--bundle - c", "--bundle=- -- c"),
            // An empty one is none, but for what is collected.
            ("--bundle= c", "-- c"),
            ("--bundle /a --bundle= c", "-- c"),
            ("-e A=1 -e= c", "--env=A=1 --env= -- c"),
            // Switches.
            ("--tty=true c", "--tty -- c"),
            ("-t=1 c", "--tty -- c"),
            ("--tty=false c", "-- c"),
            ("--tty --tty=false c", "-- c"),
            ("--tty=false -t c", "--tty -- c"),
            ("--tty=maybe c", "error: invalid boolean value \"maybe\" for --tty"),
            ("--tty false", "--tty -- false"),
            ("-dt c", "--detach --tty -- c"),
            ("-dtb /b c", "--detach --tty --bundle=/b -- c"),
            ("-tb/b c", "--tty --bundle=/b -- c"),
            ("-tb=/b c", "--tty --bundle=/b -- c"),
            // A flag whose value is optional never takes the next word.
            ("--privs c", "--privs -- c"),
            ("--privs=false c", "--privs=false -- c"),
            ("-privs c", "--privs -- c"),
            // Help.
            ("-h", "--help"),
            ("-help", "--help"),
            ("--help c", "--help -- c"),
            // Refused here.
            ("c --memory", "error: flag needs an argument: --memory"),
            ("c -b", "error: flag needs an argument: --bundle"),
            // Left for clap to refuse.
            ("--unknown c", "--unknown -- c"),
            ("--unknown=1 c", "--unknown=1 -- c"),
            ("-tx c", "-tx -- c"),
            ("-9 c", "-9 -- c"),
            // Nothing.
            ("", ""),
            ("-", "-- -"),
        ];
        for (line, expected) in table {
            assert_eq!(read(false, line), expected, "{line}");
        }
    }

    #[test]
    fn flags_end_where_the_command_says() {
        let table = [
            (false, "c --tty 9", "--tty -- c 9"),
            (false, "c 9 -b /b", "--bundle=/b -- c 9"),
            (false, "--tty -- c --tty", "--tty -- c --tty"),
            (true, "--tty c sh -c --bundle", "--tty -- c sh -c --bundle"),
            (true, "c --tty", "-- c --tty"),
            (true, "c -- ls", "-- c -- ls"),
            (true, "-- c --tty", "-- c --tty"),
            (true, "--bundle c", "--bundle=c"),
        ];
        for (trailing, line, expected) in table {
            assert_eq!(read(trailing, line), expected, "{line}");
        }
    }

    #[test]
    fn arguments_need_not_be_text() {
        let odd = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let given = [odd(b"-b"), odd(b"/\xff"), odd(b"--env=\xfe"), odd(b"-\xff"), odd(b"\xff")];
        let expected = [odd(b"--bundle=/\xff"), odd(b"--env=\xfe"), odd(b"-\xff"), odd(b"--"), odd(b"\xff")];
        assert_eq!(canonical(&command(false), &given).unwrap(), expected);
    }

    #[test]
    fn booleans_are_go_s() {
        for text in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(boolean(text), Ok(true));
        }
        for text in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(boolean(text), Ok(false));
        }
        for text in ["", "yes", "tRUE", "2", " 1"] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }

    /// Words that are likely to be read as something.
    fn word() -> impl Strategy<Value = OsString> {
        let known = prop::sample::select(vec![
            "-",
            "--",
            "-t",
            "--tty",
            "-d",
            "-tty",
            "-dt",
            "--tty=false",
            "--tty=x",
            "-b",
            "--bundle",
            "--bundle=x",
            "-bx",
            "--memory",
            "-1",
            "-e",
            "-eA",
            "--privs",
            "--privs=0",
            "--unknown",
            "-x",
            "id",
            "help",
            "--help",
            "",
        ]);
        prop_oneof![known.prop_map(OsString::from), prop::collection::vec(1u8.., 0..6).prop_map(OsString::from_vec),]
    }

    fn line() -> impl Strategy<Value = Vec<OsString>> {
        prop::collection::vec(word(), 0..8)
    }

    /// What somebody wants to say.
    #[derive(Debug, Clone)]
    enum Meaning {
        Switch(&'static str),
        Valued(&'static str, String),
        Positional(String),
    }

    fn meaning() -> impl Strategy<Value = Meaning> {
        let valued = prop::sample::select(vec!["bundle", "b", "memory", "env", "e"]);
        prop_oneof![
            prop::sample::select(vec!["tty", "t", "detach", "no-subreaper"]).prop_map(Meaning::Switch),
            (valued, "[ -~]{0,6}").prop_map(|(name, value)| Meaning::Valued(name, value)),
            "[a-z0-9]{1,4}".prop_map(Meaning::Positional),
        ]
    }

    /// The words for it: each with one dash or two, each value in the same word or in the next.
    fn spelled(meant: &[Meaning], spelling: &[(bool, bool)]) -> Vec<OsString> {
        let mut words = Vec::new();
        for (meaning, (single, apart)) in meant.iter().zip(spelling) {
            let dashes = if *single { "-" } else { "--" };
            match meaning {
                Meaning::Switch(name) => words.push(format!("{dashes}{name}{}", if *apart { "" } else { "=true" })),
                Meaning::Valued(name, value) if *apart => {
                    words.push(format!("{dashes}{name}"));
                    words.push(value.clone());
                }
                Meaning::Valued(name, value) => words.push(format!("{dashes}{name}={value}")),
                Meaning::Positional(word) => words.push(word.clone()),
            }
        }
        words.into_iter().map(OsString::from).collect()
    }

    proptest! {
        #[test]
        fn what_is_canonical_stays_as_it_is(given in line(), trailing: bool) {
            let command = command(trailing);
            if let Ok(once) = canonical(&command, &given) {
                prop_assert_eq!(canonical(&command, &once).unwrap(), once);
            }
        }

        #[test]
        fn every_spelling_means_the_same(meant in prop::collection::vec(meaning(), 0..6), spelling: [(bool, bool); 6]) {
            let plain = canonical(&command(false), &spelled(&meant, &[(false, false); 6])).unwrap();
            prop_assert_eq!(canonical(&command(false), &spelled(&meant, &spelling)).unwrap(), plain);
        }

        #[test]
        fn after_the_id_nothing_is_touched(tail in line()) {
            let mut given = words("--tty id");
            given.extend(tail.iter().cloned());
            let mut expected = words("--tty -- id");
            expected.extend(tail);
            prop_assert_eq!(canonical(&command(true), &given).unwrap(), expected);
        }

        #[test]
        fn a_value_may_be_any_word(value in word()) {
            let joined = assigned("--env".into(), value.as_bytes());
            let apart = canonical(&command(false), &["--env".into(), value]).unwrap();
            prop_assert_eq!(&apart, &vec![joined.clone()]);
            prop_assert_eq!(canonical(&command(false), &[joined]).unwrap(), apart);
        }
    }
}
