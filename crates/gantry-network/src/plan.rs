//! Deciding what to do for a container: pure, from what is wanted and what was observed.

use std::fmt;
use std::net::Ipv4Addr;

use gantry_sys::netlink::Mac;

use crate::config::{LONGEST_PREFIX, NetworkConfig, pools};
use crate::endpoint::INTERFACE;
use crate::error::NetworkError;
use crate::names::Names;
use crate::ruleset::PortRule;
use crate::subnet::Subnet;

/// Largest packet of a bridge when the way out allows no less.
const ETHERNET_MTU: u32 = 1500;
/// Smallest that IPv6 and sensible tunnels know; less is not taken from an odd way out.
const SMALLEST_MTU: u32 = 1280;

/// What is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Desired {
    /// The subnet of the bridge.
    pub(crate) subnet: Subnet,
    /// A configured size of packets.
    pub(crate) mtu: Option<u32>,
    /// The host's end of the new container's interface.
    pub(crate) host_interface: String,
    /// The Ethernet address inside.
    pub(crate) mac: Mac,
    /// Its published ports.
    pub(crate) ports: Vec<PortRule>,
    /// Published ports of those already there.
    pub(crate) others: Vec<PortRule>,
    /// Ports of attachments whose owner is gone.
    pub(crate) gone: Vec<PortRule>,
}

/// The bridge as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObservedBridge {
    pub(crate) index: u32,
    pub(crate) is_bridge: bool,
    pub(crate) up: bool,
    pub(crate) mtu: u32,
    pub(crate) addresses: Vec<(Ipv4Addr, u8)>,
    /// Whether packets to its first network go through it.
    pub(crate) has_route: bool,
}

/// What was found in the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Whether the host forwards IPv4.
    pub(crate) forwarding: bool,
    /// The interface with the bridge's name.
    pub(crate) bridge: Option<ObservedBridge>,
    /// Networks in use on the host; only filled in when a subnet may have to be chosen.
    pub(crate) occupied: Vec<Subnet>,
    /// Largest packet of the default route's interface; filled in like `occupied`.
    pub(crate) uplink_mtu: Option<u32>,
    /// The note on the table with our name.
    pub(crate) table: Option<String>,
    /// Whether `iptables`' own FORWARD chain drops what nobody lets through, without having
    /// our rules.
    pub(crate) forward_drops: bool,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    EnableForwarding,
    MakeBridge {
        subnet: Subnet,
        mac: Mac,
        mtu: u32,
    },
    RepairBridge {
        index: u32,
        subnet: Subnet,
        wrong: Vec<(Ipv4Addr, u8)>,
    },
    InstallTable {
        subnet: Subnet,
        ports: Vec<PortRule>,
        replace: bool,
    },
    WithdrawPorts {
        ports: Vec<PortRule>,
    },
    PublishPorts {
        ports: Vec<PortRule>,
    },
    LetThrough,
    ConnectVeth {
        host_interface: String,
        mac: Mac,
        mtu: u32,
        hairpin: bool,
    },
}

/// Everything to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// Largest packet of the new interface.
    pub(crate) mtu: u32,
}

/// The Ethernet address that belongs to an IP address: locally administered, and the same
/// again whenever the address is, so that no neighbour remembers a wrong one.
pub(crate) fn mac_of(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    Mac([0x02, 0x42, a, b, c, d])
}

/// Chooses the subnet. `kept` is that of the state, `endpoints_live` whether somebody has an
/// address of it; `excluded` were found taken at the last moment.
pub(crate) fn choose_subnet(
    config: &NetworkConfig,
    kept: Option<Subnet>,
    endpoints_live: bool,
    observed: &Observed,
    excluded: &[Subnet],
) -> Result<Subnet, NetworkError> {
    let bridge = observed.bridge.as_ref();
    let on_bridge = |subnet: Subnet| {
        let own = (subnet.gateway(), subnet.prefix());
        bridge.is_some_and(|bridge| bridge.addresses.contains(&own))
    };
    let taken = |subnet: Subnet| {
        let mut in_use = observed.occupied.iter().chain(excluded);
        in_use.find(|other| subnet.overlaps(**other)).copied()
    };
    if let Some(subnet) = config.subnet {
        if subnet.prefix() > LONGEST_PREFIX {
            return Err(NetworkError::SubnetTooSmall { subnet });
        }
        return match taken(subnet).filter(|_| !on_bridge(subnet)) {
            Some(taken) => Err(NetworkError::SubnetTaken { subnet, taken }),
            None => Ok(subnet),
        };
    }
    // With containers on it the subnet cannot change any more.
    if let Some(subnet) = kept
        && (endpoints_live || on_bridge(subnet) || taken(subnet).is_none())
    {
        return Ok(subnet);
    }
    let adopted = bridge.filter(|bridge| bridge.is_bridge).and_then(|bridge| {
        let subnets = bridge
            .addresses
            .iter()
            .filter(|(_, prefix)| *prefix <= LONGEST_PREFIX);
        let subnets = subnets.filter_map(|&(address, prefix)| Subnet::of(address, prefix));
        subnets.into_iter().find(|subnet| on_bridge(*subnet))
    });
    adopted
        .or_else(|| pools().find(|subnet| taken(*subnet).is_none()))
        .ok_or(NetworkError::NoFreeSubnet)
}

/// Decides what to do.
pub(crate) fn plan(
    names: &Names,
    desired: &Desired,
    observed: &Observed,
) -> Result<Plan, NetworkError> {
    let mut steps = Vec::new();
    if !observed.forwarding {
        steps.push(Step::EnableForwarding);
    }
    let mtu = plan_bridge(names, desired, observed, &mut steps)?;
    plan_table(names, desired, observed, &mut steps)?;
    if observed.forward_drops {
        steps.push(Step::LetThrough);
    }
    steps.push(Step::ConnectVeth {
        host_interface: desired.host_interface.clone(),
        mac: desired.mac,
        mtu,
        hairpin: !desired.ports.is_empty(),
    });
    Ok(Plan { steps, mtu })
}

/// Plans the bridge and gives the size of its packets.
fn plan_bridge(
    names: &Names,
    desired: &Desired,
    observed: &Observed,
    steps: &mut Vec<Step>,
) -> Result<u32, NetworkError> {
    let subnet = desired.subnet;
    let Some(bridge) = &observed.bridge else {
        let uplink = observed.uplink_mtu.unwrap_or(ETHERNET_MTU);
        let mtu = desired
            .mtu
            .unwrap_or(uplink.clamp(SMALLEST_MTU, ETHERNET_MTU));
        steps.push(Step::MakeBridge {
            subnet,
            mac: mac_of(subnet.gateway()),
            mtu,
        });
        return Ok(mtu);
    };
    if !bridge.is_bridge {
        return Err(NetworkError::NotABridge {
            name: names.bridge.clone(),
        });
    }
    let right = (subnet.gateway(), subnet.prefix());
    let (kept, wrong): (Vec<_>, Vec<_>) = bridge
        .addresses
        .iter()
        .copied()
        .partition(|address| *address == right);
    if kept.is_empty() || !wrong.is_empty() || !bridge.up || !bridge.has_route {
        steps.push(Step::RepairBridge {
            index: bridge.index,
            subnet,
            wrong,
        });
    }
    Ok(bridge.mtu)
}

fn plan_table(
    names: &Names,
    desired: &Desired,
    observed: &Observed,
    steps: &mut Vec<Step>,
) -> Result<(), NetworkError> {
    let subnet = desired.subnet;
    match &observed.table {
        Some(note) if *note == names.note(subnet) => {
            if !desired.gone.is_empty() {
                steps.push(Step::WithdrawPorts {
                    ports: desired.gone.clone(),
                });
            }
            if !desired.ports.is_empty() {
                steps.push(Step::PublishPorts {
                    ports: desired.ports.clone(),
                });
            }
        }
        Some(note) if !names.owns(note) => {
            let (table, note) = (names.table.clone(), note.clone());
            return Err(NetworkError::ForeignTable { table, note });
        }
        // Missing, or with the rules of another release: made whole with everybody's ports.
        outdated => {
            let ports = desired
                .others
                .iter()
                .chain(&desired.ports)
                .copied()
                .collect();
            steps.push(Step::InstallTable {
                subnet,
                ports,
                replace: outdated.is_some(),
            });
        }
    }
    Ok(())
}

impl fmt::Display for PortRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        write!(
            f,
            "{} {host}:{} to {}",
            self.protocol, self.host_port, self.to
        )
    }
}

fn listed(ports: &[PortRule]) -> String {
    ports
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::EnableForwarding => f.write_str("enable forwarding of IPv4"),
            Step::MakeBridge { subnet, mac, mtu } => {
                write!(f, "make the bridge for {subnet} with {mac} and MTU {mtu}")
            }
            Step::RepairBridge { subnet, wrong, .. } => {
                write!(f, "repair the bridge for {subnet}")?;
                wrong
                    .iter()
                    .try_for_each(|(address, prefix)| write!(f, ", without {address}/{prefix}"))
            }
            Step::InstallTable {
                subnet,
                ports,
                replace,
            } => {
                let verb = if *replace { "replace" } else { "install" };
                write!(f, "{verb} the firewall table for {subnet}")?;
                if ports.is_empty() {
                    Ok(())
                } else {
                    write!(f, " with {}", listed(ports))
                }
            }
            Step::WithdrawPorts { ports } => write!(f, "withdraw {}", listed(ports)),
            Step::PublishPorts { ports } => write!(f, "publish {}", listed(ports)),
            Step::LetThrough => f.write_str("let the bridge through chain FORWARD of iptables"),
            Step::ConnectVeth {
                host_interface,
                mac,
                mtu,
                hairpin,
            } => {
                write!(
                    f,
                    "connect {host_interface} and {INTERFACE} with {mac} and MTU {mtu}"
                )?;
                if *hairpin {
                    f.write_str(", hairpin")
                } else {
                    Ok(())
                }
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

#[cfg(test)]
mod tests;
