//! The firewall table inside a container that leads DNS to the relay's ports.

use std::os::fd::BorrowedFd;

use gantry_sys::netlink::{Message, NetlinkError, Protocol, Socket};
use gantry_sys::nftables::{
    Chain, ChainKind, Comparison, Expression, Family, Hook, HookPoint, MetaKey, PayloadBase,
    Policy, Register, Rule, TableName, Verdict, add_chain, add_table, append_rule, delete_table,
    destination_network,
};
use rustix::io::Errno;

use crate::error::NetworkError;
use crate::resolv::RELAY;

const TABLE: TableName<'static> = TableName {
    family: Family::Ip,
    name: "gantry_dns",
};
const CHAIN: &str = "output";
const PRIORITY_DNAT: i32 = -100;
const DNS: u16 = 53;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Leads DNS questions for the relay's address to the ports it listens on.
pub(super) fn install(netns: BorrowedFd<'_>, udp: u16, tcp: u16) -> Result<(), NetworkError> {
    let install = || {
        let mut socket = Socket::open_in(Protocol::Netfilter, netns)?;
        // One left by a relay before this one.
        match socket.transact_atomically(&[delete_table(TABLE)]) {
            Err(error) if error.errno() != Some(Errno::NOENT.raw_os_error()) => return Err(error),
            _ => {}
        }
        socket.transact_atomically(&messages(udp, tcp))
    };
    install().map_err(|source: NetlinkError| NetworkError::Kernel {
        task: "lead DNS to the relay in the container",
        source,
    })
}

fn messages(udp: u16, tcp: u16) -> Vec<Message> {
    let hook = Hook {
        kind: ChainKind::Nat,
        point: HookPoint::Output,
        priority: PRIORITY_DNAT,
        policy: Policy::Accept,
    };
    vec![
        add_table(TABLE, "DNS relay"),
        add_chain(&Chain {
            table: TABLE,
            name: CHAIN,
            hook: Some(hook),
        }),
        redirect(UDP, udp),
        redirect(TCP, tcp),
    ]
}

fn redirect(protocol: u8, port: u16) -> Message {
    let register = Register::FIRST;
    let equal = |value: Vec<u8>| Expression::Compare {
        register,
        op: Comparison::Equal,
        value,
    };
    let port_register = Register::word(1);
    let mut expressions = destination_network(RELAY, 32);
    expressions.extend([
        Expression::Meta {
            key: MetaKey::TransportProtocol,
            into: register,
        },
        equal(vec![protocol]),
        Expression::Payload {
            base: PayloadBase::Transport,
            offset: 2,
            length: 2,
            into: register,
        },
        equal(DNS.to_be_bytes().to_vec()),
        Expression::Load {
            value: RELAY.octets().to_vec(),
            into: register,
        },
        Expression::Load {
            value: port.to_be_bytes().to_vec(),
            into: port_register,
        },
        Expression::DestinationNat {
            address: register,
            port: Some(port_register),
        },
        Expression::Verdict(Verdict::Accept),
    ]);
    append_rule(&Rule {
        table: TABLE,
        chain: CHAIN,
        expressions,
        comment: None,
    })
}
