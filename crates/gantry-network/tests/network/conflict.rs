//! Ports and subnets that somebody has already.

use std::net::{TcpListener, UdpSocket};

use gantry_model::{Fault, FaultKind};
use gantry_network::{NetworkConfig, NetworkError};

use crate::support::*;

#[test]
fn root_a_taken_port_names_its_owner() {
    in_fresh_network(|| {
        let host = Installation::new();
        let namespace = Namespace::new();
        let own = std::process::id();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        let taken = TcpListener::bind("127.0.0.1:8080").unwrap();
        let refused = |ports: &[&str]| host.try_attach("web", &namespace, ports).unwrap_err();
        let error = refused(&["127.0.0.1:8080:80"]);
        let by = format!("by process {own} ({})", name.trim());
        assert_eq!(
            error.to_string(),
            format!("cannot publish 127.0.0.1:8080: address already in use {by}")
        );
        assert_eq!(error.kind(), FaultKind::Conflict);
        let error = refused(&["8080:80"]).to_string();
        assert_eq!(
            error,
            format!("cannot publish 0.0.0.0:8080: address already in use {by}")
        );
        drop(taken);
        let udp = UdpSocket::bind("0.0.0.0:5300").unwrap();
        let error = refused(&["127.0.0.1:5300:53/udp"]).to_string();
        assert_eq!(
            error,
            format!("cannot publish 127.0.0.1:5300/udp: address already in use {by}")
        );
        drop(udp);
        let error = refused(&["192.0.2.77:80:80"]);
        assert_eq!(
            error.to_string(),
            "cannot publish 192.0.2.77:80: the host has no address 192.0.2.77"
        );
        let error = refused(&["80:80/sctp"]);
        assert_eq!(error.kind(), FaultKind::Unsupported);
        let error = refused(&["[::1]:80:80"]);
        assert_eq!(error.kind(), FaultKind::Unsupported);
        // Nothing is left of all that.
        assert_eq!(interfaces(), Vec::<String>::new());
        assert_eq!(run("nft", &["list", "ruleset"]), "");
        host.try_attach("web", &namespace, &["127.0.0.1:8080:80", "5300:53/udp"])
            .unwrap();
    });
}

#[test]
fn root_a_port_of_another_container_names_it() {
    in_fresh_network(|| {
        let host = Installation::new();
        let (_web, first) = host.attach("0123456789abcdef", &["8080:80", "8080:80/udp"]);
        let namespace = Namespace::new();
        let error = host
            .try_attach("other", &namespace, &["127.0.0.1:8080:80"])
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot publish 127.0.0.1:8080: already published by container 0123456789ab"
        );
        // And the host's own servers cannot have it either.
        assert!(TcpListener::bind("0.0.0.0:8080").is_err());
        assert!(UdpSocket::bind("127.0.0.1:8080").is_err());
        host.networks.detach("0123456789abcdef");
        drop(first);
        host.try_attach("other", &namespace, &["127.0.0.1:8080:80"])
            .unwrap();
    });
}

#[test]
fn root_the_host_chooses_ports_and_ranges_are_whole() {
    in_fresh_network(|| {
        let host = Installation::new();
        let (web, endpoint) =
            host.attach("web", &["80", "127.0.0.1::81/udp", "9000-9002:9000-9002"]);
        let ports = &endpoint.attachment.ports;
        assert_eq!(ports.len(), 5);
        assert_eq!(endpoint.port_holders.len(), 5);
        assert!(ports.iter().all(|mapping| mapping.host_port != 0));
        web.serve(80);
        web.serve(81);
        web.serve(9001);
        assert!(ask(&format!("127.0.0.1:{}", ports[0].host_port), SOON).is_some());
        assert!(ask_by_udp(&format!("127.0.0.1:{}", ports[1].host_port), SOON).is_some());
        assert!(ask("127.0.0.1:9001", SOON).is_some());
    });
}

#[test]
fn root_two_installations_live_side_by_side() {
    in_fresh_network(|| {
        let (one, two) = (Installation::new(), Installation::new());
        let (a, first) = one.attach("a", &["8080:80"]);
        let (b, second) = two.attach("b", &["8081:80"]);
        assert_eq!(first.attachment.gateway.to_string(), "172.17.0.1");
        assert_eq!(second.attachment.gateway.to_string(), "172.18.0.1");
        a.serve(80);
        b.serve(80);
        assert!(ask("127.0.0.1:8080", SOON).is_some());
        assert!(ask("127.0.0.1:8081", SOON).is_some());
        // Each guards its own, but what is published is there for all.
        assert_eq!(a.within(|| ask("172.18.0.2:80", BLOCKED)), None);
        assert!(a.ask("172.18.0.1:8081").is_some());
        two.networks.detach("b");
        assert!(two.networks.teardown_if_idle().unwrap());
        assert!(ask("127.0.0.1:8080", SOON).is_some());
    });
}

#[test]
fn root_the_hosts_own_networks_are_avoided() {
    in_fresh_network(|| {
        let _lan = neighbour();
        run("ip", &["route", "add", "172.17.4.0/24", "via", "10.99.0.2"]);
        run("ip", &["address", "add", "172.18.9.9/32", "dev", "lan"]);
        // A VPN's way of taking all traffic is no neighbour.
        run("ip", &["route", "add", "128.0.0.0/1", "via", "10.99.0.2"]);
        let host = Installation::new();
        let (_web, endpoint) = host.attach("web", &[]);
        assert_eq!(endpoint.attachment.address.to_string(), "172.19.0.2");
        let taken = "10.99.0.128/25".parse().unwrap();
        let strict = Installation::with(NetworkConfig {
            subnet: Some(taken),
            mtu: None,
        });
        let error = strict.try_attach("x", &Namespace::new(), &[]).unwrap_err();
        assert!(matches!(error, NetworkError::SubnetTaken { .. }), "{error}");
        let free = "10.55.0.0/29".parse().unwrap();
        let own = Installation::with(NetworkConfig {
            subnet: Some(free),
            mtu: Some(9000),
        });
        let (namespaces, last): (Vec<_>, Vec<_>) =
            (2..=6).map(|n| own.attach(&format!("c{n}"), &[])).unzip();
        assert_eq!(last[4].attachment.address.to_string(), "10.55.0.6");
        assert_eq!(last[4].attachment.mtu, 9000);
        let error = own.try_attach("more", &Namespace::new(), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no free address left in subnet 10.55.0.0/29 of the bridge network"
        );
        assert_eq!(namespaces.len(), 5);
    });
}
