//! The network of a container that is started: what its supervisor makes, and the files that tell
//! the container of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use gantry_model::container::NetworkMode;
use gantry_model::port::{ContainerPort, PortMapping, Protocol};
use gantry_model::{ContainerRecord, ContainerSpec};
use gantry_network::{DnsOptions, Reach, host_resolv_conf, resolv_conf};
use gantry_supervisor::launch::{self, HostsFile};

use super::super::Containers;
use super::super::error::{ContainerError, file};
use super::super::folders::Folders;
use super::super::links::{self, Linked};
use super::super::spec;
use super::super::status::is_live;

/// What a container's network needs.
pub(super) struct NetworkFacts {
    pub(super) launch: launch::Network,
    pub(super) namespace: Option<PathBuf>,
    pub(super) files: Vec<(&'static str, PathBuf)>,
}

const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                         fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\n\
                         ff02::2\tip6-allrouters\n";

impl Containers<'_> {
    pub(super) fn network(
        &self,
        record: &ContainerRecord,
        folders: &Folders,
        host_name: &str,
        links: &[Linked],
    ) -> Result<NetworkFacts, ContainerError> {
        let spec = &record.spec;
        if let NetworkMode::Container(other) = &spec.network {
            return self.shared_network(other);
        }
        let name = spec::hostname(record, host_name);
        write(&folders.hostname(), format!("{name}\n").as_bytes())?;
        let relay_to = write_resolv_conf(spec, folders)?;
        let head = hosts_head(spec) + &links::hosts(links);
        let own_names = match &spec.domainname {
            Some(domain) if !domain.is_empty() => format!("{name}.{domain} {name}"),
            _ => name.to_owned(),
        };
        let launch = match &spec.network {
            NetworkMode::Bridge => {
                let config = &self.engine.config().network;
                // Its content follows when the address is known.
                write(&folders.hosts(), b"")?;
                let hosts = HostsFile {
                    path: folders.hosts(),
                    head,
                    names: own_names,
                };
                if gantry_sys::process::is_in_initial_user_namespace() {
                    launch::Network::Bridge {
                        ports: ports(record),
                        hostname: name.to_owned(),
                        subnet: config.subnet.clone(),
                        mtu: config.mtu,
                        hosts,
                        relay_to,
                        mac: spec.mac_address.clone(),
                        link_local: spec.link_local_ips.clone(),
                    }
                } else {
                    launch::Network::User {
                        ports: ports(record),
                        hosts,
                        relay_to,
                        program: config.rootless,
                    }
                }
            }
            NetworkMode::Host => {
                let hosts = fs::read("/etc/hosts").unwrap_or_default();
                let further = add_hosts(spec, "127.0.0.1");
                write(&folders.hosts(), &[hosts, further.into_bytes()].concat())?;
                launch::Network::Foreign
            }
            NetworkMode::None | NetworkMode::Container(_) => {
                write(&folders.hosts(), head.as_bytes())?;
                launch::Network::Loopback
            }
        };
        let files = vec![
            ("/etc/resolv.conf", folders.resolv_conf()),
            ("/etc/hostname", folders.hostname()),
            ("/etc/hosts", folders.hosts()),
        ];
        Ok(NetworkFacts {
            launch,
            namespace: None,
            files,
        })
    }

    /// The namespace that a mode names another container for, and that container's first
    /// process.
    pub(super) fn foreign(
        &self,
        mode: &str,
        kind: &'static str,
    ) -> Result<Option<(PathBuf, u32)>, ContainerError> {
        let Some(name) = spec::shared_with(mode) else {
            return Ok(None);
        };
        let (record, seen) = self.look(name)?;
        let refused = |reason| ContainerError::Join {
            namespace: kind.to_uppercase(),
            id: record.id.to_string(),
            reason,
        };
        let pid = seen
            .pid
            .filter(|_| is_live(seen.status))
            .ok_or_else(|| refused("is not running"))?;
        if kind == "ipc" && record.spec.ipc_mode != "shareable" {
            return Err(refused(
                "has a non-shareable IPC namespace (hint: use --ipc shareable for the donor \
                 container)",
            ));
        }
        Ok(Some((PathBuf::from(format!("/proc/{pid}/ns/{kind}")), pid)))
    }

    /// The namespace and the files of another container, which must run.
    fn shared_network(&self, other: &str) -> Result<NetworkFacts, ContainerError> {
        let (record, seen) = self.look(other)?;
        let pid = seen.pid.filter(|_| is_live(seen.status)).ok_or_else(|| {
            ContainerError::NotRunning {
                name: other.to_owned(),
            }
        })?;
        let folders = Folders::of(self.engine, &record.id);
        let files = vec![
            ("/etc/resolv.conf", folders.resolv_conf()),
            ("/etc/hostname", folders.hostname()),
            ("/etc/hosts", folders.hosts()),
        ];
        Ok(NetworkFacts {
            launch: launch::Network::Foreign,
            namespace: Some(PathBuf::from(format!("/proc/{pid}/ns/net"))),
            files: files
                .into_iter()
                .filter(|(_, source)| source.exists())
                .collect(),
        })
    }
}

fn write(path: &Path, text: &[u8]) -> Result<(), ContainerError> {
    fs::write(path, text).map_err(file("write", path))
}

/// The first lines of `/etc/hosts`; the address `host-gateway` is known later.
fn hosts_head(spec: &ContainerSpec) -> String {
    let mut head = LOCALHOST.to_owned();
    head.push_str(&add_hosts(spec, "host-gateway"));
    head
}

fn add_hosts(spec: &ContainerSpec, gateway: &str) -> String {
    let mut lines = String::new();
    for entry in &spec.add_hosts {
        // `name:address` or `name=address`; an address may hold colons.
        if let Some((name, address)) = entry.split_once(['=', ':']) {
            let address = address.trim_start_matches('[').trim_end_matches(']');
            let address = if address == "host-gateway" {
                gateway
            } else {
                address
            };
            lines.push_str(&format!("{address}\t{name}\n"));
        }
    }
    lines
}

/// Writes the file; gives the servers that must be asked for the container.
fn write_resolv_conf(
    spec: &ContainerSpec,
    folders: &Folders,
) -> Result<Vec<SocketAddr>, ContainerError> {
    let host = host_resolv_conf().map_err(file("read", Path::new("/etc/resolv.conf")))?;
    let own = DnsOptions {
        servers: spec.dns.clone(),
        search: spec.dns_search.clone(),
        options: spec.dns_options.clone(),
    };
    let reach = match spec.network {
        NetworkMode::Bridge => Reach::Bridge,
        _ => Reach::Host,
    };
    let conf = resolv_conf(&host, &own, reach);
    write(&folders.resolv_conf(), conf.text.as_bytes())?;
    Ok(conf.relay_to)
}

/// The ports to publish: those asked for, and with `--publish-all` all that are exposed.
fn ports(record: &ContainerRecord) -> Vec<PortMapping> {
    let spec = &record.spec;
    let mut all = spec.ports.clone();
    if spec.publish_all {
        let exposed = record.process.exposed_ports.keys();
        for port in exposed.filter_map(|text| text.parse::<ContainerPort>().ok()) {
            let known = all.iter().any(|mapping| mapping.container == port);
            if !known && port.protocol != Protocol::Sctp {
                all.push(PortMapping {
                    host_ip: None,
                    host_port: 0,
                    container: port,
                });
            }
        }
    }
    all
}
