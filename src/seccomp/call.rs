//! What the rules say of one system call on one architecture.

use std::collections::{HashMap, HashSet};

use super::action::Action;
use super::condition::Condition;
use super::precedence;

/// What a call gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// Decided by the number.
    Always(Action),
    /// Decided by the arguments: the first clause that holds, else the default action.
    ByArguments(Vec<Clause>),
}

/// Conditions that must hold together, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Clause {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: Action,
}

/// The rules for a call, added one by one.
pub(crate) enum Call {
    Always(Action),
    /// Boxed, as most calls are of the other kind.
    ByArguments(Box<Clauses>),
}

#[derive(Default)]
pub(crate) struct Clauses {
    clauses: Vec<Clause>,
    /// The conditions of the clauses.
    decided: HashSet<Vec<Condition>>,
    /// Actions of clauses that begin with these conditions, each with its rule: two, if there are different ones.
    begun: HashMap<Vec<Condition>, Vec<(Action, usize)>>,
}

impl Call {
    /// What the first rule says.
    pub(crate) fn new(conditions: Vec<Condition>, action: Action, rule: usize) -> Self {
        if conditions.is_empty() {
            return Self::Always(action);
        }
        let mut clauses = Clauses::default();
        clauses.add(conditions, action, rule);
        Self::ByArguments(Box::new(clauses))
    }

    /// Adds what a later rule says, which is nothing if an earlier one decides whenever this one would.
    pub(crate) fn add(&mut self, conditions: Vec<Condition>, action: Action, rule: usize) {
        match self {
            Self::Always(_) => {}
            Self::ByArguments(_) if conditions.is_empty() => *self = Self::Always(action),
            Self::ByArguments(clauses) => clauses.add(conditions, action, rule),
        }
    }

    /// The earlier rule that has another action for the same conditions, or for these and more.
    pub(crate) fn contradicted_by(&self, conditions: &[Condition], action: Action) -> Option<usize> {
        match self {
            Self::Always(_) => None,
            Self::ByArguments(clauses) => {
                let begun = clauses.begun.get(conditions)?;
                begun.iter().find(|(other, _)| *other != action).map(|(_, rule)| *rule)
            }
        }
    }

    /// How many clauses there are by now.
    pub(crate) fn clauses(&self) -> usize {
        match self {
            Self::Always(_) => 0,
            Self::ByArguments(clauses) => clauses.clauses.len(),
        }
    }

    /// What all rules together say.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Always(action) => Verdict::Always(*action),
            Self::ByArguments(clauses) => Verdict::ByArguments(precedence::arrange(&clauses.clauses)),
        }
    }
}

impl Clauses {
    fn add(&mut self, conditions: Vec<Condition>, action: Action, rule: usize) {
        let beginnings = || (1..=conditions.len()).map(|length| &conditions[..length]);
        if beginnings().any(|beginning| self.decided.contains(beginning)) {
            return;
        }
        for beginning in beginnings() {
            let actions = self.begun.entry(beginning.to_vec()).or_default();
            if actions.len() < 2 && actions.iter().all(|(other, _)| *other != action) {
                actions.push((action, rule));
            }
        }
        self.decided.insert(conditions.clone());
        self.clauses.push(Clause { conditions, action });
    }
}
