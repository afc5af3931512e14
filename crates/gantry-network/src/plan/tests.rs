use std::net::SocketAddrV4;
use std::path::Path;

use gantry_model::port::Protocol;
use insta::assert_snapshot;

use super::*;

fn names() -> Names {
    Names::of(Path::new("/run/gantry"))
}

fn subnet(text: &str) -> Subnet {
    text.parse().unwrap()
}

fn port(host_ip: Option<[u8; 4]>, host_port: u16, last: u8) -> PortRule {
    PortRule {
        protocol: Protocol::Tcp,
        host_ip: host_ip.map(Ipv4Addr::from),
        host_port,
        to: SocketAddrV4::new(Ipv4Addr::new(172, 17, 0, last), 80),
    }
}

fn desired(ports: Vec<PortRule>) -> Desired {
    Desired {
        subnet: subnet("172.17.0.0/16"),
        mtu: None,
        host_interface: "veth0badcafe".into(),
        mac: mac_of([172, 17, 0, 2].into()),
        ports,
        others: vec![port(None, 7000, 9)],
        gone: Vec::new(),
    }
}

fn settled() -> Observed {
    Observed {
        forwarding: true,
        bridge: Some(ObservedBridge {
            index: 5,
            is_bridge: true,
            up: true,
            mtu: 1400,
            addresses: vec![([172, 17, 0, 1].into(), 16)],
            has_route: true,
        }),
        table: Some(names().note(subnet("172.17.0.0/16"))),
        ..Observed::default()
    }
}

fn planned(desired: &Desired, observed: &Observed) -> String {
    plan(&names(), desired, observed).unwrap().to_string()
}

#[test]
fn the_first_container_makes_everything() {
    let observed = Observed {
        uplink_mtu: Some(1400),
        ..Observed::default()
    };
    let ports = vec![port(None, 8080, 2), port(Some([127, 0, 0, 1]), 8081, 2)];
    assert_snapshot!(planned(&desired(ports), &observed), @r"
    enable forwarding of IPv4
    make the bridge for 172.17.0.0/16 with 02:42:ac:11:00:01 and MTU 1400
    install the firewall table for 172.17.0.0/16 with tcp 0.0.0.0:7000 to 172.17.0.9:80, tcp 0.0.0.0:8080 to 172.17.0.2:80, tcp 127.0.0.1:8081 to 172.17.0.2:80
    connect veth0badcafe and eth0 with 02:42:ac:11:00:02 and MTU 1400, hairpin
    ");
}

#[test]
fn the_next_one_only_connects() {
    assert_snapshot!(planned(&desired(vec![]), &settled()), @"connect veth0badcafe and eth0 with 02:42:ac:11:00:02 and MTU 1400");
}

#[test]
fn ports_are_one_step_more() {
    assert_snapshot!(planned(&desired(vec![port(None, 8080, 2)]), &settled()), @r"
    publish tcp 0.0.0.0:8080 to 172.17.0.2:80
    connect veth0badcafe and eth0 with 02:42:ac:11:00:02 and MTU 1400, hairpin
    ");
    let mut wanted = desired(vec![port(None, 8080, 2)]);
    wanted.gone = vec![port(None, 8080, 7)];
    assert_snapshot!(planned(&wanted, &settled()), @r"
    withdraw tcp 0.0.0.0:8080 to 172.17.0.7:80
    publish tcp 0.0.0.0:8080 to 172.17.0.2:80
    connect veth0badcafe and eth0 with 02:42:ac:11:00:02 and MTU 1400, hairpin
    ");
}

#[test]
fn what_others_broke_is_mended() {
    let mut observed = settled();
    let bridge = observed.bridge.as_mut().unwrap();
    bridge.up = false;
    bridge.addresses = vec![([10, 0, 0, 1].into(), 8)];
    observed.table = None;
    observed.forward_drops = true;
    assert_snapshot!(planned(&desired(vec![]), &observed), @r"
    repair the bridge for 172.17.0.0/16, without 10.0.0.1/8
    install the firewall table for 172.17.0.0/16 with tcp 0.0.0.0:7000 to 172.17.0.9:80
    let the bridge through chain FORWARD of iptables
    connect veth0badcafe and eth0 with 02:42:ac:11:00:02 and MTU 1400
    ");
    let outdated = Observed {
        table: Some("rules 0 of /run/gantry".into()),
        ..settled()
    };
    assert_snapshot!(planned(&desired(vec![]), &outdated), @r"
    replace the firewall table for 172.17.0.0/16 with tcp 0.0.0.0:7000 to 172.17.0.9:80
    connect veth0badcafe and eth0 with 02:42:ac:11:00:02 and MTU 1400
    ");
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let foreign = Observed {
        table: Some("rules 1 of /elsewhere".into()),
        ..settled()
    };
    let error = plan(&names(), &desired(vec![]), &foreign).unwrap_err();
    assert!(
        matches!(error, NetworkError::ForeignTable { .. }),
        "{error}"
    );
    let mut other = settled();
    other.bridge.as_mut().unwrap().is_bridge = false;
    let error = plan(&names(), &desired(vec![]), &other).unwrap_err();
    assert!(matches!(error, NetworkError::NotABridge { .. }), "{error}");
}

#[test]
fn packets_fit_the_way_out() {
    for (uplink, configured, expected) in [
        (None, None, 1500),
        (Some(1400), None, 1400),
        (Some(9000), None, 1500),
        (Some(576), None, 1280),
        (Some(1400), Some(9000), 9000),
    ] {
        let observed = Observed {
            uplink_mtu: uplink,
            ..Observed::default()
        };
        let wanted = Desired {
            mtu: configured,
            ..desired(vec![])
        };
        assert_eq!(
            plan(&names(), &wanted, &observed).unwrap().mtu,
            expected,
            "{uplink:?}"
        );
    }
}

#[test]
fn subnets_avoid_the_host() {
    let occupied = |subnets: &[&str]| Observed {
        occupied: subnets.iter().map(|text| subnet(text)).collect(),
        ..Observed::default()
    };
    let fresh = NetworkConfig::default();
    let choose = |observed: &Observed, kept: Option<&str>, live: bool| {
        choose_subnet(&fresh, kept.map(subnet), live, observed, &[]).map(|s| s.to_string())
    };
    assert_eq!(
        choose(&occupied(&[]), None, false).unwrap(),
        "172.17.0.0/16"
    );
    assert_eq!(
        choose(&occupied(&["172.17.3.0/24"]), None, false).unwrap(),
        "172.18.0.0/16"
    );
    assert_eq!(
        choose(&occupied(&["172.16.0.0/12"]), None, false).unwrap(),
        "192.168.0.0/20"
    );
    let full = occupied(&["172.16.0.0/12", "192.168.0.0/16"]);
    assert!(matches!(
        choose(&full, None, false),
        Err(NetworkError::NoFreeSubnet)
    ));
    // The state's is kept unless it became taken with nobody on it.
    assert_eq!(
        choose(&occupied(&[]), Some("172.20.0.0/16"), false).unwrap(),
        "172.20.0.0/16"
    );
    let taken = occupied(&["172.20.0.0/16"]);
    assert_eq!(
        choose(&taken, Some("172.20.0.0/16"), false).unwrap(),
        "172.17.0.0/16"
    );
    assert_eq!(
        choose(&taken, Some("172.20.0.0/16"), true).unwrap(),
        "172.20.0.0/16"
    );
    // A bridge whose state was lost is taken over.
    let mut orphan = settled();
    orphan.bridge.as_mut().unwrap().addresses = vec![([172, 25, 0, 1].into(), 16)];
    assert_eq!(choose(&orphan, None, false).unwrap(), "172.25.0.0/16");
    let excluded = choose_subnet(
        &fresh,
        None,
        false,
        &occupied(&[]),
        &[subnet("172.17.0.0/16")],
    );
    assert_eq!(excluded.unwrap().to_string(), "172.18.0.0/16");
}

#[test]
fn a_configured_subnet_is_used_or_refused() {
    let config = |text| NetworkConfig {
        subnet: Some(subnet(text)),
        ..NetworkConfig::default()
    };
    let occupied = Observed {
        occupied: vec![subnet("10.1.0.0/16")],
        ..Observed::default()
    };
    let choose = |text| choose_subnet(&config(text), None, false, &occupied, &[]);
    assert_eq!(choose("10.2.0.0/24").unwrap(), subnet("10.2.0.0/24"));
    assert!(matches!(
        choose("10.1.2.0/24"),
        Err(NetworkError::SubnetTaken { .. })
    ));
    assert!(matches!(
        choose("10.2.0.0/31"),
        Err(NetworkError::SubnetTooSmall { .. })
    ));
}
