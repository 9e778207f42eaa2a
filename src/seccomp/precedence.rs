//! Which of several rules for one system call decides.
//!
//! The specification is silent, profiles are written and tried against libseccomp, so this is the order of its `db.c`:
//! a rule without conditions beats those with conditions, whichever came first, and the first one without conditions
//! beats the later ones. Among rules with conditions the narrower goes first: the later argument, equality before
//! "less" before "greater", then the nearer bound; and of a rule and one with more conditions the shorter. Where
//! libseccomp's filters fall short of that order (`tests/libseccomp.rs` lists the cases), this does not follow them.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::call::Clause;
use super::condition::{Condition, Operator};

/// Half of an argument, as one step of a comparison.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Word {
    /// Argument and half: the upper half of the last argument is the highest.
    place: u8,
    /// The operator that a BPF program tests with: the others are their negations.
    test: Operator,
    mask: u32,
    value: u32,
}

/// A word's place among its siblings: first by what it tests, then by which rule brought it.
type Rank = (Reverse<u8>, u8, u32, usize);

/// Sorts rules with conditions for one call so that the first match decides.
pub(crate) fn arrange(clauses: &[Clause]) -> Vec<Clause> {
    let mut first_with: HashMap<Vec<Word>, usize> = HashMap::new();
    let mut ranked: Vec<(Vec<Rank>, &Clause)> = Vec::new();
    for (index, clause) in clauses.iter().enumerate() {
        let mut path = Vec::new();
        let mut ranks = Vec::new();
        for (word, operator) in words(&clause.conditions) {
            let (place, class, bound) = rank(&word, operator);
            path.push(word);
            ranks.push((place, class, bound, *first_with.entry(path.clone()).or_insert(index)));
        }
        ranked.push((ranks, clause));
    }
    ranked.sort_by(|(one, _), (other, _)| one.cmp(other));
    ranked.into_iter().map(|(_, clause)| clause.clone()).collect()
}

fn rank(word: &Word, operator: Operator) -> (Reverse<u8>, u8, u32) {
    let (class, bound) = match operator {
        Operator::Equal | Operator::NotEqual | Operator::MaskedEqual => (0, !word.value),
        Operator::Less | Operator::LessOrEqual => (1, word.value),
        Operator::Greater | Operator::GreaterOrEqual => (2, !word.value),
    };
    (Reverse(word.place), class, bound)
}

fn words(conditions: &[Condition]) -> Vec<(Word, Operator)> {
    let mut words = Vec::new();
    for condition in conditions {
        let (upper, lower) = tests(condition.operator);
        let word = |half: u8, test: Operator, shift: u32| Word {
            place: condition.argument * 2 + half,
            test,
            mask: (condition.mask >> shift) as u32,
            value: (condition.value >> shift) as u32,
        };
        if condition.wide {
            words.push((word(1, upper, 32), condition.operator));
        }
        words.push((word(0, lower, 0), condition.operator));
    }
    words
}

fn tests(operator: Operator) -> (Operator, Operator) {
    use Operator::*;
    match operator {
        Equal | NotEqual => (Equal, Equal),
        MaskedEqual => (MaskedEqual, MaskedEqual),
        Greater | LessOrEqual => (Greater, Greater),
        GreaterOrEqual | Less => (Greater, GreaterOrEqual),
    }
}
