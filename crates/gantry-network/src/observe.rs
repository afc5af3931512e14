//! Looking at the kernel before deciding, with as few questions as will do.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use gantry_sys::netlink::{
    LinkName, NetlinkError, Protocol, Socket, addresses, link, route_to, routes,
};
use gantry_sys::nftables::{
    Family, HookPoint, Policy, TableName, chain, chains, legacy, rules, table as nf_table,
};

use crate::error::NetworkError;
use crate::names::Names;
use crate::plan::{Observed, ObservedBridge};
use crate::ruleset;
use crate::subnet::Subnet;

/// The switch for forwarding IPv4.
pub(crate) const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// The table and chain in which `iptables` keeps what it forwards.
pub(crate) const IPTABLES: TableName<'static> = TableName {
    family: Family::Ip,
    name: "filter",
};
/// See [`IPTABLES`].
pub(crate) const IPTABLES_CHAIN: &str = "FORWARD";

/// Networks larger than this are ways out, not neighbours: a VPN that takes all traffic has
/// routes to 0.0.0.0/1 and 128.0.0.0/1.
const SHORTEST_NEIGHBOUR: u8 = 8;

/// The sockets to the kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) route: Socket,
    pub(crate) firewall: Socket,
}

fn asking(task: &'static str) -> impl FnOnce(NetlinkError) -> NetworkError {
    move |source| NetworkError::Kernel { task, source }
}

impl Kernel {
    pub(crate) fn open() -> Result<Kernel, NetworkError> {
        let open = |protocol| Socket::open(protocol).map_err(asking("talk to the kernel"));
        Ok(Kernel {
            route: open(Protocol::Route)?,
            firewall: open(Protocol::Netfilter)?,
        })
    }

    /// Everything a plan depends on. `subnet_known`: whether the state has a subnet already,
    /// so that none need be chosen if the bridge stands.
    pub(crate) fn observe(
        &mut self,
        names: &Names,
        subnet_known: bool,
    ) -> Result<Observed, NetworkError> {
        let bridge = self.bridge(names).map_err(asking("look at the bridge"))?;
        let mut observed = Observed {
            forwarding: forwarding()?,
            table: self
                .table_note(names)
                .map_err(asking("look at the firewall table"))?,
            forward_drops: self
                .forward_drops(names)
                .map_err(asking("look at iptables"))?,
            ..Observed::default()
        };
        let settled = bridge
            .as_ref()
            .is_some_and(|bridge| !bridge.addresses.is_empty());
        if !(settled && subnet_known) {
            let own = bridge.as_ref().map(|bridge| bridge.index);
            self.surroundings(own, &mut observed)
                .map_err(asking("list the host's networks"))?;
        }
        observed.bridge = bridge;
        Ok(observed)
    }

    fn bridge(&mut self, names: &Names) -> Result<Option<ObservedBridge>, NetlinkError> {
        let Some(link) = link(&mut self.route, LinkName::Name(&names.bridge))? else {
            return Ok(None);
        };
        let all = addresses(&mut self.route, Some(link.index))?;
        let addresses: Vec<(Ipv4Addr, u8)> = all
            .iter()
            .filter_map(|address| match address.ip {
                IpAddr::V4(ip) => Some((ip, address.prefix)),
                IpAddr::V6(_) => None,
            })
            .collect();
        let neighbour = addresses.first().and_then(|&(address, prefix)| {
            let subnet = Subnet::of(address, prefix)?;
            Some(Ipv4Addr::from(u32::from(subnet.network()).wrapping_add(2)))
        });
        let has_route = match neighbour {
            Some(neighbour) => route_to(&mut self.route, neighbour.into())?
                .is_some_and(|route| route.link == Some(link.index)),
            None => false,
        };
        Ok(Some(ObservedBridge {
            index: link.index,
            is_bridge: link.kind.as_deref() == Some("bridge"),
            up: link.up,
            mtu: link.mtu,
            addresses,
            has_route,
        }))
    }

    fn table_note(&mut self, names: &Names) -> Result<Option<String>, NetlinkError> {
        let found = nf_table(&mut self.firewall, ruleset::table(names))?;
        Ok(found.map(|view| view.note.unwrap_or_default()))
    }

    fn forward_drops(&mut self, names: &Names) -> Result<bool, NetlinkError> {
        let found = chain(&mut self.firewall, IPTABLES, IPTABLES_CHAIN)?;
        let drops = found.and_then(|view| view.hook).map(|hook| hook.policy) == Some(Policy::Drop);
        Ok(drops && self.guest_rules(names)?.is_empty())
    }

    /// Handles of our rules in the FORWARD chain of `iptables`.
    pub(crate) fn guest_rules(&mut self, names: &Names) -> Result<Vec<u64>, NetlinkError> {
        let rules = rules(&mut self.firewall, IPTABLES, IPTABLES_CHAIN)?;
        let own = rules
            .iter()
            .filter(|rule| rule.comment.as_ref() == Some(&names.guest_note));
        Ok(own.map(|rule| rule.handle).collect())
    }

    /// Has the kernel finish setting these interfaces up. It learns of a carrier in a work
    /// queue of its own, and until that has run drops what is sent, so that a container's
    /// first packet under load took a second. Asking for an interface (since Linux 6.8) makes
    /// it finish first; a bridge follows its port.
    pub(crate) fn settle(&mut self, port: &str, bridge: &str) -> Result<(), NetlinkError> {
        for name in [port, bridge] {
            link(&mut self.route, LinkName::Name(name))?;
        }
        Ok(())
    }

    /// The networks in use on the host but for our own, and the size of packets on the way
    /// out.
    fn surroundings(
        &mut self,
        own: Option<u32>,
        observed: &mut Observed,
    ) -> Result<(), NetlinkError> {
        let routes = routes(&mut self.route)?;
        let addresses = addresses(&mut self.route, None)?;
        let routed = routes
            .iter()
            .map(|route| (route.link, route.network, route.prefix));
        let present = addresses
            .iter()
            .map(|address| (Some(address.link), address.ip, address.prefix));
        for (link, ip, prefix) in routed.chain(present) {
            if let IpAddr::V4(ip) = ip
                && prefix >= SHORTEST_NEIGHBOUR
                && (own.is_none() || link != own)
                && let Some(subnet) = Subnet::of(ip, prefix)
                && !observed.occupied.contains(&subnet)
            {
                observed.occupied.push(subnet);
            }
        }
        let out = routes
            .iter()
            .find(|route| route.prefix == 0 && route.network.is_ipv4());
        if let Some(index) = out.and_then(|route| route.link) {
            let uplink = link(&mut self.route, LinkName::Index(index))?;
            observed.uplink_mtu = uplink.map(|uplink| uplink.mtu);
        }
        Ok(())
    }

    /// Firewalls of others that drop forwarded packets and that we leave alone, in words.
    pub(crate) fn obstacles(&mut self, names: &Names) -> Result<Vec<String>, NetlinkError> {
        let mut obstacles: Vec<String> = legacy_obstacle(names).into_iter().collect();
        for (family, word) in [(Family::Ip, "ip"), (Family::Inet, "inet")] {
            for view in chains(&mut self.firewall, family)? {
                let Some(hook) = view.hook else { continue };
                let iptables = family == IPTABLES.family
                    && view.table == IPTABLES.name
                    && view.name == IPTABLES_CHAIN;
                if hook.point != HookPoint::Forward || hook.policy != Policy::Drop || iptables {
                    continue;
                }
                let (table, chain, bridge) = (&view.table, &view.name, &names.bridge);
                obstacles.push(format!(
                    "firewall chain {word} {table} {chain} drops forwarded packets: containers \
                     have no network unless it lets interface {bridge} through (nft insert rule \
                     {word} {table} {chain} iifname {bridge} accept; the same with oifname)"
                ));
            }
        }
        Ok(obstacles)
    }
}

/// The older `iptables` where it drops forwarded packets without naming the bridge. What it
/// cannot be asked is no obstacle that could be named.
fn legacy_obstacle(names: &Names) -> Option<String> {
    let tables = fs::read_to_string("/proc/thread-self/net/ip_tables_names").ok()?;
    if !tables.lines().any(|table| table == "filter") {
        return None;
    }
    let forward = legacy::forward().ok()?;
    let bridge = &names.bridge;
    (forward.drops && !forward.interfaces.contains(bridge)).then(|| {
        format!(
            "iptables-legacy drops forwarded packets: containers have no network unless it lets \
             interface {bridge} through (iptables-legacy -I FORWARD -i {bridge} -j ACCEPT; the \
             same with -o)"
        )
    })
}

fn forwarding() -> Result<bool, NetworkError> {
    let text = fs::read_to_string(FORWARDING).map_err(|source| NetworkError::File {
        task: "read",
        path: Path::new(FORWARDING).to_path_buf(),
        source,
    })?;
    Ok(text.trim() != "0")
}
