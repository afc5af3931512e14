//! Holding published ports on the host, so that conflicts are found before a packet is lost.
//!
//! Packets for a published port are translated before they reach a socket, so the host's own
//! table of sockets would never know the port is taken. A socket bound there tells it.

mod owner;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use gantry_model::port::{PortMapping, Protocol};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt,
};

use crate::error::{NetworkError, host_address};
use crate::state::State;

/// A published port with the socket that holds it.
#[derive(Debug)]
pub(crate) struct Held {
    /// The mapping, its host port chosen.
    pub(crate) mapping: PortMapping,
    /// The socket.
    pub(crate) socket: OwnedFd,
}

/// Refuses what cannot be published, before anything is done.
pub(crate) fn check(mappings: &[PortMapping]) -> Result<(), NetworkError> {
    for mapping in mappings {
        if mapping.container.protocol == Protocol::Sctp {
            return Err(NetworkError::UnsupportedProtocol {
                mapping: mapping.clone(),
            });
        }
        if matches!(mapping.host_ip, Some(IpAddr::V6(_))) {
            return Err(NetworkError::UnsupportedAddress {
                mapping: mapping.clone(),
            });
        }
    }
    Ok(())
}

/// Holds every port. `state` gives the name of another container that has one of them.
pub(crate) fn hold(
    mappings: &[PortMapping],
    state: impl Fn() -> Option<State>,
) -> Result<Vec<Held>, NetworkError> {
    check(mappings)?;
    mappings
        .iter()
        .map(|mapping| hold_one(mapping, &state))
        .collect()
}

fn hold_one(
    mapping: &PortMapping,
    state: &dyn Fn() -> Option<State>,
) -> Result<Held, NetworkError> {
    let ip = match mapping.host_ip {
        Some(IpAddr::V4(ip)) => ip,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let protocol = mapping.container.protocol;
    let address = SocketAddrV4::new(ip, mapping.host_port);
    match bound(address, protocol) {
        Ok((socket, port)) => Ok(Held {
            mapping: PortMapping {
                host_port: port,
                ..mapping.clone()
            },
            socket,
        }),
        Err(Errno::ADDRINUSE) => Err(in_use(address.into(), protocol, state())),
        Err(Errno::ADDRNOTAVAIL) => Err(NetworkError::NoSuchHostAddress {
            address: host_address(mapping),
        }),
        Err(errno) => Err(NetworkError::Bind {
            address: host_address(mapping),
            source: errno.into(),
        }),
    }
}

fn bound(address: SocketAddrV4, protocol: Protocol) -> Result<(OwnedFd, u16), Errno> {
    let kind = match protocol {
        Protocol::Udp => SocketType::DGRAM,
        Protocol::Tcp | Protocol::Sctp => SocketType::STREAM,
    };
    let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
    if protocol == Protocol::Udp {
        bind(&socket, &address)?;
    } else {
        // Connections of an earlier server may linger; one that listens is still a conflict.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, 1)?;
    }
    let bound = SocketAddrV4::try_from(getsockname(&socket)?)?;
    Ok((socket, bound.port()))
}

fn in_use(address: SocketAddr, protocol: Protocol, state: Option<State>) -> NetworkError {
    let same = |mapping: &PortMapping| {
        let other = host_address(mapping);
        mapping.container.protocol == protocol
            && other.port() == address.port()
            && (other.ip() == address.ip()
                || other.ip().is_unspecified()
                || address.ip().is_unspecified())
    };
    let endpoint = state.and_then(|state| {
        let records = state.endpoints.into_iter();
        let mut taken = records.filter(|record| record.attachment.ports.iter().any(same));
        Some(taken.next()?.attachment.endpoint_id)
    });
    match endpoint {
        Some(endpoint) => NetworkError::PortPublished {
            address,
            protocol,
            endpoint,
        },
        None => NetworkError::PortInUse {
            address,
            protocol,
            owner: owner::find(address, protocol),
        },
    }
}
