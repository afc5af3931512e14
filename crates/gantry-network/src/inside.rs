//! What is set up inside a container's network namespace.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;

use gantry_sys::netlink::{
    Address, AddressFlags, LinkChange, LinkName, NetlinkError, Protocol, Route, Socket,
    add_address, add_route, link, set_link,
};
use rustix::io::Errno;

use crate::endpoint::{Attachment, INTERFACE};
use crate::error::NetworkError;

const NO_IPV6: &[i32] = &[
    Errno::AFNOSUPPORT.raw_os_error(),
    Errno::OPNOTSUPP.raw_os_error(),
];

const UP: LinkChange<'static> = LinkChange {
    up: Some(true),
    name: None,
    mtu: None,
    mac: None,
    master: None,
    hairpin: None,
    route_localnet: None,
    without_ipv6_addresses: false,
    netns: None,
};

/// Sets up the loopback of a namespace: all the network that mode `none` has.
///
/// # Errors
/// [`NetworkError::Kernel`] when the namespace cannot be entered or refuses.
pub fn loopback_up(netns: BorrowedFd<'_>) -> Result<(), NetworkError> {
    let up = || {
        let mut socket = Socket::open_in(Protocol::Route, netns)?;
        socket.transact(&[set_link(LinkName::Name("lo"), &UP)])
    };
    up().map_err(|source| NetworkError::Kernel {
        task: "set up the container's loopback",
        source,
    })
}

/// Sets up loopback, interface, address and default route.
pub(crate) fn configure(
    netns: BorrowedFd<'_>,
    attachment: &Attachment,
    link_local: &[IpAddr],
) -> Result<(), NetworkError> {
    set_up(netns, attachment, link_local).map_err(|source| NetworkError::Kernel {
        task: "set up the container's interface",
        source,
    })
}

fn set_up(
    netns: BorrowedFd<'_>,
    attachment: &Attachment,
    link_local: &[IpAddr],
) -> Result<(), NetlinkError> {
    let mut socket = Socket::open_in(Protocol::Route, netns)?;
    let Some(interface) = link(&mut socket, LinkName::Name(INTERFACE))? else {
        return Err(NetlinkError::Malformed {
            what: "an interface just made is not there",
        });
    };
    let target = LinkName::Index(interface.index);
    let quiet = LinkChange {
        without_ipv6_addresses: true,
        ..LinkChange::default()
    };
    let address = Address {
        link: interface.index,
        ip: attachment.address.into(),
        prefix: attachment.prefix,
    };
    let way_out = Route {
        network: Ipv4Addr::UNSPECIFIED.into(),
        prefix: 0,
        gateway: Some(attachment.gateway.into()),
        link: Some(interface.index),
        source: None,
    };
    let mut batch = vec![
        set_link(LinkName::Name("lo"), &UP),
        set_link(target, &quiet).tolerating(NO_IPV6),
        set_link(target, &UP),
        add_address(&address, AddressFlags::default()),
        add_route(&way_out),
    ];
    for ip in link_local {
        let further = Address {
            link: interface.index,
            ip: *ip,
            prefix: if ip.is_ipv4() { 16 } else { 64 },
        };
        batch.push(add_address(&further, AddressFlags::default()));
    }
    socket.transact(&batch)?;
    // See `Kernel::settle`.
    link(&mut socket, target)?;
    Ok(())
}
