//! Who reaches whom.

use std::net::UdpSocket;

use crate::support::*;

#[test]
fn root_published_ports_are_reached_from_everywhere() {
    in_fresh_network(|| {
        let lan = neighbour();
        let host = Installation::new();
        let (web, endpoint) = host.attach(
            "web",
            &[
                "8080:80",
                "8080:80/udp",
                "127.0.0.1:8081:80",
                "10.99.0.1:8082:80",
            ],
        );
        let (other, _) = host.attach("other", &[]);
        web.serve(80);
        assert_eq!(endpoint.attachment.mtu, 1450);
        assert_eq!(endpoint.warnings, Vec::<String>::new());
        let bridge = Some("172.17.0.1".to_owned());
        // The host itself, by loopback and by its address.
        assert_eq!(ask("127.0.0.1:8080", SOON), bridge);
        assert_eq!(ask("10.99.0.1:8080", SOON).as_deref(), Some("10.99.0.1"));
        assert_eq!(ask("172.17.0.1:8080", SOON), bridge);
        assert_eq!(ask("127.0.0.1:8081", SOON), bridge);
        assert_eq!(ask("10.99.0.1:8082", SOON).as_deref(), Some("10.99.0.1"));
        assert_eq!(ask("172.17.0.2:80", SOON), bridge);
        assert_eq!(ask_by_udp("127.0.0.1:8080", SOON), bridge);
        assert_eq!(
            ask_by_udp("10.99.0.1:8080", SOON).as_deref(),
            Some("10.99.0.1")
        );
        // Not where it is not published.
        assert_eq!(ask("10.99.0.1:8081", BLOCKED), None);
        assert_eq!(ask("127.0.0.1:8082", BLOCKED), None);
        // A neighbour, who is seen as itself.
        assert_eq!(lan.ask("10.99.0.1:8080").as_deref(), Some("10.99.0.2"));
        assert_eq!(lan.ask("10.99.0.1:8082").as_deref(), Some("10.99.0.2"));
        assert_eq!(
            lan.within(|| ask_by_udp("10.99.0.1:8080", SOON)).as_deref(),
            Some("10.99.0.2")
        );
        // Another container, directly and through the host; and the container itself.
        assert_eq!(other.ask("172.17.0.2:80").as_deref(), Some("172.17.0.3"));
        assert_eq!(other.ask("10.99.0.1:8080"), bridge);
        assert_eq!(other.ask("172.17.0.1:8080"), bridge);
        assert_eq!(web.ask("10.99.0.1:8080"), bridge);
        assert_eq!(web.within(|| ask_by_udp("10.99.0.1:8080", SOON)), bridge);
        assert_eq!(web.ask("127.0.0.1:80").as_deref(), Some("127.0.0.1"));
    });
}

#[test]
fn root_containers_reach_out_with_the_hosts_address() {
    in_fresh_network(|| {
        let lan = neighbour();
        lan.serve(70);
        let host = Installation::new();
        let (web, _) = host.attach("web", &[]);
        assert_eq!(web.ask("10.99.0.2:70").as_deref(), Some("10.99.0.1"));
        assert_eq!(
            web.within(|| ask_by_udp("10.99.0.2:70", SOON)).as_deref(),
            Some("10.99.0.1")
        );
    });
}

#[test]
fn root_a_neighbour_cannot_get_past_the_published_ports() {
    in_fresh_network(|| {
        let lan = neighbour();
        let host = Installation::new();
        let (web, _) = host.attach("web", &["8080:80", "127.0.0.1:8081:80"]);
        web.serve(80);
        web.serve(81);
        lan.run("ip", &["route", "add", "172.17.0.0/16", "via", "10.99.0.1"]);
        assert_eq!(lan.within(|| ask("172.17.0.2:81", BLOCKED)), None);
        assert_eq!(lan.within(|| ask("172.17.0.2:80", BLOCKED)), None);
        assert_eq!(lan.within(|| ask("10.99.0.1:8081", BLOCKED)), None);
        // Packets for 127.0.0.1 on the wire.
        route_loopback_through(&lan, "10.99.0.1");
        assert_eq!(lan.within(|| ask("127.0.0.1:8081", BLOCKED)), None);
        assert_eq!(lan.within(|| ask("127.0.0.1:8080", BLOCKED)), None);
        assert_eq!(lan.ask("10.99.0.1:8080").as_deref(), Some("10.99.0.2"));
    });
}

/// Makes a namespace send packets for 127.0.0.0/8 to the host.
fn route_loopback_through(namespace: &Namespace, host: &str) {
    let on = "/proc/sys/net/ipv4/conf/eth0/route_localnet";
    namespace.run("sh", &["-c", &format!("echo 1 > {on}")]);
    for args in [
        &["route", "flush", "table", "local", "127.0.0.0/8"][..],
        &["route", "flush", "table", "local", "127.0.0.1"],
        &["route", "add", "127.0.0.0/8", "via", host, "dev", "eth0"],
    ] {
        namespace.run("ip", args);
    }
}

#[test]
fn root_containers_cannot_reach_the_hosts_loopback_services() {
    in_fresh_network(|| {
        let host = Installation::new();
        let (evil, endpoint) = host.attach("evil", &["8080:80"]);
        let service = UdpSocket::bind("127.0.0.1:631").unwrap();
        route_loopback_through(&evil, &endpoint.attachment.gateway.to_string());
        let arrives = |patience| {
            service.set_read_timeout(Some(patience)).unwrap();
            evil.within(|| {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.send_to(b"!", "127.0.0.1:631").unwrap();
            });
            service.recv(&mut [0; 8]).is_ok()
        };
        assert!(!arrives(BLOCKED));
        // The guard is what keeps it out: without it, it comes in.
        let table = &host.networks.names().table;
        run("nft", &["flush", "chain", "ip", table, "protect"]);
        assert!(arrives(SOON));
    });
}

#[test]
fn root_mode_none_has_a_loopback() {
    in_fresh_network(|| {
        use std::os::fd::AsFd;
        let lonely = Namespace::new();
        gantry_network::loopback_up(lonely.netns.as_fd()).unwrap();
        lonely.serve(80);
        assert_eq!(lonely.ask("127.0.0.1:80").as_deref(), Some("127.0.0.1"));
    });
}

#[test]
fn root_udp_clients_that_keep_sending_reach_the_new_container() {
    in_fresh_network(|| {
        let host = Installation::new();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect("127.0.0.1:5300").unwrap();
        let ask = |patience| {
            client.set_read_timeout(Some(patience)).unwrap();
            // The first may report that the last found nobody.
            client.send(b"?").or_else(|_| client.send(b"?")).unwrap();
            client.recv(&mut [0; 64]).is_ok()
        };
        // Before there is a container, the packets are for the host itself.
        let (_other, _endpoint) = host.attach("other", &["9999:9999"]);
        assert!(!ask(BLOCKED));
        for round in ["first", "second"] {
            let (web, endpoint) = host.attach(round, &["5300:53/udp"]);
            web.serve(53);
            assert!(ask(SOON), "{round}");
            host.networks.detach(round);
            drop(endpoint);
            assert!(!ask(BLOCKED), "{round} is gone");
        }
    });
}

#[test]
fn root_the_first_packet_is_not_lost() {
    in_fresh_network(|| {
        let host = Installation::new();
        let (_first, endpoint) = host.attach("first", &[]);
        let gateway = endpoint.attachment.gateway;
        serve(
            std::net::TcpListener::bind((gateway, 70)).unwrap(),
            UdpSocket::bind((gateway, 70)).unwrap(),
        );
        let mut times = Vec::new();
        for round in 0..30 {
            let namespace = Namespace::new();
            let endpoint = host
                .try_attach(&format!("c{round}"), &namespace, &[])
                .unwrap();
            let start = std::time::Instant::now();
            let answer = namespace.within(|| ask_by_udp(&format!("{gateway}:70"), SOON));
            assert_eq!(answer, Some(endpoint.attachment.address.to_string()));
            times.push(start.elapsed());
        }
        // A lost packet would be asked for again after a whole second. A few times the machine may
        // have had other things to do.
        times.sort();
        assert!(
            times[24] < std::time::Duration::from_millis(900),
            "{times:?}"
        );
    });
}
