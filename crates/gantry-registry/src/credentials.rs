//! Credentials from Docker's `config.json` and its helpers.

mod helper;
mod keep;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

pub use keep::{Kept, forget, keep};

use crate::error::RegistryError;
use crate::secret::Secret;

/// The key under which Docker keeps Docker Hub's credentials.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A name and password, or an identity token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// User name and password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token to be exchanged for access tokens (OAuth2 refresh token).
    IdentityToken(Secret),
}

/// The part of `config.json` that concerns credentials.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerConfig {
    auths: BTreeMap<String, StoredAuth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct StoredAuth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl std::fmt::Debug for StoredAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredAuth(…)")
    }
}

impl DockerConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// [`RegistryError::Settings`] when it is no such text.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let unusable = |reason: String| RegistryError::Settings {
            what: "Docker's config.json".to_owned(),
            reason,
        };
        // A list would be taken for the fields in their order.
        if !text.trim_start().starts_with('{') {
            return Err(unusable("it is no object".to_owned()));
        }
        serde_json::from_str(text).map_err(|error| unusable(error.to_string()))
    }

    /// The credentials for a registry, if there are any.
    ///
    /// # Errors
    /// [`RegistryError`] when a helper is configured and fails, or a stored value is malformed.
    pub fn lookup(&self, registry: &str) -> Result<Option<Credentials>, RegistryError> {
        let keys = keys(registry);
        let helper = keys.iter().find_map(|key| self.cred_helpers.get(key));
        let store = Some(&self.creds_store).filter(|name| !name.is_empty());
        if let Some(name) = helper.or(store)
            && let Some(found) = helper::get(name, &keys[0])?
        {
            return Ok(Some(found));
        }
        let stored = self
            .auths
            .iter()
            .find(|(key, _)| keys.iter().any(|k| same_host(k, key)));
        stored.map_or(Ok(None), |(_, auth)| decode(auth, registry))
    }
}

/// The names a registry's credentials may be stored under, Docker's own first.
fn keys(registry: &str) -> Vec<String> {
    if registry == "docker.io" {
        [
            HUB_KEY,
            "docker.io",
            "index.docker.io",
            "registry-1.docker.io",
        ]
        .map(str::to_owned)
        .into()
    } else {
        vec![registry.to_owned()]
    }
}

/// Whether two keys mean the same host: scheme and path do not count, as in Docker.
fn same_host(one: &str, other: &str) -> bool {
    let host = |key: &str| {
        let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
        rest.split('/')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    host(one) == host(other)
}

fn decode(stored: &StoredAuth, registry: &str) -> Result<Option<Credentials>, RegistryError> {
    if !stored.identitytoken.is_empty() {
        return Ok(Some(Credentials::IdentityToken(Secret::new(
            stored.identitytoken.clone(),
        ))));
    }
    if !stored.auth.is_empty() {
        let malformed = || RegistryError::Settings {
            what: format!("the stored credentials for {registry}"),
            reason: "they are not base64 of name:password".to_owned(),
        };
        let bytes = STANDARD
            .decode(stored.auth.trim())
            .map_err(|_| malformed())?;
        let text = String::from_utf8(bytes).map_err(|_| malformed())?;
        let (user, password) = text.split_once(':').ok_or_else(malformed)?;
        return Ok(Some(Credentials::Basic {
            user: user.to_owned(),
            password: Secret::new(password.trim_end_matches('\0').to_owned()),
        }));
    }
    if stored.username.is_empty() {
        return Ok(None);
    }
    Ok(Some(Credentials::Basic {
        user: stored.username.clone(),
        password: Secret::new(stored.password.clone()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(user: &str, password: &str) -> Credentials {
        Credentials::Basic {
            user: user.into(),
            password: Secret::new(password.into()),
        }
    }

    #[test]
    fn stored_credentials_are_found_by_host() {
        let config = DockerConfig::parse(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTpiOmM="},
            "r.example:5000":{"username":"u","password":"p"},
            "https://t.example/v2/":{"identitytoken":"x"},"empty.example":{}},"HttpHeaders":{}}"#,
        )
        .unwrap();
        assert_eq!(config.lookup("docker.io").unwrap(), Some(basic("a", "b:c")));
        assert_eq!(
            config.lookup("r.example:5000").unwrap(),
            Some(basic("u", "p"))
        );
        assert!(matches!(
            config.lookup("t.example").unwrap(),
            Some(Credentials::IdentityToken(_))
        ));
        assert_eq!(config.lookup("empty.example").unwrap(), None);
        assert_eq!(config.lookup("r.example").unwrap(), None);
    }

    #[test]
    fn malformed_ones_are_told_and_never_shown() {
        let config =
            DockerConfig::parse(r#"{"auths":{"a":{"auth":"%%"},"b":{"auth":"YWJj"}}}"#).unwrap();
        assert!(config.lookup("a").is_err() && config.lookup("b").is_err());
        assert!(!format!("{:?}", basic("u", "hidden")).contains("hidden"));
        assert!(!format!("{config:?}").contains("YWJj"));
        assert!(DockerConfig::parse("[]").is_err());
    }

    #[test]
    fn a_missing_helper_is_named() {
        let config = DockerConfig::parse(r#"{"credsStore":"nonesuch-gantry"}"#).unwrap();
        let error = config.lookup("a.example").unwrap_err().to_string();
        assert!(
            error.contains("docker-credential-nonesuch-gantry"),
            "{error}"
        );
    }
}
