//! The nf_tables table of an installation.
//!
//! - `protect` drops packets for 127.0.0.0/8 that arrive from the bridge: `route_localnet`,
//!   which ports published on 127.0.0.1 need, would let containers reach the host's loopback
//!   services otherwise (CVE-2020-8558). It comes before connection tracking, which gives
//!   legitimate answers their loopback address back only afterwards.
//! - `prerouting` and `output` translate published ports by two maps: one for ports published
//!   on a certain address, one for those on all. Publishing a port is one element more, never
//!   a rule. A packet for 127.0.0.0/8 that did not start on this host is left alone, so that
//!   a neighbour cannot reach what is published on 127.0.0.1.
//! - `postrouting` gives what leaves the bridge the host's address, and makes answers to
//!   translated packets come back through the host (a container that reaches itself or a
//!   neighbour through the host's address; a client on the host's loopback).
//! - `forward` lets out everything, in only answers and translated packets: whatever is not
//!   published cannot be reached from outside, also by a neighbour that routes to the bridge.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use gantry_model::port::Protocol;
use gantry_sys::netlink::Message;
use gantry_sys::nftables::{
    Chain, ChainKind, Comparison, Datatype, Element, Expression, Family, Hook, HookPoint, Map,
    MetaKey, PayloadBase, Policy, Register, Rule, TableName, Verdict, add_chain, add_elements,
    add_map, add_table, append_rule, ct_state, ct_status_dnat, delete_elements, delete_table,
    destination_network, destination_type_local, insert_rule, interface, source_network, state,
};

use crate::endpoint::Attachment;
use crate::names::Names;
use crate::subnet::Subnet;

/// The map of ports published on one address of the host.
const ON_ADDRESS: &str = "published";
/// The map of ports published on all of them.
const ON_ALL: &str = "published_on_all";

const PRIORITY_RAW: i32 = -300;
const PRIORITY_DNAT: i32 = -100;
const PRIORITY_FILTER: i32 = 0;
const PRIORITY_SNAT: i32 = 100;

const LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 0);

/// A published port: from where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PortRule {
    pub(crate) protocol: Protocol,
    /// `None` for every address of the host.
    pub(crate) host_ip: Option<Ipv4Addr>,
    pub(crate) host_port: u16,
    pub(crate) to: SocketAddrV4,
}

impl PortRule {
    /// The published ports of a container.
    pub(crate) fn of(attachment: &Attachment) -> Vec<PortRule> {
        let rule = |mapping: &gantry_model::port::PortMapping| PortRule {
            protocol: mapping.container.protocol,
            host_ip: match mapping.host_ip {
                Some(IpAddr::V4(ip)) if !ip.is_unspecified() => Some(ip),
                _ => None,
            },
            host_port: mapping.host_port,
            to: SocketAddrV4::new(attachment.address, mapping.container.port),
        };
        attachment.ports.iter().map(rule).collect()
    }

    fn map(&self) -> &'static str {
        if self.host_ip.is_some() {
            ON_ADDRESS
        } else {
            ON_ALL
        }
    }

    fn element(&self) -> Element {
        let protocol = match self.protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        };
        let port = |port: u16| {
            let [high, low] = port.to_be_bytes();
            [high, low, 0, 0]
        };
        let mut key = vec![protocol, 0, 0, 0];
        key.extend(self.host_ip.map(|ip| ip.octets()).iter().flatten());
        key.extend(port(self.host_port));
        Element {
            key,
            value: [self.to.ip().octets(), port(self.to.port())].concat(),
        }
    }
}

/// The table of these names.
pub(crate) fn table(names: &Names) -> TableName<'_> {
    TableName {
        family: Family::Ip,
        name: &names.table,
    }
}

/// Publishes ports.
pub(crate) fn add_ports(names: &Names, ports: &[PortRule]) -> Vec<Message> {
    by_map(ports)
        .flat_map(|(map, elements)| add_elements(table(names), map, &elements))
        .collect()
}

/// Withdraws ports.
pub(crate) fn remove_ports(names: &Names, ports: &[PortRule]) -> Vec<Message> {
    by_map(ports)
        .flat_map(|(map, elements)| delete_elements(table(names), map, &elements))
        .collect()
}

fn by_map(ports: &[PortRule]) -> impl Iterator<Item = (&'static str, Vec<Element>)> {
    [ON_ADDRESS, ON_ALL].into_iter().filter_map(|map| {
        let elements: Vec<Element> = ports
            .iter()
            .filter(|port| port.map() == map)
            .map(PortRule::element)
            .collect();
        (!elements.is_empty()).then_some((map, elements))
    })
}

/// The whole table with these ports, instead of an older one if there is one.
pub(crate) fn install(
    names: &Names,
    subnet: Subnet,
    ports: &[PortRule],
    replace: bool,
) -> Vec<Message> {
    let table = table(names);
    let mut messages = Vec::with_capacity(32);
    if replace {
        messages.push(delete_table(table));
    }
    messages.push(add_table(table, &names.note(subnet)));
    let (protocol, address, service) = (
        Datatype::InternetProtocol,
        Datatype::Ipv4Address,
        Datatype::InternetService,
    );
    let value = &[address, service];
    messages.push(add_map(
        &Map {
            table,
            name: ON_ADDRESS,
            key: &[protocol, address, service],
            value,
        },
        1,
    ));
    messages.push(add_map(
        &Map {
            table,
            name: ON_ALL,
            key: &[protocol, service],
            value,
        },
        2,
    ));
    let chains = [
        (
            "protect",
            ChainKind::Filter,
            HookPoint::Prerouting,
            PRIORITY_RAW,
        ),
        (
            "prerouting",
            ChainKind::Nat,
            HookPoint::Prerouting,
            PRIORITY_DNAT,
        ),
        ("output", ChainKind::Nat, HookPoint::Output, PRIORITY_DNAT),
        (
            "postrouting",
            ChainKind::Nat,
            HookPoint::Postrouting,
            PRIORITY_SNAT,
        ),
        (
            "forward",
            ChainKind::Filter,
            HookPoint::Forward,
            PRIORITY_FILTER,
        ),
    ];
    messages.extend(chains.map(|(name, kind, point, priority)| {
        let hook = Hook {
            kind,
            point,
            priority,
            policy: Policy::Accept,
        };
        add_chain(&Chain {
            table,
            name,
            hook: Some(hook),
        })
    }));
    messages.extend(
        rules(names, subnet)
            .into_iter()
            .map(|(chain, expressions)| {
                append_rule(&Rule {
                    table,
                    chain,
                    expressions,
                    comment: None,
                })
            }),
    );
    messages.extend(add_ports(names, ports));
    messages
}

/// Every rule with its chain, in order.
fn rules(names: &Names, subnet: Subnet) -> Vec<(&'static str, Vec<Expression>)> {
    use Comparison::{Equal, NotEqual};
    use MetaKey::{InputName, OutputName};
    let from_bridge = || interface(InputName, Equal, &names.bridge);
    let to_bridge = || interface(OutputName, Equal, &names.bridge);
    let beyond_bridge = interface(OutputName, NotEqual, &names.bridge);
    let from_subnet = || source_network(subnet.network(), subnet.prefix());
    let to_loopback = || destination_network(LOOPBACK, 8);
    let answers = ct_state(state::ESTABLISHED | state::RELATED);
    let verdict = |verdict| vec![Expression::Verdict(verdict)];
    let masquerade = || vec![Expression::Masquerade];
    let rule = |chain, parts: &[Vec<Expression>]| (chain, parts.concat());
    vec![
        rule(
            "protect",
            &[from_bridge(), to_loopback(), verdict(Verdict::Drop)],
        ),
        rule("prerouting", &[to_loopback(), verdict(Verdict::Return)]),
        rule("prerouting", &[translate_on_address()]),
        rule(
            "prerouting",
            &[destination_type_local(), translate_on_all()],
        ),
        rule("output", &[translate_on_address()]),
        rule("output", &[destination_type_local(), translate_on_all()]),
        rule("postrouting", &[from_subnet(), beyond_bridge, masquerade()]),
        rule(
            "postrouting",
            &[from_subnet(), to_bridge(), ct_status_dnat(), masquerade()],
        ),
        rule(
            "postrouting",
            &[source_network(LOOPBACK, 8), to_bridge(), masquerade()],
        ),
        rule("forward", &[from_bridge(), verdict(Verdict::Accept)]),
        rule("forward", &[to_bridge(), answers, verdict(Verdict::Accept)]),
        rule(
            "forward",
            &[to_bridge(), ct_status_dnat(), verdict(Verdict::Accept)],
        ),
        rule("forward", &[to_bridge(), verdict(Verdict::Drop)]),
    ]
}

fn load_protocol() -> Expression {
    Expression::Meta {
        key: MetaKey::TransportProtocol,
        into: Register::FIRST,
    }
}

fn load_destination_port(word: u32) -> Expression {
    let into = Register::word(word);
    Expression::Payload {
        base: PayloadBase::Transport,
        offset: 2,
        length: 2,
        into,
    }
}

fn translate_on_address() -> Vec<Expression> {
    let into = Register::word(1);
    let address = Expression::Payload {
        base: PayloadBase::Network,
        offset: 16,
        length: 4,
        into,
    };
    translate(
        &[load_protocol(), address, load_destination_port(2)],
        ON_ADDRESS,
    )
}

fn translate_on_all() -> Vec<Expression> {
    translate(&[load_protocol(), load_destination_port(1)], ON_ALL)
}

fn translate(key: &[Expression], map: &str) -> Vec<Expression> {
    let (set, key_register) = (map.to_owned(), Register::FIRST);
    let (address, port) = (Register::FIRST, Some(Register::word(1)));
    let mut expressions = key.to_vec();
    expressions.push(Expression::Lookup {
        set,
        key: key_register,
        into: Some(address),
    });
    expressions.push(Expression::DestinationNat { address, port });
    expressions
}

/// Rules for a chain of somebody else's that would drop forwarded packets: what comes from
/// the bridge or goes to it passes. Our own `forward` still drops what is not published. They
/// are made of what `iptables` itself would write, so that it can still read its chain.
pub(crate) fn let_through(names: &Names, table: TableName<'_>, chain: &str) -> Vec<Message> {
    let comment = Some(names.guest_note.as_str());
    let rule = |key| {
        let mut expressions = interface(key, Comparison::Equal, &names.bridge);
        expressions.push(Expression::Counter);
        expressions.push(Expression::Verdict(Verdict::Accept));
        insert_rule(&Rule {
            table,
            chain,
            expressions,
            comment,
        })
    };
    vec![rule(MetaKey::OutputName), rule(MetaKey::InputName)]
}
