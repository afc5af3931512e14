//! Addresses of interfaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::Message;
use super::socket::{NetlinkError, Reply, Socket};

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const CREATE_EXCLUSIVE: u16 = 0x400 | 0x200;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const NO_PREFIX_ROUTE: u32 = 0x200;

const SCOPE_HOST: u8 = 254;

/// Length of `struct ifaddrmsg`.
const HEADER: usize = 8;

/// The bytes of an address and its family.
pub(super) fn octets(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (2, ip.octets().to_vec()),
        IpAddr::V6(ip) => (10, ip.octets().to_vec()),
    }
}

/// The address in these bytes.
pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|bytes| Ipv6Addr::from(bytes).into())
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// The interface.
    pub link: u32,
    /// The address.
    pub ip: IpAddr,
    /// Length of its network's prefix.
    pub prefix: u8,
}

/// How an address is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressFlags {
    /// The kernel makes no route to the network by itself.
    pub without_route: bool,
}

fn request(kind: u16, flags: u16, address: &Address, purpose: String) -> Message {
    let (family, bytes) = octets(address.ip);
    let scope = if address.ip.is_loopback() {
        SCOPE_HOST
    } else {
        0
    };
    let mut header = [family, address.prefix, 0, scope, 0, 0, 0, 0];
    header[4..].copy_from_slice(&address.link.to_ne_bytes());
    Message::new(kind, flags, &header, purpose)
        .bytes(IFA_LOCAL, &bytes)
        .bytes(IFA_ADDRESS, &bytes)
}

/// Adds an address; an IPv4 one with the broadcast address of its network.
pub fn add_address(address: &Address, flags: AddressFlags) -> Message {
    let purpose = format!("add address {}/{}", address.ip, address.prefix);
    let mut message = request(RTM_NEWADDR, CREATE_EXCLUSIVE, address, purpose);
    if let IpAddr::V4(ip) = address.ip
        && address.prefix < 31
    {
        let broadcast = u32::from(ip) | (u32::MAX >> address.prefix);
        message = message.be32(IFA_BROADCAST, broadcast);
    }
    if flags.without_route {
        message.u32(IFA_FLAGS, NO_PREFIX_ROUTE)
    } else {
        message
    }
}

/// Takes an address away.
pub fn delete_address(address: &Address) -> Message {
    let purpose = format!("delete address {}/{}", address.ip, address.prefix);
    request(RTM_DELADDR, 0, address, purpose)
}

/// All addresses of the socket's namespace, or of one interface of it.
pub fn addresses(socket: &mut Socket, link: Option<u32>) -> Result<Vec<Address>, NetlinkError> {
    let mut header = [0; HEADER];
    header[4..].copy_from_slice(&link.unwrap_or(0).to_ne_bytes());
    let message = Message::new(RTM_GETADDR, 0, &header, "list addresses");
    let replies = socket.dump(&message)?;
    Ok(replies
        .iter()
        .filter_map(parse)
        .filter(|a| link.is_none_or(|l| l == a.link))
        .collect())
}

fn parse(reply: &Reply) -> Option<Address> {
    let (&[_, prefix, _, _, i0, i1, i2, i3], _) = reply.payload.split_first_chunk::<HEADER>()?;
    let attributes = reply.attributes(HEADER);
    // On a point-to-point interface IFA_ADDRESS is the other side's.
    let own = attributes
        .attribute(IFA_LOCAL)
        .or_else(|| attributes.attribute(IFA_ADDRESS))?;
    Some(Address {
        link: u32::from_ne_bytes([i0, i1, i2, i3]),
        ip: ip(own.value)?,
        prefix,
    })
}
