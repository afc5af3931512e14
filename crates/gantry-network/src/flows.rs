//! Old UDP connections that a change of the published ports leaves behind.

use std::net::{IpAddr, Ipv4Addr};

use gantry_model::port::Protocol;
use gantry_sys::netlink::{NetlinkError, addresses};
use gantry_sys::nftables::conntrack::{UdpFlow, forget, udp_flows};

use crate::observe::Kernel;
use crate::ruleset::PortRule;

/// Makes the kernel forget connections to ports just published that go elsewhere: to the
/// host itself, or to a container that had the port before.
pub(crate) fn forget_misled(kernel: &mut Kernel, ports: &[PortRule]) -> Result<(), NetlinkError> {
    if !any_udp(ports) {
        return Ok(());
    }
    let own: Vec<Ipv4Addr> = addresses(&mut kernel.route, None)?
        .iter()
        .filter_map(|address| match address.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
        .collect();
    forget_if(kernel, |flow| {
        ports.iter().any(|port| is_misled(flow, port, &own))
    })
}

/// Makes the kernel forget connections to a container whose ports were withdrawn.
pub(crate) fn forget_orphaned(kernel: &mut Kernel, ports: &[PortRule]) -> Result<(), NetlinkError> {
    if !any_udp(ports) {
        return Ok(());
    }
    forget_if(kernel, |flow| {
        ports.iter().any(|port| is_orphaned(flow, port))
    })
}

fn any_udp(ports: &[PortRule]) -> bool {
    ports.iter().any(|port| port.protocol == Protocol::Udp)
}

fn forget_if(kernel: &mut Kernel, outdated: impl Fn(&UdpFlow) -> bool) -> Result<(), NetlinkError> {
    let flows = udp_flows(&mut kernel.firewall)?;
    let outdated: Vec<UdpFlow> = flows.into_iter().filter(outdated).collect();
    forget(&mut kernel.firewall, &outdated)
}

fn is_misled(flow: &UdpFlow, port: &PortRule, own: &[Ipv4Addr]) -> bool {
    let to = flow.destination;
    let meant = match port.host_ip {
        Some(ip) => *to.ip() == ip,
        None => to.ip().is_loopback() || own.contains(to.ip()),
    };
    port.protocol == Protocol::Udp
        && to.port() == port.host_port
        && meant
        && flow.answers_from != port.to
}

fn is_orphaned(flow: &UdpFlow, port: &PortRule) -> bool {
    port.protocol == Protocol::Udp
        && flow.answers_from == port.to
        && flow.destination != flow.answers_from
}
