//! Connections the kernel remembers, to make it forget some.
//!
//! Addresses are translated when a connection is first seen. UDP has no end of a connection:
//! a client that keeps sending keeps its old translation, to a container long gone or to the
//! host itself, until somebody says otherwise.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::netlink::{Attributes, Message, NetlinkError, Reply, Socket};

const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
/// `struct nfgenmsg` for IPv4.
const HEADER: [u8; 4] = [2, 0, 0, 0];

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const FILTER: u16 = 25;
const FILTER_ORIGINAL: u16 = 1;
const FILTER_REPLY: u16 = 2;
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const SOURCE_ADDRESS: u16 = 1;
const DESTINATION_ADDRESS: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;

const COMPARE_PROTOCOL: u32 = 1 << 3;

const UDP: u8 = 17;

/// Messages sent at once: their answers fit the socket's queue.
const BATCH: usize = 128;

/// A connection by UDP over IPv4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpFlow {
    /// Where its first packet was sent to, before any translation.
    pub destination: SocketAddrV4,
    /// Where answers come from: the destination after translation.
    pub answers_from: SocketAddrV4,
    /// The original tuple as the kernel wrote it, which names the connection.
    tuple: Vec<u8>,
    /// The kernel's number of the connection, against another one with the same tuple.
    id: Vec<u8>,
}

/// All connections by UDP over IPv4.
pub fn udp_flows(socket: &mut Socket) -> Result<Vec<UdpFlow>, NetlinkError> {
    let list = || Message::new(GET, 0, &HEADER, "list connections");
    // Kernels that can leave out other protocols themselves do; the others list them too.
    let filtered = list()
        .nest(TUPLE_ORIGINAL, |tuple| {
            tuple.nest(TUPLE_PROTOCOL, |protocol| {
                protocol.bytes(PROTOCOL_NUMBER, &[UDP])
            })
        })
        .nest(FILTER, |filter| {
            filter
                .u32(FILTER_ORIGINAL, COMPARE_PROTOCOL)
                .u32(FILTER_REPLY, 0)
        });
    let replies = match socket.dump(&filtered) {
        Err(NetlinkError::Refused {
            errno: libc::EINVAL | libc::EOPNOTSUPP,
            ..
        }) => socket.dump(&list())?,
        other => other?,
    };
    Ok(replies.iter().filter_map(parse).collect())
}

/// Makes the kernel forget these connections; those it has forgotten by itself are no error.
pub fn forget(socket: &mut Socket, flows: &[UdpFlow]) -> Result<(), NetlinkError> {
    let messages: Vec<Message> = flows
        .iter()
        .map(|flow| {
            Message::new(DELETE, 0, &HEADER, "forget a connection")
                .nest(TUPLE_ORIGINAL, |tuple| tuple.raw(&flow.tuple))
                .bytes(ID, &flow.id)
                .tolerating(&[libc::ENOENT])
        })
        .collect();
    messages
        .chunks(BATCH)
        .try_for_each(|batch| socket.transact(batch))
}

fn parse(reply: &Reply) -> Option<UdpFlow> {
    if reply.kind != NEW {
        return None;
    }
    let attributes = reply.attributes(HEADER.len());
    let original = attributes.attribute(TUPLE_ORIGINAL)?;
    let (protocol, _, destination) = endpoints(&original.nested())?;
    let (_, answers_from, _) = endpoints(&attributes.attribute(TUPLE_REPLY)?.nested())?;
    let id = attributes.attribute(ID)?.value.to_vec();
    (protocol == UDP).then(|| UdpFlow {
        destination,
        answers_from,
        tuple: original.value.to_vec(),
        id,
    })
}

/// Protocol, source and destination of a tuple.
fn endpoints(tuple: &Attributes<'_>) -> Option<(u8, SocketAddrV4, SocketAddrV4)> {
    let addresses = tuple.attribute(TUPLE_ADDRESSES)?.nested();
    let protocol = tuple.attribute(TUPLE_PROTOCOL)?.nested();
    let address = |kind: u16| {
        let octets: [u8; 4] = addresses.attribute(kind)?.value.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    let port = |kind: u16| {
        let bytes: [u8; 2] = protocol.attribute(kind)?.value.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    };
    let source = SocketAddrV4::new(address(SOURCE_ADDRESS)?, port(SOURCE_PORT)?);
    let destination = SocketAddrV4::new(address(DESTINATION_ADDRESS)?, port(DESTINATION_PORT)?);
    Some((
        protocol.attribute(PROTOCOL_NUMBER)?.u8()?,
        source,
        destination,
    ))
}
