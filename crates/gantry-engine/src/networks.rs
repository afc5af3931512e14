//! Networks of an installation: the bridge, the host's, and none.

use std::net::Ipv4Addr;
use std::path::Path;

use gantry_model::Fault;
use gantry_model::container::NetworkMode;
use gantry_network::NetworkError;
use gantry_sys::path::components;
use sha2::{Digest as _, Sha256};

use crate::containers::ContainerError;
use crate::{Engine, LeftOut};

/// A network as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkView {
    /// Its id: 64 hexadecimal digits, the same as long as the installation is.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Docker's word for how it works: `bridge`, `host` or `null`.
    pub driver: &'static str,
    /// Always `local`.
    pub scope: &'static str,
    /// The bridge on the host; for the bridge network.
    pub interface: Option<String>,
    /// Its subnet, `a.b.c.d/n`; while there is one.
    pub subnet: Option<String>,
    /// The host's address in it.
    pub gateway: Option<Ipv4Addr>,
    /// The containers in it that run.
    pub members: Vec<NetworkMember>,
}

/// A container in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkMember {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its address, where it has one of its own.
    pub address: Option<Ipv4Addr>,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// Its Ethernet address.
    pub mac: String,
}

/// Why networks cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum NetworksError {
    /// No network of that name or id.
    #[error("network {name} not found")]
    NotFound {
        /// As asked for.
        name: String,
    },
    /// The bridge's state.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The containers.
    #[error(transparent)]
    Container(#[from] ContainerError),
}

impl Fault for NetworksError {
    fn kind(&self) -> gantry_model::FaultKind {
        match self {
            Self::NotFound { .. } => gantry_model::FaultKind::NotFound,
            Self::Network(error) => error.kind(),
            Self::Container(error) => error.kind(),
        }
    }
}

/// The handle of networks.
#[derive(Debug, Clone, Copy)]
pub struct Networks<'a> {
    engine: &'a Engine,
}

impl<'a> Networks<'a> {
    pub(crate) const fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }

    /// All networks by name. Who is on the bridge is left out where the note of it is damaged,
    /// and [`Engine::take_damaged`] tells of that.
    ///
    /// # Errors
    /// [`NetworksError`].
    pub fn list(&self) -> Result<Vec<NetworkView>, NetworksError> {
        let networks = crate::containers::networks(self.engine)?;
        let damage = networks.damage()?;
        let (endpoints, gateway) = match &damage {
            Some(damage) => {
                self.engine.note_damage(LeftOut {
                    sentence: damage.to_string(),
                    hints: damage.hints(),
                });
                (Vec::new(), None)
            }
            None => (networks.observe()?, networks.gateway()?),
        };
        let mut views = vec![
            self.view("bridge", "bridge"),
            self.view("host", "host"),
            self.view("none", "null"),
        ];
        views[0].interface = Some(networks.names().bridge.clone());
        views[0].gateway = gateway;
        if let Some(first) = endpoints.first() {
            let attachment = &first.attachment;
            views[0].subnet = Some(subnet(attachment.address, attachment.prefix));
        }
        for container in self
            .engine
            .containers()
            .list(crate::containers::ListOptions::default())?
        {
            let at = match container.record.spec.network {
                NetworkMode::Bridge => 0,
                NetworkMode::Host => 1,
                NetworkMode::None => 2,
                NetworkMode::Container(_) => continue,
            };
            let id = container.record.id.to_string();
            let endpoint = endpoints
                .iter()
                .find(|view| view.attachment.endpoint_id == id);
            let attachment = endpoint.map(|view| &view.attachment);
            views[at].members.push(NetworkMember {
                id,
                name: container.record.name,
                address: attachment.map(|attachment| attachment.address),
                prefix: attachment.map_or(0, |attachment| attachment.prefix),
                mac: attachment
                    .map(|attachment| attachment.mac.clone())
                    .unwrap_or_default(),
            });
        }
        Ok(views)
    }

    /// One network, by name, id or prefix of an id.
    ///
    /// # Errors
    /// [`NetworksError::NotFound`] and others.
    pub fn inspect(&self, name: &str) -> Result<NetworkView, NetworksError> {
        let mut views = self.list()?;
        let at = views
            .iter()
            .position(|view| view.name == name)
            .or_else(|| {
                views
                    .iter()
                    .position(|view| name.len() > 3 && view.id.starts_with(name))
            })
            .ok_or_else(|| NetworksError::NotFound {
                name: name.chars().take(100).collect(),
            })?;
        Ok(views.swap_remove(at))
    }

    fn view(&self, name: &str, driver: &'static str) -> NetworkView {
        NetworkView {
            id: id(name, self.engine.run_root()),
            name: name.to_owned(),
            driver,
            scope: "local",
            interface: None,
            subnet: None,
            gateway: None,
            members: Vec::new(),
        }
    }
}

pub(crate) fn id(name: &str, run_root: &Path) -> String {
    let mut hash = Sha256::new();
    hash.update(name);
    for part in components(run_root.as_os_str()) {
        hash.update("/");
        hash.update(part.as_encoded_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    gantry_model::Digest::from_bytes(digest).hex()
}

fn subnet(address: Ipv4Addr, prefix: u8) -> String {
    let mask = u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0);
    format!("{}/{prefix}", Ipv4Addr::from(u32::from(address) & mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_subnets_are_told() {
        let one = id("bridge", Path::new("/run/gantry"));
        assert_eq!(one.len(), 64);
        assert_eq!(one, id("bridge", Path::new("/run/gantry/")));
        assert_ne!(one, id("host", Path::new("/run/gantry")));
        assert_eq!(subnet(Ipv4Addr::new(172, 17, 3, 9), 16), "172.17.0.0/16");
        assert_eq!(subnet(Ipv4Addr::new(1, 2, 3, 4), 0), "0.0.0.0/0");
    }
}
