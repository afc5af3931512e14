//! Network interfaces.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::message::{Attributes, Message};
use super::socket::{NetlinkError, Reply, Socket};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const CREATE_EXCLUSIVE: u16 = 0x400 | 0x200;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_LINK_NETNSID: u16 = 37;

const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_SLAVE_KIND: u16 = 4;
const INFO_SLAVE_DATA: u16 = 5;
const VETH_PEER: u16 = 1;
const BRIDGE_PORT_HAIRPIN: u16 = 4;

const AF_INET: u16 = 2;
const INET_CONF: u16 = 1;
/// `IPV4_DEVCONF_ROUTE_LOCALNET`
const ROUTE_LOCALNET: u16 = 26;
const AF_INET6: u16 = 10;
const INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_NONE: u8 = 1;

const IFF_UP: u32 = 1;

/// Length of `struct ifinfomsg`.
const HEADER: usize = 16;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text that is no Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a valid mac address")]
pub struct MacError(String);

impl std::str::FromStr for Mac {
    type Err = MacError;

    /// Six bytes in hexadecimal, between colons or hyphens.
    fn from_str(text: &str) -> Result<Self, MacError> {
        let bad = || MacError(text.chars().take(100).collect());
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut parts = text.split(separator);
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2)
                .ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self(bytes))
    }
}

/// An interface as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `bridge`, `veth`, ...; `None` for hardware and the loopback.
    pub kind: Option<String>,
    /// Its Ethernet address.
    pub mac: Option<Mac>,
    /// Largest packet.
    pub mtu: u32,
    /// Whether it is set up.
    pub up: bool,
    /// The bridge it belongs to.
    pub master: Option<u32>,
    /// The other end of a veth pair, numbered in its own namespace.
    pub peer: Option<u32>,
    /// Whether that other end lies in another namespace.
    pub peer_elsewhere: bool,
}

/// How a request names an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkName<'a> {
    /// By number.
    Index(u32),
    /// By name.
    Name(&'a str),
}

impl fmt::Display for LinkName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkName::Index(index) => write!(f, "interface {index}"),
            LinkName::Name(name) => f.write_str(name),
        }
    }
}

/// One end of a veth pair to be.
#[derive(Debug, Clone, Copy)]
pub struct VethEnd<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its Ethernet address; `None` for one of the kernel's choice.
    pub mac: Option<Mac>,
    /// The namespace it is put into; `None` for the socket's.
    pub netns: Option<BorrowedFd<'a>>,
}

/// What to change of an interface; nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkChange<'a> {
    /// Set it up or down.
    pub up: Option<bool>,
    /// Rename it.
    pub name: Option<&'a str>,
    /// Its largest packet.
    pub mtu: Option<u32>,
    /// Its Ethernet address.
    pub mac: Option<Mac>,
    /// The bridge it joins (0 = leaves).
    pub master: Option<u32>,
    /// For a port of a bridge: frames may leave where they came in.
    pub hairpin: Option<bool>,
    /// Whether 127.0.0.0/8 may be routed through it (`route_localnet`).
    pub route_localnet: Option<bool>,
    /// Give it no IPv6 address of the kernel's own making.
    pub without_ipv6_addresses: bool,
    /// Move it to this network namespace, where it is down and has no addresses at first.
    pub netns: Option<BorrowedFd<'a>>,
}

fn header(index: u32, flags: u32, change: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

fn request(
    kind: u16,
    flags: u16,
    target: LinkName<'_>,
    header: [u8; HEADER],
    purpose: String,
) -> Message {
    let message = Message::new(kind, flags, &header, purpose);
    match target {
        LinkName::Index(_) => message,
        LinkName::Name(name) => message.text(IFLA_IFNAME, name),
    }
}

fn index_of(target: LinkName<'_>) -> u32 {
    match target {
        LinkName::Index(index) => index,
        LinkName::Name(_) => 0,
    }
}

/// Makes a bridge, down. Without an address of its own a bridge takes one of its ports'.
pub fn create_bridge(name: &str, mac: Mac, mtu: Option<u32>) -> Message {
    let purpose = format!("create bridge {name}");
    let message = Message::new(RTM_NEWLINK, CREATE_EXCLUSIVE, &header(0, 0, 0), purpose)
        .text(IFLA_IFNAME, name)
        .bytes(IFLA_ADDRESS, &mac.0);
    let message = match mtu {
        Some(mtu) => message.u32(IFLA_MTU, mtu),
        None => message,
    };
    message.nest(IFLA_LINKINFO, |info| info.text(INFO_KIND, "bridge"))
}

/// Makes a pair of connected interfaces, down, each where its end says.
pub fn create_veth(near: &VethEnd<'_>, far: &VethEnd<'_>, mtu: Option<u32>) -> Message {
    let end = |message: Message, end: &VethEnd<'_>| {
        let mut message = message.text(IFLA_IFNAME, end.name);
        if let Some(mac) = end.mac {
            message = message.bytes(IFLA_ADDRESS, &mac.0);
        }
        if let Some(mtu) = mtu {
            message = message.u32(IFLA_MTU, mtu);
        }
        match end.netns {
            Some(netns) => message.bytes(IFLA_NET_NS_FD, &netns.as_raw_fd().to_ne_bytes()),
            None => message,
        }
    };
    let purpose = format!("create veth pair {} and {}", near.name, far.name);
    let message = Message::new(RTM_NEWLINK, CREATE_EXCLUSIVE, &header(0, 0, 0), purpose);
    end(message, near).nest(IFLA_LINKINFO, |info| {
        info.text(INFO_KIND, "veth").nest(INFO_DATA, |data| {
            data.nest(VETH_PEER, |peer| end(peer.raw(&header(0, 0, 0)), far))
        })
    })
}

/// Changes an interface.
pub fn set_link(target: LinkName<'_>, change: &LinkChange<'_>) -> Message {
    let (flags, mask) = match change.up {
        Some(up) => (if up { IFF_UP } else { 0 }, IFF_UP),
        None => (0, 0),
    };
    let header = header(index_of(target), flags, mask);
    let purpose = format!("configure {target}");
    // What a bridge keeps about its port is not looked at in an RTM_SETLINK.
    let kind = if change.hairpin.is_some() {
        RTM_NEWLINK
    } else {
        RTM_SETLINK
    };
    let mut message = match (target, change.name) {
        // The new name goes where the old one would: only a number can be renamed.
        (LinkName::Index(_), Some(name)) => {
            Message::new(kind, 0, &header, purpose).text(IFLA_IFNAME, name)
        }
        _ => request(kind, 0, target, header, purpose),
    };
    if let Some(mtu) = change.mtu {
        message = message.u32(IFLA_MTU, mtu);
    }
    if let Some(mac) = change.mac {
        message = message.bytes(IFLA_ADDRESS, &mac.0);
    }
    if let Some(master) = change.master {
        message = message.u32(IFLA_MASTER, master);
    }
    if let Some(netns) = change.netns {
        message = message.u32(IFLA_NET_NS_FD, netns.as_raw_fd().cast_unsigned());
    }
    if let Some(on) = change.route_localnet {
        message = message.nest(IFLA_AF_SPEC, |spec| {
            spec.nest(AF_INET, |inet| {
                inet.nest(INET_CONF, |conf| conf.u32(ROUTE_LOCALNET, u32::from(on)))
            })
        });
    }
    if change.without_ipv6_addresses {
        message = message.nest(IFLA_AF_SPEC, |spec| {
            spec.nest(AF_INET6, |inet6| {
                inet6.bytes(INET6_ADDR_GEN_MODE, &[ADDR_GEN_NONE])
            })
        });
    }
    if let Some(on) = change.hairpin {
        message = message.nest(IFLA_LINKINFO, |info| {
            info.text(INFO_SLAVE_KIND, "bridge")
                .nest(INFO_SLAVE_DATA, |data| {
                    data.bytes(BRIDGE_PORT_HAIRPIN, &[u8::from(on)])
                })
        });
    }
    message
}

/// Deletes an interface. Blocks for tens of milliseconds: keep it off the way of a start, and
/// let a veth pair die with its namespace.
pub fn delete_link(target: LinkName<'_>) -> Message {
    let header = header(index_of(target), 0, 0);
    request(RTM_DELLINK, 0, target, header, format!("delete {target}"))
}

/// The interface of this name or number, if there is one.
pub fn link(socket: &mut Socket, target: LinkName<'_>) -> Result<Option<Link>, NetlinkError> {
    let header = header(index_of(target), 0, 0);
    let message = request(RTM_GETLINK, 0, target, header, format!("look up {target}"));
    socket.get(&message)?.as_ref().map(parse).transpose()
}

/// All interfaces of the socket's namespace.
pub fn links(socket: &mut Socket) -> Result<Vec<Link>, NetlinkError> {
    let message = Message::new(RTM_GETLINK, 0, &header(0, 0, 0), "list interfaces");
    socket.dump(&message)?.iter().map(parse).collect()
}

fn parse(reply: &Reply) -> Result<Link, NetlinkError> {
    let malformed = NetlinkError::Malformed {
        what: "an interface without header or name",
    };
    let word = |at: usize| {
        let bytes = reply.payload.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let (Some(index), Some(flags)) = (word(4), word(8)) else {
        return Err(malformed);
    };
    let attributes = reply.attributes(HEADER);
    let Some(name) = attributes
        .attribute(IFLA_IFNAME)
        .and_then(|name| name.text())
    else {
        return Err(malformed);
    };
    let number = |kind: u16| {
        attributes
            .attribute(kind)
            .and_then(|attribute| attribute.u32())
    };
    let kind = attributes.attribute(IFLA_LINKINFO).and_then(|info| {
        info.nested()
            .attribute(INFO_KIND)?
            .text()
            .map(str::to_owned)
    });
    Ok(Link {
        index,
        name: name.to_owned(),
        kind,
        mac: mac(&attributes),
        mtu: number(IFLA_MTU).unwrap_or(0),
        up: flags & IFF_UP != 0,
        master: number(IFLA_MASTER),
        peer: number(IFLA_LINK),
        peer_elsewhere: attributes.attribute(IFLA_LINK_NETNSID).is_some(),
    })
}

fn mac(attributes: &Attributes<'_>) -> Option<Mac> {
    attributes
        .attribute(IFLA_ADDRESS)?
        .value
        .try_into()
        .ok()
        .map(Mac)
}
