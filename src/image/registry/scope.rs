//! Scopes: what a token is for, `repository:NAME:pull,push` (distribution, "Token Scope Documentation").

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is to be done, by resource; what is equal prints equally.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// To read a repository.
    pub fn pull(repository: &str) -> Scopes {
        Scopes::default().and(&format!("repository:{repository}:pull"))
    }

    /// To read and write a repository.
    pub fn push(repository: &str) -> Scopes {
        Scopes::default().and(&format!("repository:{repository}:pull,push"))
    }

    /// These, and what a text has, in which blanks stand between scopes.
    #[must_use]
    pub fn and(mut self, text: &str) -> Scopes {
        for scope in text.split_ascii_whitespace() {
            // The name may have colons, and what has none at all (`aws`) is a scope, too.
            let (resource, actions) = scope.rsplit_once(':').unwrap_or((scope, ""));
            let known = self.0.entry(resource.to_owned()).or_default();
            known.extend(actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned));
        }
        self
    }

    /// One after the other, as each is asked for.
    pub fn each(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(resource, actions)| {
            let actions = actions.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            if actions.is_empty() { resource.clone() } else { format!("{resource}:{actions}") }
        })
    }

    /// Whether a token for these is good for those, too.
    pub fn cover(&self, other: &Scopes) -> bool {
        other.0.iter().all(|(resource, actions)| self.0.get(resource).is_some_and(|own| actions.is_subset(own)))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.each().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_put_together() {
        let push = Scopes::push("a/b");
        assert_eq!(push.to_string(), "repository:a/b:pull,push");
        assert_eq!(Scopes::pull("a/b").and("repository:a/b:push,pull"), push);
        let mount = push.clone().and("repository:c:pull aws");
        assert_eq!(mount.to_string(), "aws repository:a/b:pull,push repository:c:pull");
        assert!(mount.cover(&push) && push.cover(&Scopes::pull("a/b")) && !push.cover(&mount));
        assert!(push.cover(&Scopes::default()));
        let port = Scopes::default().and("repository:host:5000/a:pull");
        assert_eq!(port.to_string(), "repository:host:5000/a:pull");
    }
}
