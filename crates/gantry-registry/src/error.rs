//! What can go wrong between here and a registry.

use std::io;
use std::time::Duration;

use gantry_model::{Digest, Fault, FaultKind};

/// A failed exchange with a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No connection, no answer, or an answer that broke off.
    #[error("cannot reach {endpoint}: {reason}")]
    Unreachable {
        /// Scheme, host and port.
        endpoint: String,
        /// Why, in the transport's words.
        reason: String,
    },
    /// Credentials are missing or were refused.
    #[error("{endpoint} refuses access to {what}{}", said(message))]
    Unauthorized {
        /// Scheme, host and port.
        endpoint: String,
        /// Repository, or repository and reference.
        what: String,
        /// What the registry said, if anything.
        message: String,
    },
    /// The registry has no such thing.
    #[error("{what} not found at {endpoint}{}", said(message))]
    NotFound {
        /// Scheme, host and port.
        endpoint: String,
        /// What was asked for.
        what: String,
        /// What the registry said, if anything.
        message: String,
    },
    /// The registry asks to come back later.
    #[error("{endpoint} is busy (status {status}){}", said(message))]
    Busy {
        /// Scheme, host and port.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// How long the registry asks to wait, if it says so.
        retry_after: Option<Duration>,
        /// What the registry said, if anything.
        message: String,
    },
    /// The registry refused for another reason.
    #[error("{endpoint} answered status {status} for {what}{}", said(message))]
    Refused {
        /// Scheme, host and port.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// What was asked for.
        what: String,
        /// What the registry said, if anything.
        message: String,
    },
    /// The answer breaks the protocol.
    #[error("{endpoint} gave a malformed answer for {what}: {reason}")]
    Malformed {
        /// Scheme, host and port.
        endpoint: String,
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The content is not what its digest says.
    #[error("{what} from {endpoint} has digest {actual}, expected {expected}")]
    DigestMismatch {
        /// Scheme, host and port.
        endpoint: String,
        /// What was asked for.
        what: String,
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// A document is larger than any honest one.
    #[error("{what} from {endpoint} is larger than {limit} bytes")]
    TooLarge {
        /// Scheme, host and port.
        endpoint: String,
        /// What was asked for.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A Docker schema 1 manifest, which carries no verifiable layers.
    #[error("{what} has a Docker schema 1 manifest, which is not supported")]
    Schema1 {
        /// What was asked for.
        what: String,
    },
    /// Every endpoint failed; the first of these is the most telling.
    #[error("no mirror and no registry could serve {what}:{}", list(failures))]
    AllFailed {
        /// What was asked for.
        what: String,
        /// Each endpoint's failure in the order of asking.
        failures: Vec<RegistryError>,
    },
    /// What is to be uploaded cannot be read.
    #[error("cannot read what is to be uploaded")]
    Source {
        /// Why.
        source: io::Error,
    },
    /// The settings cannot be used.
    #[error("{what} cannot be used: {reason}")]
    Settings {
        /// Which setting.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A credential helper failed.
    #[error("the credential helper {helper} failed: {reason}")]
    CredentialHelper {
        /// The program.
        helper: String,
        /// What it said, or why it could not be run.
        reason: String,
    },
}

impl From<gantry_http::Unusable> for RegistryError {
    fn from(unusable: gantry_http::Unusable) -> Self {
        Self::Settings {
            what: unusable.what,
            reason: unusable.reason,
        }
    }
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

fn list(failures: &[RegistryError]) -> String {
    failures
        .iter()
        .map(|failure| format!("\n  {failure}"))
        .collect()
}

impl RegistryError {
    /// Whether the same request may succeed a moment later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Busy { .. })
    }
}

impl Fault for RegistryError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } | Self::CredentialHelper { .. } => {
                FaultKind::Unavailable
            }
            Self::Unauthorized { .. } => FaultKind::Unauthorized,
            Self::NotFound { .. } => FaultKind::NotFound,
            Self::Refused { .. } => FaultKind::Forbidden,
            Self::Malformed { .. } | Self::DigestMismatch { .. } | Self::TooLarge { .. } => {
                FaultKind::Corrupt
            }
            Self::Schema1 { .. } => FaultKind::Unsupported,
            Self::Settings { .. } => FaultKind::Invalid,
            Self::Source { .. } => FaultKind::Internal,
            Self::AllFailed { failures, .. } => {
                failures.last().map_or(FaultKind::NotFound, Self::kind)
            }
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unauthorized { endpoint, .. } => {
                let host = endpoint.split("://").nth(1).unwrap_or(endpoint);
                vec![format!(
                    "the repository may be private or not exist; `gantry login {host}` stores credentials"
                )]
            }
            Self::Unreachable { reason, .. }
                if reason.contains("certificate") || reason.contains("UnknownIssuer") =>
            {
                vec!["name the registry's certificate authority with `ca-file` in config.toml, or set SSL_CERT_FILE".to_owned()]
            }
            Self::Unreachable { endpoint, reason } if reason == gantry_http::NO_TLS => {
                let host = endpoint.split("://").nth(1).unwrap_or(endpoint);
                vec![format!(
                    "if this registry may do without TLS, say so in config.toml: insecure = true below [registries.\"{host}\"]"
                )]
            }
            Self::Busy { status: 429, .. } => {
                vec!["a mirror avoids rate limits: `mirrors` below [registries.\"docker.io\"] in config.toml".to_owned()]
            }
            Self::Schema1 { .. } => vec!["push it again with a current tool".to_owned()],
            Self::AllFailed { failures, .. } => failures.iter().flat_map(Self::hints).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_has_a_hint() {
        let error = RegistryError::Unreachable {
            endpoint: "https://r.example:5000".to_owned(),
            reason: gantry_http::NO_TLS.to_owned(),
        };
        let hints = error.hints().join("");
        assert!(
            hints.contains("insecure = true below [registries.\"r.example:5000\"]"),
            "{hints}"
        );
    }
}
