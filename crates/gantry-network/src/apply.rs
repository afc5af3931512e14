//! Doing what a plan says, and undoing it in reverse when a step fails. Nothing is decided
//! here.

use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

use gantry_sys::netlink::{
    Address, AddressFlags, LinkChange, LinkName, Mac, Message, NetlinkError, Route, VethEnd,
    add_address, add_route, create_bridge, create_veth, delete_address, delete_link, link,
    set_link,
};
use gantry_sys::nftables::{delete_rule, delete_table};
use rustix::io::Errno;

use crate::endpoint::INTERFACE;
use crate::error::NetworkError;
use crate::names::Names;
use crate::observe::{FORWARDING, IPTABLES, IPTABLES_CHAIN, Kernel};
use crate::plan::{Plan, Step};
use crate::ruleset::{self, PortRule};
use crate::subnet::Subnet;

const EXIST: i32 = Errno::EXIST.raw_os_error();
const NOENT: i32 = Errno::NOENT.raw_os_error();
const NODEV: i32 = Errno::NODEV.raw_os_error();
/// IPv6 is off on this kernel or interface.
const NO_IPV6: &[i32] = &[
    Errno::AFNOSUPPORT.raw_os_error(),
    Errno::OPNOTSUPP.raw_os_error(),
];

/// Why a plan was not carried out. Everything done before was undone.
#[derive(Debug)]
pub(crate) enum ApplyError {
    /// Another program took the subnet between looking and doing.
    SubnetRace,
    /// A published port has an element already, of an attachment nobody holds any more.
    StalePort,
    /// Anything else.
    Failed(NetworkError),
}

/// How to undo a step.
#[derive(Debug)]
enum Undo {
    DeleteLink(String),
    DeleteTable,
    RemovePorts(Vec<PortRule>),
    RemoveGuestRules,
}

/// Carries out a plan for a container with this network namespace.
pub(crate) fn apply(
    kernel: &mut Kernel,
    names: &Names,
    plan: &Plan,
    netns: BorrowedFd<'_>,
) -> Result<(), ApplyError> {
    let mut undo = Vec::new();
    for step in &plan.steps {
        // Noted before it is done: a step that fails half-way needs undoing too.
        undo.extend(undo_of(step, names));
        if let Err(error) = run(kernel, names, step, netns) {
            let exists = matches!(&error, NetworkError::Step { source, .. } if source.errno() == Some(EXIST));
            if exists && matches!(step, Step::PublishPorts { .. }) {
                // The transaction as a whole did not happen, and the element is another's.
                undo.pop();
            }
            let cleanup = unwind(kernel, names, undo);
            return Err(match (step, error) {
                (Step::MakeBridge { .. }, _) if exists && cleanup.is_empty() => {
                    ApplyError::SubnetRace
                }
                (Step::PublishPorts { .. }, _) if exists && cleanup.is_empty() => {
                    ApplyError::StalePort
                }
                (_, NetworkError::Step { step, source, .. }) => {
                    ApplyError::Failed(NetworkError::Step {
                        step,
                        source,
                        cleanup,
                    })
                }
                (_, other) => ApplyError::Failed(other),
            });
        }
    }
    Ok(())
}

fn undo_of(step: &Step, names: &Names) -> Option<Undo> {
    match step {
        Step::MakeBridge { .. } => Some(Undo::DeleteLink(names.bridge.clone())),
        Step::InstallTable { replace: false, .. } => Some(Undo::DeleteTable),
        Step::PublishPorts { ports } => Some(Undo::RemovePorts(ports.clone())),
        Step::LetThrough => Some(Undo::RemoveGuestRules),
        Step::ConnectVeth { host_interface, .. } => Some(Undo::DeleteLink(host_interface.clone())),
        // What these mend or withdraw was wrong before; forwarding is not ours to end.
        Step::EnableForwarding
        | Step::RepairBridge { .. }
        | Step::InstallTable { .. }
        | Step::WithdrawPorts { .. } => None,
    }
}

/// Undoes in reverse, each step whether or not the one before it could be; says what failed.
fn unwind(kernel: &mut Kernel, names: &Names, undo: Vec<Undo>) -> Vec<String> {
    undo.into_iter()
        .rev()
        .filter_map(|undo| {
            match undo {
                Undo::DeleteLink(name) => remove_link(kernel, &name),
                Undo::DeleteTable => remove_table(kernel, names),
                Undo::RemovePorts(ports) => remove_ports(kernel, names, &ports),
                Undo::RemoveGuestRules => remove_guest_rules(kernel, names),
            }
            .err()
        })
        .map(|error| error.to_string())
        .collect()
}

fn run(
    kernel: &mut Kernel,
    names: &Names,
    step: &Step,
    netns: BorrowedFd<'_>,
) -> Result<(), NetworkError> {
    let result = match step {
        Step::EnableForwarding => return enable_forwarding(),
        Step::MakeBridge { subnet, mac, mtu } => make_bridge(kernel, names, *subnet, *mac, *mtu),
        Step::RepairBridge {
            index,
            subnet,
            wrong,
        } => repair_bridge(kernel, *index, *subnet, wrong),
        Step::InstallTable {
            subnet,
            ports,
            replace,
        } => {
            let messages = ruleset::install(names, *subnet, ports, *replace);
            kernel.firewall.transact_atomically(&messages)
        }
        Step::WithdrawPorts { ports } => remove_ports(kernel, names, ports),
        Step::PublishPorts { ports } => kernel
            .firewall
            .transact_atomically(&ruleset::add_ports(names, ports)),
        Step::LetThrough => {
            let messages = ruleset::let_through(names, IPTABLES, IPTABLES_CHAIN);
            kernel.firewall.transact_atomically(&messages)
        }
        Step::ConnectVeth {
            host_interface,
            mac,
            mtu,
            hairpin,
        } => connect(kernel, names, host_interface, (*mac, *mtu, *hairpin), netns),
    };
    let step = || step.to_string();
    result.map_err(|source| NetworkError::Step {
        step: step(),
        source,
        cleanup: Vec::new(),
    })
}

fn enable_forwarding() -> Result<(), NetworkError> {
    fs::write(FORWARDING, "1").map_err(|source| NetworkError::File {
        task: "enable forwarding of IPv4 in",
        path: FORWARDING.into(),
        source,
    })
}

fn make_bridge(
    kernel: &mut Kernel,
    names: &Names,
    subnet: Subnet,
    mac: Mac,
    mtu: u32,
) -> Result<(), NetlinkError> {
    kernel
        .route
        .transact(&[create_bridge(&names.bridge, mac, Some(mtu))])?;
    let index = index_of(kernel, &names.bridge)?;
    kernel.route.transact(&settle_bridge(index, subnet))?;
    // By itself the kernel would route one network through two bridges; this way it refuses,
    // and two installations that chose at the same moment are told apart.
    kernel
        .route
        .transact(&[add_route(&bridge_route(index, subnet))])
}

fn index_of(kernel: &mut Kernel, name: &str) -> Result<u32, NetlinkError> {
    let vanished = NetlinkError::Malformed {
        what: "an interface just made is not there",
    };
    link(&mut kernel.route, LinkName::Name(name))?
        .map(|link| link.index)
        .ok_or(vanished)
}

/// Address, loopback routing and state of the bridge, whatever it has of them already.
fn settle_bridge(index: u32, subnet: Subnet) -> Vec<Message> {
    let target = LinkName::Index(index);
    let quiet = LinkChange {
        without_ipv6_addresses: true,
        ..LinkChange::default()
    };
    let on = LinkChange {
        up: Some(true),
        route_localnet: Some(true),
        ..LinkChange::default()
    };
    let gateway = Address {
        link: index,
        ip: subnet.gateway().into(),
        prefix: subnet.prefix(),
    };
    vec![
        set_link(target, &quiet).tolerating(NO_IPV6),
        add_address(
            &gateway,
            AddressFlags {
                without_route: true,
            },
        )
        .tolerating(&[EXIST]),
        set_link(target, &on),
    ]
}

fn bridge_route(index: u32, subnet: Subnet) -> Route {
    Route {
        network: subnet.network().into(),
        prefix: subnet.prefix(),
        gateway: None,
        link: Some(index),
        source: Some(subnet.gateway().into()),
    }
}

fn repair_bridge(
    kernel: &mut Kernel,
    index: u32,
    subnet: Subnet,
    wrong: &[(Ipv4Addr, u8)],
) -> Result<(), NetlinkError> {
    let wrong = wrong.iter().map(|&(ip, prefix)| Address {
        link: index,
        ip: ip.into(),
        prefix,
    });
    let mut messages: Vec<Message> = wrong.map(|address| delete_address(&address)).collect();
    messages.extend(settle_bridge(index, subnet));
    messages.push(add_route(&bridge_route(index, subnet)).tolerating(&[EXIST]));
    kernel.route.transact(&messages)
}

fn connect(
    kernel: &mut Kernel,
    names: &Names,
    host_interface: &str,
    (mac, mtu, hairpin): (Mac, u32, bool),
    netns: BorrowedFd<'_>,
) -> Result<(), NetlinkError> {
    let bridge = index_of(kernel, &names.bridge)?;
    let near = VethEnd {
        name: host_interface,
        mac: None,
        netns: None,
    };
    let far = VethEnd {
        name: INTERFACE,
        mac: Some(mac),
        netns: Some(netns),
    };
    let target = LinkName::Name(host_interface);
    let quiet = LinkChange {
        without_ipv6_addresses: true,
        ..LinkChange::default()
    };
    let join = LinkChange {
        up: Some(true),
        master: Some(bridge),
        ..LinkChange::default()
    };
    let mut messages = vec![
        create_veth(&near, &far, Some(mtu)),
        set_link(target, &quiet).tolerating(NO_IPV6),
        set_link(target, &join),
    ];
    if hairpin {
        // Where bridged packets pass the firewall too (br_netfilter), one for the container's
        // own published port leaves where it came in.
        let hairpin = LinkChange {
            hairpin: Some(true),
            ..LinkChange::default()
        };
        messages.push(set_link(target, &hairpin));
    }
    kernel.route.transact(&messages)
}

/// Withdraws ports, also when some of them, or the table, are gone already.
pub(crate) fn remove_ports(
    kernel: &mut Kernel,
    names: &Names,
    ports: &[PortRule],
) -> Result<(), NetlinkError> {
    let missing = |error: &NetlinkError| error.errno() == Some(NOENT);
    match kernel
        .firewall
        .transact_atomically(&ruleset::remove_ports(names, ports))
    {
        // One missing element undoes the whole transaction: one by one, then.
        Err(error) if missing(&error) && ports.len() > 1 => {
            for port in ports {
                let single = ruleset::remove_ports(names, std::slice::from_ref(port));
                match kernel.firewall.transact_atomically(&single) {
                    Err(error) if !missing(&error) => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        }
        Err(error) if missing(&error) => Ok(()),
        other => other,
    }
}

/// Deletes an interface, which takes tens of milliseconds, if it is there.
pub(crate) fn remove_link(kernel: &mut Kernel, name: &str) -> Result<(), NetlinkError> {
    kernel
        .route
        .transact(&[delete_link(LinkName::Name(name)).tolerating(&[NODEV])])
}

/// Deletes the table, if it is there.
pub(crate) fn remove_table(kernel: &mut Kernel, names: &Names) -> Result<(), NetlinkError> {
    let message = delete_table(ruleset::table(names)).tolerating(&[NOENT]);
    kernel.firewall.transact_atomically(&[message])
}

/// Takes our rules out of the chain of `iptables`.
pub(crate) fn remove_guest_rules(kernel: &mut Kernel, names: &Names) -> Result<(), NetlinkError> {
    let handles = match kernel.guest_rules(names) {
        Err(error) if error.errno() == Some(NOENT) => Vec::new(),
        other => other?,
    };
    let delete = |handle: &u64| delete_rule(IPTABLES, IPTABLES_CHAIN, *handle);
    let messages: Vec<Message> = handles.iter().map(delete).collect();
    kernel.firewall.transact_atomically(&messages)
}
