//! The registry client as the installation's configuration makes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use gantry_model::reference::DEFAULT_REGISTRY;
use gantry_registry::credentials::{self, Credentials, DockerConfig, Kept};
use gantry_registry::{Client, ClientConfig, RegistryError, RegistrySettings, Secret};
use gantry_sys::path::if_there;

use super::Images;
use crate::Engine;

impl Engine {
    /// The registry client, made at the first call.
    ///
    /// # Errors
    /// [`RegistryError::Settings`] when Docker's `config.json` cannot be used.
    pub fn registry(&self) -> Result<&Client, RegistryError> {
        if let Some(client) = self.registry.get() {
            return Ok(client);
        }
        let client = Client::new(self.client_config()?);
        Ok(self.registry.get_or_init(|| client))
    }

    fn client_config(&self) -> Result<ClientConfig, RegistryError> {
        let registries = self.config.registries.iter().map(|(name, written)| {
            let settings = RegistrySettings {
                mirrors: written.mirrors.clone(),
                only_mirrors: written.only_mirrors,
                insecure: written.insecure,
                ca_file: written.ca_file.clone(),
            };
            (name.clone(), settings)
        });
        let environment: BTreeMap<String, String> = self
            .surroundings
            .network
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.to_str()?.to_owned())))
            .collect();
        Ok(ClientConfig {
            registries: registries.collect(),
            credentials: self.docker_config()?,
            environment,
        })
    }

    fn docker_config(&self) -> Result<DockerConfig, RegistryError> {
        let Some(path) = self.surroundings.docker_config_file() else {
            return Ok(DockerConfig::default());
        };
        match if_there(fs::read_to_string(&path)) {
            Ok(Some(text)) if !text.trim().is_empty() => DockerConfig::parse(&text),
            Ok(_) => Ok(DockerConfig::default()),
            Err(error) => Err(RegistryError::Settings {
                what: path.display().to_string(),
                reason: error.to_string(),
            }),
        }
    }
}

impl<'a> Images<'a> {
    pub(crate) fn client(&self) -> Result<&'a Client, RegistryError> {
        self.engine.registry()
    }
}

impl Images<'_> {
    /// Asks a registry whether it accepts a user, and keeps the credentials when it does.
    ///
    /// # Errors
    /// [`RegistryError::Unauthorized`] when it does not; others when it cannot be asked or the
    /// credentials cannot be kept.
    pub fn login(
        &self,
        registry: &str,
        user: &str,
        password: Secret,
    ) -> Result<Kept, RegistryError> {
        let registry = registry_name(registry);
        let credentials = Credentials::Basic {
            user: user.to_owned(),
            password,
        };
        self.client()?.login(&registry, &credentials)?;
        credentials::keep(&self.docker_config_path()?, &registry, &credentials)
    }

    /// Forgets the credentials of a registry; says whether there were any.
    ///
    /// # Errors
    /// When they cannot be forgotten.
    pub fn logout(&self, registry: &str) -> Result<bool, RegistryError> {
        credentials::forget(&self.docker_config_path()?, &registry_name(registry))
    }

    fn docker_config_path(&self) -> Result<PathBuf, RegistryError> {
        self.engine
            .surroundings
            .docker_config_file()
            .ok_or_else(|| RegistryError::Settings {
                what: "Docker's config.json".to_owned(),
                reason: "there is no home folder and --config was not given".to_owned(),
            })
    }
}

/// The name a registry has in references: without scheme and path, `docker.io` for Docker Hub.
fn registry_name(written: &str) -> String {
    let rest = written.split_once("://").map_or(written, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or_default() {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => {
            DEFAULT_REGISTRY.to_owned()
        }
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::registry_name;

    #[test]
    fn registries_are_named_as_in_references() {
        for (written, want) in [
            ("", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("ghcr.io", "ghcr.io"),
            ("http://127.0.0.1:5000/v2/", "127.0.0.1:5000"),
        ] {
            assert_eq!(registry_name(written), want);
        }
    }
}
