//! Why a container cannot have the network it asked for.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use gantry_model::port::{PortMapping, Protocol};
use gantry_model::{Fault, FaultKind};
use gantry_sys::netlink::NetlinkError;
use thiserror::Error;

use crate::subnet::Subnet;
use crate::user::UserProgram;

/// The process that uses a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortOwner {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl fmt::Display for PortOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

fn by(owner: Option<&PortOwner>) -> String {
    owner
        .map(|owner| format!(" by {owner}"))
        .unwrap_or_default()
}

/// Why a network operation failed.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// A protocol that cannot be published.
    #[error("cannot publish {mapping}: {} is not supported, only tcp and udp are", .mapping.container.protocol)]
    UnsupportedProtocol {
        /// What was asked for.
        mapping: PortMapping,
    },
    /// An IPv6 address to publish on.
    #[error("cannot publish {mapping}: the bridge network has only IPv4")]
    UnsupportedAddress {
        /// What was asked for.
        mapping: PortMapping,
    },
    /// Another process has the port.
    #[error("cannot publish {address}{}: address already in use{}", suffix(*protocol), by(.owner.as_ref()))]
    PortInUse {
        /// The host's address and port.
        address: SocketAddr,
        /// The protocol.
        protocol: Protocol,
        /// Who has it, if that can be seen.
        owner: Option<PortOwner>,
    },
    /// Another container has the port.
    #[error("cannot publish {address}{}: already published by container {}", suffix(*protocol), short(endpoint))]
    PortPublished {
        /// The host's address and port.
        address: SocketAddr,
        /// The protocol.
        protocol: Protocol,
        /// Whose it is.
        endpoint: String,
    },
    /// The host has no such address.
    #[error("cannot publish {address}: the host has no address {}", .address.ip())]
    NoSuchHostAddress {
        /// The address and port asked for.
        address: SocketAddr,
    },
    /// The port cannot be had for another reason.
    #[error("cannot publish {address}")]
    Bind {
        /// The address and port asked for.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The endpoint has an attachment already.
    #[error(
        "container {} is already attached to the bridge network",
        short(endpoint)
    )]
    AlreadyAttached {
        /// Whose it is.
        endpoint: String,
    },
    /// Every subnet of the pools is in use on the host.
    #[error(
        "cannot find a subnet for the bridge network: the host uses all of 172.17.0.0/16 to 172.31.0.0/16 and 192.168.0.0/16"
    )]
    NoFreeSubnet,
    /// The configured subnet is in use.
    #[error("cannot use subnet {subnet} for the bridge network: the host already uses {taken}")]
    SubnetTaken {
        /// The subnet wanted.
        subnet: Subnet,
        /// What it collides with.
        taken: Subnet,
    },
    /// The configured subnet holds no container.
    #[error("cannot use subnet {subnet} for the bridge network: it has no room for a container")]
    SubnetTooSmall {
        /// The subnet.
        subnet: Subnet,
    },
    /// No address is left.
    #[error("no free address left in subnet {subnet} of the bridge network")]
    AddressesExhausted {
        /// The subnet.
        subnet: Subnet,
    },
    /// An interface of our name is none of ours.
    #[error("cannot make bridge {name}: an interface of that name exists and is no bridge")]
    NotABridge {
        /// The name.
        name: String,
    },
    /// A table of our name belongs to another installation.
    #[error("nf_tables table {table} belongs to something else ({note})")]
    ForeignTable {
        /// The table.
        table: String,
        /// What its note says.
        note: String,
    },
    /// A step of a plan failed.
    #[error("cannot {step}{}", left_behind(cleanup))]
    Step {
        /// The step.
        step: String,
        /// The kernel's answer.
        #[source]
        source: NetlinkError,
        /// What could not be undone afterwards.
        cleanup: Vec<String>,
    },
    /// The kernel could not be asked.
    #[error("cannot {task}")]
    Kernel {
        /// What was tried.
        task: &'static str,
        /// The kernel's answer.
        #[source]
        source: NetlinkError,
    },
    /// A file of the kernel or of ours.
    #[error("cannot {task} {path}")]
    File {
        /// What was tried.
        task: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Our own state makes no sense.
    #[error("cannot read {path}: it is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
    /// There is no program for a network without root.
    #[error("cannot give the container a network without root: {}", .program.map_or("neither pasta nor slirp4netns is installed".to_owned(), |program| format!("{program} is not installed")))]
    NoUserProgram {
        /// The one that the configuration wants.
        program: Option<UserProgram>,
    },
    /// That program failed.
    #[error("{program} cannot set up the container's network{}", said_by(said))]
    UserProgram {
        /// Which one.
        program: UserProgram,
        /// What it said.
        said: String,
        /// Why it could not be started or spoken to, if that is it.
        #[source]
        source: Option<io::Error>,
    },
    /// The DNS relay's sockets.
    #[error("cannot answer DNS at {address} in the container")]
    Relay {
        /// Where.
        address: Ipv4Addr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

fn suffix(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "",
        Protocol::Udp => "/udp",
        Protocol::Sctp => "/sctp",
    }
}

fn said_by(said: &str) -> String {
    if said.is_empty() {
        return String::new();
    }
    format!(": {said}")
}

fn short(endpoint: &str) -> &str {
    endpoint.get(..12).unwrap_or(endpoint)
}

fn left_behind(cleanup: &[String]) -> String {
    if cleanup.is_empty() {
        return String::new();
    }
    format!(
        " (and undoing what was done so far failed: {})",
        cleanup.join("; ")
    )
}

impl NetworkError {
    fn errno(&self) -> Option<i32> {
        match self {
            NetworkError::Step { source, .. } | NetworkError::Kernel { source, .. } => {
                source.errno()
            }
            NetworkError::Bind { source, .. }
            | NetworkError::File { source, .. }
            | NetworkError::Relay { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    fn lacks_privilege(&self) -> bool {
        use rustix::io::Errno;
        let errno = self.errno();
        [Errno::PERM, Errno::ACCESS]
            .iter()
            .any(|denied| errno == Some(denied.raw_os_error()))
    }
}

impl Fault for NetworkError {
    fn kind(&self) -> FaultKind {
        match self {
            NetworkError::UnsupportedProtocol { .. }
            | NetworkError::UnsupportedAddress { .. }
            | NetworkError::NoUserProgram { .. } => FaultKind::Unsupported,
            NetworkError::PortInUse { .. }
            | NetworkError::PortPublished { .. }
            | NetworkError::AlreadyAttached { .. }
            | NetworkError::NotABridge { .. }
            | NetworkError::ForeignTable { .. } => FaultKind::Conflict,
            NetworkError::NoSuchHostAddress { .. }
            | NetworkError::SubnetTaken { .. }
            | NetworkError::SubnetTooSmall { .. } => FaultKind::Invalid,
            NetworkError::NoFreeSubnet | NetworkError::AddressesExhausted { .. } => {
                FaultKind::Unavailable
            }
            NetworkError::Damaged { .. } => FaultKind::Corrupt,
            _ if self.lacks_privilege() => FaultKind::Forbidden,
            _ => FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            NetworkError::Damaged { .. } => {
                "write it anew with `gantry system check --repair`".to_owned()
            }
            NetworkError::PortInUse {
                owner: Some(owner), ..
            } => {
                format!("stop {owner}, or publish on another host port")
            }
            NetworkError::PortInUse { .. } => "publish on another host port".to_owned(),
            NetworkError::PortPublished { endpoint, .. } => {
                format!(
                    "stop container {} first, or publish on another host port",
                    short(endpoint)
                )
            }
            NetworkError::NoUserProgram { .. } => {
                "install pasta (Debian's package passt) or slirp4netns, or run with --network host \
                 or none"
                    .to_owned()
            }
            NetworkError::Bind { address, .. } if self.lacks_privilege() => format!(
                "ports below 1024 are for root: publish on another one, or as root, sysctl \
                 net.ipv4.ip_unprivileged_port_start={}",
                address.port()
            ),
            NetworkError::UnsupportedAddress { mapping } => format!(
                "publish on an IPv4 address: -p {}",
                PortMapping {
                    host_ip: Some(Ipv4Addr::LOCALHOST.into()),
                    ..mapping.clone()
                }
            ),
            NetworkError::NoFreeSubnet
            | NetworkError::SubnetTaken { .. }
            | NetworkError::SubnetTooSmall { .. }
            | NetworkError::AddressesExhausted { .. } => {
                "set another subnet for the bridge network in the configuration".to_owned()
            }
            _ if self.lacks_privilege() => {
                "the bridge network needs root (CAP_NET_ADMIN); run with --network host or none"
                    .to_owned()
            }
            _ => return Vec::new(),
        };
        vec![hint]
    }
}

/// The address a mapping is bound at on the host.
pub(crate) fn host_address(mapping: &PortMapping) -> SocketAddr {
    let ip = mapping.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    SocketAddr::new(ip, mapping.host_port)
}
