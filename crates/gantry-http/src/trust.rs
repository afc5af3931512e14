//! Which certificates are trusted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::{Environment, Unusable};

/// Where Linux distributions keep what they trust, as one file.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Certificate authorities.
#[derive(Debug, Clone)]
pub struct Trust(Vec<Certificate<'static>>);

impl Trust {
    /// What `SSL_CERT_FILE` names, else what the system trusts.
    #[must_use]
    pub fn system(environment: &Environment) -> Self {
        if let Some(pem) = named(environment).and_then(|path| std::fs::read(path).ok()) {
            return Self(certificates(&pem));
        }
        let native = rustls_native_certs::load_native_certs().certs;
        let owned = |der| Certificate::from_der(der).to_owned();
        Self(native.iter().map(|der| owned(der)).collect())
    }

    /// These and those of a file (PEM).
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn and_file(mut self, path: &Path) -> Result<Self, Unusable> {
        let unusable = |reason: String| Unusable {
            what: format!("the certificate file {}", path.display()),
            reason,
        };
        let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let more = certificates(&pem);
        if more.is_empty() {
            return Err(unusable("it holds no certificate".to_owned()));
        }
        self.0.extend(more);
        Ok(self)
    }

    /// For HTTPS; `insecure` accepts any certificate.
    ///
    /// # Errors
    /// Nothing is trusted, and that is not what was asked for.
    pub fn tls(&self, insecure: bool) -> Result<TlsConfig, Unusable> {
        if self.0.is_empty() && !insecure {
            return Err(Unusable {
                what: "HTTPS".to_owned(),
                reason: "this system has no trusted certificates: install ca-certificates, or \
                         set SSL_CERT_FILE"
                    .to_owned(),
            });
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Ok(TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::new_with_certs(&self.0))
            .disable_verification(insecure)
            .build())
    }
}

/// The file of all that this system trusts: what `SSL_CERT_FILE` names, else the distribution's.
#[must_use]
pub fn bundle(environment: &Environment) -> Option<PathBuf> {
    let usual = || BUNDLES.iter().map(PathBuf::from);
    let named = named(environment).map(PathBuf::from);
    named.into_iter().chain(usual()).find(|path| path.is_file())
}

/// Where the file of trusted certificates may be in a root file system; absolute paths.
#[must_use]
pub const fn usual_bundles() -> &'static [&'static str] {
    &BUNDLES
}

fn named(environment: &Environment) -> Option<&String> {
    let file = environment.get("SSL_CERT_FILE");
    file.filter(|path| !path.is_empty())
}

/// The certificates of a text in PEM.
#[must_use]
pub fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect()
}
