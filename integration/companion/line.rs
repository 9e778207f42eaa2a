//! A command line for both, and what is expected of them.

use anyhow::{Context, Result, ensure};

use super::normal::normal;
use super::{Pair, Side};
use crate::harness::command::Finished;

/// What the two do with a line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    /// The same status, the same output, the same words.
    Same,
    /// The same, but for the order of lines, and of labels in a line, which docker has by accident (Go's maps are read in a random order).
    Sorted,
    /// The same status and output; `ctn` has words of its own, these among them.
    Words(&'static str, Why),
    /// Each has its own end: docker's status and some of its words, and `ctn`'s.
    Other((i32, &'static str), (i32, &'static str), Why),
}

/// The reason of a difference that is meant to be.
pub(super) type Why = &'static str;

pub(super) use Expected::{Other, Same, Sorted, Words};

/// Carries out each line on both sides, in this order; every difference is told, not the first alone.
pub(super) fn follow(pair: &Pair, lines: &[(&str, Expected)]) -> Result<()> {
    let mut wrong = Vec::new();
    for (line, expected) in lines {
        let words = words(line)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let [docker, ctn] = pair.both(&words)?;
        if let Err(error) = compare(&docker, &ctn, *expected) {
            wrong.push(format!("### {line}\n{error:#}\n{docker}\n{ctn}"));
        }
    }
    ensure!(wrong.is_empty(), "{} of {} lines are not as expected:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
    Ok(())
}

fn compare(docker: &Finished, ctn: &Finished, expected: Expected) -> Result<()> {
    let statuses = (docker.status, ctn.status);
    let outputs = (normal(&docker.stdout, Side::Docker), normal(&ctn.stdout, Side::Ctn));
    let errors = (normal(&docker.stderr, Side::Docker), normal(&ctn.stderr, Side::Ctn));
    let is_same = || statuses.0 == statuses.1 && outputs.0 == outputs.1;
    match expected {
        Sorted => {
            ensure!(statuses.0 == statuses.1, "the statuses differ: {statuses:?}");
            let lines = [&outputs.0, &outputs.1].map(|text| sorted(text));
            ensure!(lines[0] == lines[1], "the lines differ:\n{}---\n{}", outputs.0, outputs.1);
        }
        Same => {
            ensure!(statuses.0 == statuses.1, "the statuses differ: {statuses:?}");
            ensure!(outputs.0 == outputs.1, "the outputs differ:\n{}---\n{}", outputs.0, outputs.1);
            ensure!(errors.0 == errors.1, "the errors differ:\n{}---\n{}", errors.0, errors.1);
        }
        Words(text, why) => {
            ensure!(is_same(), "status or output differ: {statuses:?}\n{}---\n{}", outputs.0, outputs.1);
            ensure!(errors.0 != errors.1, "the words don't differ any more ({why})");
            ensure!(errors.1.contains(text), "ctn doesn't say {text:?} but {:?} ({why})", errors.1);
        }
        Other(wanted_docker, wanted_ctn, why) => {
            ensure!(!is_same() || errors.0 != errors.1, "there is no difference any more ({why})");
            for (side, wanted, status, said) in [
                ("docker", wanted_docker, statuses.0, outputs.0 + &errors.0),
                ("ctn", wanted_ctn, statuses.1, outputs.1 + &errors.1),
            ] {
                ensure!(status == wanted.0, "{side} ends with {status} and not {} ({why})", wanted.0);
                ensure!(said.contains(wanted.1), "{side} doesn't say {:?} but {said:?} ({why})", wanted.1);
            }
        }
    }
    Ok(())
}

/// The lines in an order of their own, and in each what commas part, also within a string of JSON.
fn sorted(text: &str) -> Vec<Vec<&str>> {
    let mut lines: Vec<Vec<&str>> = text.lines().map(|line| line.split([',', '"']).collect()).collect();
    lines.iter_mut().for_each(|line| line.sort_unstable());
    lines.sort_unstable();
    lines
}

/// The line's words; quotes of either kind keep blanks, and each other.
pub(super) fn words(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), letter) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, letter) => word.get_or_insert_default().push(letter),
        }
    }
    ensure!(quote.is_none(), "a quote is open in {line:?}");
    words.extend(word);
    words.first().context("an empty line")?;
    Ok(words)
}
