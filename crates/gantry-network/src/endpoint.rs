//! What is asked of the network for one container, and what it gives.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{BorrowedFd, OwnedFd};

use gantry_model::port::PortMapping;
use gantry_model::record::NetworkState;
use gantry_sys::netlink::Mac;
use serde::{Deserialize, Serialize};

use crate::error::NetworkError;

/// The name of a container's interface.
pub(crate) const INTERFACE: &str = "eth0";

/// One container that wants to be on the bridge.
#[derive(Debug, Clone, Copy)]
pub struct AttachRequest<'a> {
    /// Id of the container.
    pub endpoint_id: &'a str,
    /// Its network namespace.
    pub netns: BorrowedFd<'a>,
    /// The process that holds the attachment: when it is gone without having detached, the
    /// next command may collect what is left.
    pub owner_pid: u32,
    /// Ports to publish; host port 0 = one of the host's choice.
    pub ports: &'a [PortMapping],
    /// Its host name.
    pub hostname: &'a str,
    /// Its Ethernet address; `None` for one made from its IP address.
    pub mac: Option<Mac>,
    /// Further addresses of the link-local ranges.
    pub link_local: &'a [IpAddr],
}

/// Where a container is on the bridge; plain data that outlives the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Id of the container.
    pub endpoint_id: String,
    /// Its interface.
    pub interface: String,
    /// The other end of it, on the host.
    pub host_interface: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Length of its network's prefix.
    pub prefix: u8,
    /// The host's address on the bridge.
    pub gateway: Ipv4Addr,
    /// Its Ethernet address.
    pub mac: String,
    /// Largest packet.
    pub mtu: u32,
    /// Published ports, with the host ports in force.
    pub ports: Vec<PortMapping>,
    /// Its host name.
    pub hostname: String,
}

impl From<&Attachment> for NetworkState {
    fn from(attachment: &Attachment) -> NetworkState {
        NetworkState {
            ip_address: attachment.address.to_string(),
            prefix_length: attachment.prefix,
            gateway: attachment.gateway.to_string(),
            mac_address: attachment.mac.clone(),
            ports: attachment.ports.clone(),
        }
    }
}

/// A container on the bridge, as its owner holds it.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub attachment: Attachment,
    /// Sockets that keep the published ports from everybody else; to be kept open as long as
    /// the container runs. Nothing ever arrives on them.
    pub port_holders: Vec<OwnedFd>,
    /// What may keep the network from working, in words for a person.
    pub warnings: Vec<String>,
}

/// An attachment as another process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointView {
    /// Where the container is.
    pub attachment: Attachment,
    /// The process that holds it.
    pub owner_pid: u32,
    /// Whether that process still lives.
    pub alive: bool,
    /// Inode of its network namespace.
    pub netns: u64,
}

/// What became of detaching.
#[derive(Debug)]
pub struct DetachOutcome {
    /// Whether there was an attachment.
    pub was_attached: bool,
    /// Whether another container is still on the bridge; if not, `teardown_if_idle` is due.
    pub bridge_in_use: bool,
    /// What could not be undone.
    pub failures: Vec<NetworkError>,
}
