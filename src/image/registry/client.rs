//! What is configured for this user and machine, and the connections.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

use super::certificates::Certificates;
use super::credentials::{Keyring, Login};
use super::places::{Place, Places};
use super::repository::Repository;
use super::server::Server;
use super::transport::Transport;
use crate::image::reference::Reference;

/// What a command says about how registries are to be called, beside all configuration.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Who the user is.
    pub login: Option<Login>,
    /// The one file of credentials.
    pub credentials: Option<PathBuf>,
    /// The one directory of certificates.
    pub certificates: Option<PathBuf>,
    /// Whether to look who answers; as it is configured, if nothing is said.
    pub verify: Option<bool>,
    /// The user's number outside of all namespaces.
    pub user: u32,
}

/// A client of all registries.
#[derive(Debug)]
pub struct Client {
    /// The connections.
    pub transport: Transport,
    /// Who the user is where.
    pub keyring: Keyring,
    places: Places,
    login: Option<Login>,
    verify: Option<bool>,
    /// By host and, because credentials can be for a part of a registry, by repository.
    servers: Mutex<BTreeMap<(String, String), Arc<Server>>>,
}

impl Client {
    /// Reads the configuration.
    pub fn new(settings: Settings) -> Result<Client> {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let own = home.filter(|_| settings.user != 0).map(|home| home.join(".config"));
        let own = own.iter().flat_map(|own| [own.join("containers/certs.d"), own.join("docker/certs.d")]);
        let common = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        let certificates = Certificates::new(own.chain(common).collect(), settings.certificates);
        Ok(Client {
            transport: Transport::new(certificates)?,
            keyring: Keyring::of_user(settings.credentials, settings.user)?,
            places: Places::of_user(settings.user == 0)?,
            login: settings.login,
            verify: settings.verify,
            servers: Mutex::default(),
        })
    }

    /// Where an image can be pulled from, in this order: mirrors, and the registry of its name.
    pub fn sources(&self, reference: &Reference) -> Result<Vec<Repository<'_>>> {
        self.places.to_pull(reference)?.into_iter().map(|place| self.at(reference, place)).collect()
    }

    /// The repository that the name says.
    pub fn repository(&self, reference: &Reference) -> Result<Repository<'_>> {
        self.at(reference, self.places.own(reference)?)
    }

    /// A registry without a repository, for whoever logs in with this.
    pub fn registry(&self, host: &str, login: Option<Login>) -> Server {
        Server::new(&self.verified(self.places.registry(host)), login)
    }

    fn at(&self, reference: &Reference, place: Place) -> Result<Repository<'_>> {
        let place = self.verified(place);
        let key = (place.host.clone(), place.repository.clone());
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let server = match servers.get(&key) {
            Some(known) => known.clone(),
            None => {
                let server = Arc::new(Server::new(&place, self.login_for(reference, &place)?));
                servers.insert(key, server.clone());
                server
            }
        };
        Ok(Repository { client: self, server, path: place.repository, mirror: place.mirror })
    }

    fn verified(&self, place: Place) -> Place {
        Place { insecure: self.verify.map_or(place.insecure, |verify| !verify), ..place }
    }

    /// A mirror is another registry: what the user is at the first is none of its business.
    fn login_for(&self, reference: &Reference, place: &Place) -> Result<Option<Login>> {
        if place.mirror {
            return self.keyring.find(&format!("{}/{}", place.host, place.repository));
        }
        if let Some(login) = &self.login {
            return Ok(Some(login.clone()));
        }
        self.keyring.find(&reference.name()).with_context(|| format!("the credentials for {}", reference.domain()))
    }
}
