//! Interfaces of the host that become the container's (OCI runtime-spec, `config-linux.md`,
//! "Network Devices").

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use gantry_sys::netlink::{
    Address, AddressFlags, LinkChange, LinkName, NetlinkError, Protocol, Socket, add_address,
    addresses, link, set_link,
};

use crate::error::StartError;
use crate::plan::NetDevice;

/// Moves interfaces into the container's network namespace; their addresses and the size of their
/// packets go with them, and they are up afterwards.
pub(crate) fn move_all(devices: &[NetDevice], network: BorrowedFd<'_>) -> Result<(), StartError> {
    if devices.is_empty() {
        return Ok(());
    }
    for device in devices {
        move_one(device, network).map_err(|failure| match failure {
            Failure::Missing => StartError::NoNetDevice {
                name: device.host_name.clone(),
            },
            Failure::Netlink(source) => StartError::NetDevice {
                name: device.host_name.clone(),
                source,
            },
        })?;
    }
    Ok(())
}

enum Failure {
    Missing,
    Netlink(NetlinkError),
}

impl From<NetlinkError> for Failure {
    fn from(error: NetlinkError) -> Failure {
        Failure::Netlink(error)
    }
}

fn move_one(device: &NetDevice, network: BorrowedFd<'_>) -> Result<(), Failure> {
    let mut outside = Socket::open(Protocol::Route)?;
    let found = link(&mut outside, LinkName::Name(&device.host_name))?.ok_or(Failure::Missing)?;
    let kept: Vec<Address> = addresses(&mut outside, Some(found.index))?
        .into_iter()
        .filter(|address| is_global(address.ip))
        .collect();
    let change = LinkChange {
        name: Some(&device.name),
        netns: Some(network),
        ..LinkChange::default()
    };
    outside.transact(&[set_link(LinkName::Index(found.index), &change)])?;
    let mut inside = Socket::open_in(Protocol::Route, network)?;
    let moved = link(&mut inside, LinkName::Name(&device.name))?.ok_or(Failure::Missing)?;
    let up = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    let mut messages: Vec<_> = kept
        .into_iter()
        .map(|address| {
            let address = Address {
                link: moved.index,
                ..address
            };
            add_address(&address, AddressFlags::default())
        })
        .collect();
    messages.push(set_link(LinkName::Index(moved.index), &up));
    Ok(inside.transact(&messages)?)
}

/// The kernel makes the others by itself.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}
