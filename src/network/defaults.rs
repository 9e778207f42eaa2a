//! The networks that are there without having been made: `bridge`, `host` and `none`.

use anyhow::Result;

use super::create::{self, Create};
use super::link::Links;
use super::subnet::overlap;
use super::{Driver, Network, Networks};
use crate::image::digest::Digest;

/// The default network, its link, and the others' names.
pub(super) const BRIDGE: &str = "bridge";
pub(super) const BRIDGE_LINK: &str = "corten0";
pub(super) const HOST: &str = "host";
pub(super) const NONE: &str = "none";

/// As they are while nobody has used them; `bridge` has no addresses yet.
pub(super) fn placeholders(bridge: &str) -> [Network; 3] {
    [(BRIDGE, Driver::Bridge, bridge), (HOST, Driver::Host, ""), (NONE, Driver::Null, "")].map(
        |(name, driver, link)| Network {
            // The same on each machine and each time, so that it can be kept by whoever has asked for it.
            id: Digest::of(format!("corten network {name}").as_bytes()).hex().to_owned(),
            name: name.into(),
            created: "1970-01-01T00:00:00Z".into(),
            driver,
            link: link.into(),
            pools: Vec::new(),
            ipv6: false,
            internal: false,
            attachable: false,
            labels: Default::default(),
            options: Default::default(),
            ipam_options: Default::default(),
            configuration: None,
            config_from: None,
        },
    )
}

impl Networks {
    /// Whether nobody uses it, and its subnet is on a wire of the host by now: the machine is elsewhere than when it was made.
    pub(super) fn is_displaced(&self, bridge: &Network) -> Result<bool> {
        let links = Links::open()?;
        if links.find(&bridge.link)?.is_some() || !self.endpoints(bridge)?.is_empty() {
            return Ok(false);
        }
        let routes = links.routes()?.into_iter().filter(|route| route.destination.prefix_len() > 0);
        let mut routes = routes.map(|route| route.destination);
        Ok(routes.any(|route| bridge.pools.iter().any(|pool| overlap(&pool.subnet, &route))))
    }

    /// Makes `bridge`, with a subnet that nobody else on this machine has.
    pub(super) fn make_default(&self) -> Result<Network> {
        let _alone = self.lock_definitions()?;
        let there = self.definitions()?;
        if let Some(made) = there.iter().find(|one| one.name == BRIDGE)
            && !self.is_displaced(made)?
        {
            return Ok(made.clone());
        }
        let there: Vec<Network> = there.into_iter().filter(|one| one.name != BRIDGE).collect();
        let [bridge, ..] = placeholders(&self.bridge);
        let options = Create { name: BRIDGE.into(), ..Create::default() };
        let host = self.host()?;
        let planned = create::plan(&options, &there, &host)?;
        let network = Network { id: bridge.id, link: bridge.link, ..planned };
        self.write_definition(&network)?;
        Ok(network)
    }
}
