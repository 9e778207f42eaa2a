//! What `--filter` lets through.

use anyhow::{Result, bail};

use crate::network::{Network, Networks};

#[derive(Debug)]
pub(super) enum Filter {
    Driver(String),
    Id(String),
    Name(String),
    Label(String, Option<String>),
    /// Made by a user, or there by itself.
    Custom(bool),
    /// Nobody is in it.
    Dangling(bool),
    Scope(String),
}

impl Filter {
    pub(super) fn parse(text: &str) -> Result<Filter> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        Ok(match key {
            "driver" => Filter::Driver(value.into()),
            "id" => Filter::Id(value.into()),
            "name" => Filter::Name(value.into()),
            "label" => match value.split_once('=') {
                Some((key, value)) => Filter::Label(key.into(), Some(value.into())),
                None => Filter::Label(value.into(), None),
            },
            "type" if ["custom", "builtin"].contains(&value) => Filter::Custom(value == "custom"),
            "dangling" => Filter::Dangling(matches!(value, "true" | "1")),
            "scope" => Filter::Scope(value.into()),
            "type" => bail!("invalid filter '{text}'"),
            _ => bail!("invalid filter '{key}'"),
        })
    }

    /// Of several of one kind, one suffices; each label must fit.
    pub(super) fn all_let_through(filters: &[Filter], networks: &Networks, network: &Network) -> bool {
        let kind = std::mem::discriminant::<Filter>;
        let is_let = |filter: &Filter| match filter {
            Filter::Label(..) => filter.lets_through(networks, network),
            _ => filters
                .iter()
                .filter(|other| kind(other) == kind(filter))
                .any(|other| other.lets_through(networks, network)),
        };
        filters.iter().all(is_let)
    }

    fn lets_through(&self, networks: &Networks, network: &Network) -> bool {
        match self {
            Filter::Driver(driver) => network.driver.to_string() == *driver,
            Filter::Id(id) => network.id.starts_with(id.as_str()),
            Filter::Name(name) => network.name.contains(name.as_str()),
            Filter::Label(key, value) => {
                let found = network.labels.get(key);
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            }
            Filter::Custom(wanted) => network.is_predefined() != *wanted,
            Filter::Dangling(wanted) => {
                let is_dangling =
                    !network.is_predefined() && networks.endpoints(network).is_ok_and(|all| all.is_empty());
                is_dangling == *wanted
            }
            Filter::Scope(scope) => scope == "local",
        }
    }
}
