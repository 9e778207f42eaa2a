//! Whom to believe, and by what to be known: the system's roots, private ones, and client certificates.
//!
//! docker and containers have both in a directory for each registry, `certs.d/HOST[:PORT]`: `*.crt` are roots, and a `*.cert` is a
//! client's certificate, whose key has the same name and ends in `.key`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use rustls::{AlertDescription, CertificateError};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::error::Attempt;

/// Where certificates are.
#[derive(Debug, Default)]
pub struct Certificates {
    /// Directories that have one for each registry.
    pub directories: Vec<PathBuf>,
    /// The directory of the registry that is called, in place of those.
    pub own: Option<PathBuf>,
    system: OnceLock<Vec<Certificate<'static>>>,
}

/// What a registry's directory has.
#[derive(Debug, Default)]
struct Found {
    roots: Vec<Certificate<'static>>,
    client: Option<ClientCert>,
}

impl Certificates {
    /// Those in some directories.
    pub fn new(directories: Vec<PathBuf>, own: Option<PathBuf>) -> Certificates {
        Certificates { directories, own, system: OnceLock::new() }
    }

    /// How to talk TLS with a server, `HOST[:PORT]`. Whoever is `trusting` believes every certificate.
    pub fn of(&self, authority: &str, trusting: bool) -> Result<TlsConfig> {
        let mut found = Found::default();
        let everywhere = self.directories.iter().map(|directory| directory.join(authority));
        for directory in self.own.clone().map_or_else(|| everywhere.collect(), |own| vec![own]) {
            found.look_into(&directory)?;
        }
        let mut roots = self.system().to_vec();
        roots.append(&mut found.roots);
        // Where the system has none, those that the program was built with.
        let roots = if roots.is_empty() { RootCerts::WebPki } else { RootCerts::new_with_certs(&roots) };
        Ok(TlsConfig::builder().root_certs(roots).client_cert(found.client).disable_verification(trusting).build())
    }

    fn system(&self) -> &[Certificate<'static>] {
        self.system.get_or_init(|| {
            // SSL_CERT_FILE and SSL_CERT_DIR, or where distributions have them. One that can't be read is one less to believe.
            let found = rustls_native_certs::load_native_certs();
            found.certs.iter().map(|one| Certificate::from_der(one).to_owned()).collect()
        })
    }
}

impl Found {
    fn look_into(&mut self, directory: &Path) -> Result<()> {
        let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.roots.append(&mut certificates(&path)?),
                Some("cert") => self.client = Some(client(&path)?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let pem = fs::read(path).attempt(|| format!("read {path:?}"))?;
    let items = parse_pem(&pem).collect::<Result<Vec<_>, _>>().map_err(|error| anyhow!("{path:?}: {error}"))?;
    let certificate = |item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    };
    let found: Vec<_> = items.into_iter().filter_map(certificate).collect();
    ensure!(!found.is_empty(), "{path:?} has no certificate in PEM");
    Ok(found)
}

fn client(path: &Path) -> Result<ClientCert> {
    let chain = certificates(path)?;
    let key_path = path.with_extension("key");
    let pem = fs::read(&key_path).attempt(|| format!("read {key_path:?}, the key of {path:?}"))?;
    let key = PrivateKey::from_pem(&pem).map_err(|error| anyhow!("{key_path:?}: {error}"))?;
    // What ureq would not survive.
    let ders = chain.iter().map(|one| rustls::pki_types::CertificateDer::from(one.der().to_vec())).collect();
    let key_der = rustls::pki_types::PrivateKeyDer::try_from(key.der().to_vec()).map_err(|error| anyhow!(error));
    let usable = key_der.and_then(|key| {
        let provider = rustls::crypto::ring::default_provider();
        rustls::sign::CertifiedKey::from_der(ders, key, &provider).map_err(|error| anyhow!(error))
    });
    usable.with_context(|| format!("{path:?} and {key_path:?} are no certificate with its key"))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// What went wrong with TLS, and what can be done about it.
pub fn advised(error: &rustls::Error, authority: &str) -> anyhow::Error {
    let cause = anyhow!(error.to_string());
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => cause.context(format!(
            "the certificate of {authority} is from nobody that this machine trusts; the root that it is from can be put into \
             /etc/docker/certs.d/{authority}/ca.crt"
        )),
        rustls::Error::InvalidCertificate(_) => cause.context(format!("the certificate of {authority} is not valid")),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => {
            cause.context(format!(
                "{authority} wants to know a certificate of this client: client.cert and client.key in \
                 /etc/docker/certs.d/{authority}"
            ))
        }
        rustls::Error::InvalidMessage(_) => {
            cause.context(format!("{authority} doesn't speak TLS; --tls-verify=false also takes plain HTTP"))
        }
        _ => cause.context(format!("TLS with {authority}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_named() {
        let directory = std::env::temp_dir().join(format!("corten-certificates-{}", std::process::id()));
        let own = directory.join("a.example:5000");
        fs::create_dir_all(&own).unwrap();
        let certificates = Certificates::new(vec![directory.clone()], None);
        let refusal = |name: &str| {
            fs::write(own.join(name), "nothing").unwrap();
            let error = format!("{:#}", certificates.of("a.example:5000", false).unwrap_err());
            fs::remove_file(own.join(name)).unwrap();
            error
        };
        assert!(refusal("ca.crt").ends_with("ca.crt\" has no certificate in PEM"), "{}", refusal("ca.crt"));
        assert!(refusal("client.cert").ends_with("client.cert\" has no certificate in PEM"));
        fs::write(own.join("README"), "nothing").unwrap();
        certificates.of("a.example:5000", false).unwrap();
        certificates.of("b.example", false).unwrap();
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn what_can_be_done_is_said() {
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let text = format!("{:#}", advised(&unknown, "a.example:5000"));
        assert!(text.contains("/etc/docker/certs.d/a.example:5000/ca.crt"), "{text}");
    }
}
