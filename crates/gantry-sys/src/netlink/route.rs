//! Routes.

use std::net::IpAddr;

use super::address::{ip, octets};
use super::message::Message;
use super::socket::{NetlinkError, Reply, Socket};

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const CREATE_EXCLUSIVE: u16 = 0x400 | 0x200;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;

const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u32 = 255;
const PROTOCOL_KERNEL: u8 = 2;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_NOWHERE: u8 = 255;
const TYPE_UNICAST: u8 = 1;
const FLAG_CLONED: u32 = 0x200;

/// Length of `struct rtmsg`.
const HEADER: usize = 12;

/// A route to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// The network's address; all zero with prefix 0 for the default route.
    pub network: IpAddr,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// The next hop; `None` for a network directly at the interface.
    pub gateway: Option<IpAddr>,
    /// The interface.
    pub link: Option<u32>,
    /// The source address of packets that have none yet.
    pub source: Option<IpAddr>,
}

fn request(kind: u16, flags: u16, route: &Route, scope: u8, purpose: String) -> Message {
    let (family, network) = octets(route.network);
    let protocol = if route.gateway.is_some() {
        PROTOCOL_BOOT
    } else {
        PROTOCOL_KERNEL
    };
    let header = [
        family,
        route.prefix,
        0,
        0,
        TABLE_MAIN,
        protocol,
        scope,
        TYPE_UNICAST,
        0,
        0,
        0,
        0,
    ];
    let mut message = Message::new(kind, flags, &header, purpose);
    if route.prefix > 0 {
        message = message.bytes(RTA_DST, &network);
    }
    if let Some(gateway) = route.gateway {
        message = message.bytes(RTA_GATEWAY, &octets(gateway).1);
    }
    if let Some(link) = route.link {
        message = message.u32(RTA_OIF, link);
    }
    match route.source {
        Some(source) => message.bytes(RTA_PREFSRC, &octets(source).1),
        None => message,
    }
}

/// Adds a route to the main table; refused with `EEXIST` when there is one to exactly this
/// network already.
pub fn add_route(route: &Route) -> Message {
    let scope = if route.gateway.is_some() {
        SCOPE_UNIVERSE
    } else {
        SCOPE_LINK
    };
    let purpose = format!("add route to {}/{}", route.network, route.prefix);
    request(RTM_NEWROUTE, CREATE_EXCLUSIVE, route, scope, purpose)
}

/// Takes a route out of the main table.
pub fn delete_route(route: &Route) -> Message {
    let purpose = format!("delete route to {}/{}", route.network, route.prefix);
    request(RTM_DELROUTE, 0, route, SCOPE_NOWHERE, purpose)
}

/// All routes of the socket's namespace but the kernel's own to local addresses.
pub fn routes(socket: &mut Socket) -> Result<Vec<Route>, NetlinkError> {
    let message = Message::new(RTM_GETROUTE, 0, &[0; HEADER], "list routes");
    Ok(socket.dump(&message)?.iter().filter_map(parse).collect())
}

/// The route a packet to `destination` would take; `None` when there is no way.
pub fn route_to(socket: &mut Socket, destination: IpAddr) -> Result<Option<Route>, NetlinkError> {
    const NO_WAY: [i32; 3] = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EINVAL];
    let (family, bytes) = octets(destination);
    let mut header = [0; HEADER];
    header[0] = family;
    header[1] = if destination.is_ipv4() { 32 } else { 128 };
    let message = Message::new(
        RTM_GETROUTE,
        0,
        &header,
        format!("find the way to {destination}"),
    )
    .bytes(RTA_DST, &bytes);
    match socket.get(&message) {
        Ok(reply) => Ok(reply.as_ref().and_then(parse_any)),
        Err(error) if error.errno().is_some_and(|errno| NO_WAY.contains(&errno)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A route of a table, not one to a local address nor one made up for a single lookup.
fn parse(reply: &Reply) -> Option<Route> {
    let (header, _) = reply.payload.split_first_chunk::<HEADER>()?;
    let &[_, _, _, _, table, _, _, _, f0, f1, f2, f3] = header;
    let table = match reply.attributes(HEADER).attribute(RTA_TABLE) {
        Some(attribute) => attribute.u32()?,
        None => u32::from(table),
    };
    let cloned = u32::from_ne_bytes([f0, f1, f2, f3]) & FLAG_CLONED != 0;
    if table == TABLE_LOCAL || cloned {
        None
    } else {
        parse_any(reply)
    }
}

fn parse_any(reply: &Reply) -> Option<Route> {
    let (header, _) = reply.payload.split_first_chunk::<HEADER>()?;
    let &[family, prefix, ..] = header;
    let attributes = reply.attributes(HEADER);
    let address = |kind: u16| {
        attributes
            .attribute(kind)
            .and_then(|attribute| ip(attribute.value))
    };
    let number = |kind: u16| {
        attributes
            .attribute(kind)
            .and_then(|attribute| attribute.u32())
    };
    let nowhere = match family {
        2 => ip(&[0; 4]),
        10 => ip(&[0; 16]),
        _ => None,
    }?;
    Some(Route {
        network: address(RTA_DST).unwrap_or(nowhere),
        prefix,
        gateway: address(RTA_GATEWAY),
        link: number(RTA_OIF),
        source: address(RTA_PREFSRC),
    })
}
