//! The registry client as the installation's configuration makes it.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use gantry_registry::credentials::DockerConfig;
use gantry_registry::{Client, ClientConfig, RegistryError, RegistrySettings};

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
        match fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => Ok(DockerConfig::default()),
            Ok(text) => DockerConfig::parse(&text),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(DockerConfig::default())
            }
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
