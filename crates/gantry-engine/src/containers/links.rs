//! Docker's links: a container is told the addresses and variables of others.

use gantry_model::ContainerRecord;
use gantry_model::container::NetworkMode;
use gantry_model::port::ContainerPort;

use super::error::ContainerError;
use super::status::is_live;
use super::{Containers, folders};

/// A container that another is linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Linked {
    /// The name it has for the other.
    pub(crate) alias: String,
    /// Its own name.
    pub(crate) name: String,
    /// Its short id.
    pub(crate) id: String,
    /// Its address on the bridge.
    pub(crate) address: String,
    /// Its exposed ports.
    pub(crate) ports: Vec<ContainerPort>,
    /// Its variables.
    pub(crate) env: Vec<String>,
}

/// The name and the alias of a link as written, `NAME[:ALIAS]`.
pub(crate) fn parse(text: &str) -> Result<(&str, &str), ContainerError> {
    let bad = || ContainerError::Link {
        text: text.chars().take(200).collect(),
    };
    let (name, alias) = match text.split_once(':') {
        Some((name, alias)) => (name, alias),
        None => (text, text),
    };
    let plain = |alias: &str| {
        alias
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let (name, alias) = (
        name.trim_start_matches('/'),
        alias.rsplit('/').next().unwrap_or(alias),
    );
    if name.is_empty() || alias.is_empty() || !plain(alias) {
        return Err(bad());
    }
    Ok((name, alias))
}

impl Containers<'_> {
    /// Refuses links that can lead nowhere, long before a start.
    pub(super) fn check_links(
        &self,
        links: &[String],
        network: &NetworkMode,
    ) -> Result<(), ContainerError> {
        for link in links {
            let (name, _) = parse(link)?;
            folders::resolve(self.engine, name).map_err(|error| match error {
                ContainerError::NotFound { name } => ContainerError::LinkTo { name },
                other => other,
            })?;
        }
        match network {
            NetworkMode::Host if !links.is_empty() => Err(ContainerError::LinksOfHost),
            _ => Ok(()),
        }
    }

    /// What a container's links lead to; all of it must run.
    pub(super) fn links(&self, record: &ContainerRecord) -> Result<Vec<Linked>, ContainerError> {
        if record.spec.network != NetworkMode::Bridge {
            return Ok(Vec::new());
        }
        let mut all = Vec::with_capacity(record.spec.links.len());
        for link in &record.spec.links {
            let (name, alias) = parse(link)?;
            let (other, state) = self.look(name)?;
            let network = state.network.filter(|_| is_live(state.status));
            let network = network.ok_or_else(|| ContainerError::LinkNotRunning {
                name: other.name.clone(),
                alias: format!("/{}/{alias}", record.name),
            })?;
            let ports = other.process.exposed_ports.keys();
            all.push(Linked {
                alias: alias.to_owned(),
                id: other.id.short().to_owned(),
                address: network.ip_address,
                ports: ports.filter_map(|port| port.parse().ok()).collect(),
                name: other.name,
                env: other.process.env,
            });
        }
        Ok(all)
    }
}

/// The lines of `/etc/hosts`.
pub(crate) fn hosts(links: &[Linked]) -> String {
    let line = |link: &Linked| {
        let mut names = vec![link.alias.as_str(), &link.id];
        if link.name != link.alias {
            names.push(&link.name);
        }
        format!("{}\t{}\n", link.address, names.join(" "))
    };
    links.iter().map(line).collect()
}

/// The variables, under the linking container's name.
pub(crate) fn variables(links: &[Linked], own_name: &str) -> Vec<String> {
    let mut all = Vec::new();
    for link in links {
        let prefix = link.alias.to_ascii_uppercase().replace(['-', '.'], "_");
        all.push(format!("{prefix}_NAME=/{own_name}/{}", link.alias));
        let mut ports = link.ports.clone();
        ports.sort_by_key(|port| (port.port, port.protocol.to_string() != "tcp"));
        let url =
            |port: &ContainerPort| format!("{}://{}:{}", port.protocol, link.address, port.port);
        all.extend(
            ports
                .first()
                .map(|port| format!("{prefix}_PORT={}", url(port))),
        );
        for port in &ports {
            let protocol = port.protocol.to_string();
            let own = format!(
                "{prefix}_PORT_{}_{}",
                port.port,
                protocol.to_ascii_uppercase()
            );
            all.push(format!("{own}={}", url(port)));
            all.push(format!("{own}_ADDR={}", link.address));
            all.push(format!("{own}_PORT={}", port.port));
            all.push(format!("{own}_PROTO={protocol}"));
        }
        for variable in &link.env {
            if let Some((name, value)) = variable.split_once('=')
                && !matches!(name, "HOME" | "PATH")
            {
                all.push(format!("{prefix}_ENV_{name}={value}"));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_written_as_dockers() {
        assert_eq!(parse("db").unwrap(), ("db", "db"));
        assert_eq!(parse("db:pg").unwrap(), ("db", "pg"));
        assert_eq!(parse("/db:/web/pg").unwrap(), ("db", "pg"));
        for bad in ["", ":", "db:", ":pg", "a:b:c", "a:b c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_and_variables_are_dockers() {
        let links = [Linked {
            alias: "my-pg".into(),
            name: "db".into(),
            id: "f0c1b415eda8".into(),
            address: "172.17.0.2".into(),
            ports: vec!["5432/tcp".parse().unwrap(), "53/udp".parse().unwrap()],
            env: vec!["PGX=1".into(), "PATH=/x".into(), "BARE".into()],
        }];
        assert_eq!(hosts(&links), "172.17.0.2\tmy-pg f0c1b415eda8 db\n");
        assert_eq!(
            variables(&links, "web"),
            [
                "MY_PG_NAME=/web/my-pg",
                "MY_PG_PORT=udp://172.17.0.2:53",
                "MY_PG_PORT_53_UDP=udp://172.17.0.2:53",
                "MY_PG_PORT_53_UDP_ADDR=172.17.0.2",
                "MY_PG_PORT_53_UDP_PORT=53",
                "MY_PG_PORT_53_UDP_PROTO=udp",
                "MY_PG_PORT_5432_TCP=tcp://172.17.0.2:5432",
                "MY_PG_PORT_5432_TCP_ADDR=172.17.0.2",
                "MY_PG_PORT_5432_TCP_PORT=5432",
                "MY_PG_PORT_5432_TCP_PROTO=tcp",
                "MY_PG_ENV_PGX=1",
            ]
        );
    }
}
