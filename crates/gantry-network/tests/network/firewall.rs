//! What stands in the kernel, as `nft` and `iptables` see it.

use crate::support::*;

const EXPECTED: &str = r#"table ip TABLE {
	comment "rules 1 for 172.17.0.0/16 of OWNER"
	map published {
		type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
		elements = { tcp . 127.0.0.1 . 8081 : 172.17.0.2 . 81 }
	}

	map published_on_all {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { udp . 8080 : 172.17.0.2 . 80 }
	}

	chain protect {
		type filter hook prerouting priority raw; policy accept;
		iifname "BRIDGE" ip daddr 127.0.0.0/8 drop
	}

	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr 127.0.0.0/8 return
		dnat ip to meta l4proto . ip daddr . th dport map @published
		fib daddr type local dnat ip to meta l4proto . th dport map @published_on_all
	}

	chain output {
		type nat hook output priority -100; policy accept;
		dnat ip to meta l4proto . ip daddr . th dport map @published
		fib daddr type local dnat ip to meta l4proto . th dport map @published_on_all
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 172.17.0.0/16 oifname != "BRIDGE" masquerade
		ip saddr 172.17.0.0/16 oifname "BRIDGE" ct status dnat masquerade
		ip saddr 127.0.0.0/8 oifname "BRIDGE" masquerade
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "BRIDGE" accept
		oifname "BRIDGE" ct state established,related accept
		oifname "BRIDGE" ct status dnat accept
		oifname "BRIDGE" drop
	}
}
"#;

#[test]
fn root_the_table_is_what_it_should_be() {
    in_fresh_network(|| {
        let host = Installation::new();
        let (_web, _endpoint) = host.attach("web", &["8080:80/udp", "127.0.0.1:8081:81"]);
        let names = host.networks.names();
        let expected = EXPECTED
            .replace("TABLE", &names.table)
            .replace("OWNER", &names.owner)
            .replace("BRIDGE", &names.bridge);
        assert_eq!(run("nft", &["list", "ruleset"]), expected);
        let (_more, _endpoint) = host.attach("more", &["8090:90"]);
        let all = run(
            "nft",
            &["list", "map", "ip", &names.table, "published_on_all"],
        );
        assert!(all.contains("tcp . 8090 : 172.17.0.3 . 90"), "{all}");
        host.networks.detach("more");
        assert_eq!(run("nft", &["list", "ruleset"]), expected);
        // A flushed firewall comes back whole with the next container.
        run("nft", &["flush", "ruleset"]);
        let (_next, _endpoint) = host.attach("next", &[]);
        assert_eq!(run("nft", &["list", "ruleset"]), expected);
    });
}

#[test]
fn root_the_bridge_is_mended() {
    in_fresh_network(|| {
        let host = Installation::new();
        let (web, _endpoint) = host.attach("web", &["8080:80"]);
        web.serve(80);
        let bridge = &host.networks.names().bridge;
        run("ip", &["link", "set", bridge, "down"]);
        run("ip", &["address", "flush", "dev", bridge]);
        run("ip", &["address", "add", "10.1.2.3/8", "dev", bridge]);
        assert_eq!(ask("127.0.0.1:8080", BLOCKED), None);
        let (_other, _endpoint) = host.attach("other", &[]);
        assert!(ask("127.0.0.1:8080", SOON).is_some());
        assert!(!run("ip", &["address", "show", bridge]).contains("10.1.2.3"));
        // Set down and up again, its route is missing.
        run("ip", &["link", "set", bridge, "down"]);
        run("ip", &["link", "set", bridge, "up"]);
        let (_third, _endpoint) = host.attach("third", &[]);
        assert!(ask("127.0.0.1:8080", SOON).is_some());
    });
}

#[test]
fn root_a_dropping_iptables_lets_us_through_and_stays_readable() {
    in_fresh_network(|| {
        let lan = neighbour();
        lan.serve(70);
        run("iptables", &["-P", "FORWARD", "DROP"]);
        run("iptables", &["-A", "FORWARD", "-i", "tun0", "-j", "ACCEPT"]);
        let before = run("iptables", &["-S"]);
        let host = Installation::new();
        let (web, _endpoint) = host.attach("web", &["8080:80"]);
        web.serve(80);
        web.serve(81);
        assert_eq!(lan.ask("10.99.0.1:8080").as_deref(), Some("10.99.0.2"));
        assert_eq!(web.ask("10.99.0.2:70").as_deref(), Some("10.99.0.1"));
        lan.run("ip", &["route", "add", "172.17.0.0/16", "via", "10.99.0.1"]);
        assert_eq!(lan.within(|| ask("172.17.0.2:81", BLOCKED)), None);
        let (bridge, shown) = (
            &host.networks.names().bridge,
            run("iptables", &["-S", "FORWARD"]),
        );
        let note = format!("-m comment --comment \"gantry: {bridge}\" -j ACCEPT");
        for rule in [
            format!("-A FORWARD -i {bridge} {note}"),
            format!("-A FORWARD -o {bridge} {note}"),
        ] {
            assert_eq!(shown.matches(&rule).count(), 1, "{shown}");
        }
        let (_other, _endpoint) = host.attach("other", &[]);
        assert_eq!(run("iptables", &["-S", "FORWARD"]), shown);
        host.networks.detach("web");
        host.networks.detach("other");
        assert!(host.networks.teardown_if_idle().unwrap());
        assert_eq!(run("iptables", &["-S"]), before);
    });
}

#[test]
fn root_another_dropping_firewall_is_named() {
    in_fresh_network(|| {
        run(
            "nft",
            &[
                "add table inet guard; add chain inet guard fw { type filter hook forward priority 0; policy drop; }",
            ],
        );
        let host = Installation::new();
        let (_web, endpoint) = host.attach("web", &[]);
        assert_eq!(endpoint.warnings.len(), 1);
        assert!(
            endpoint.warnings[0].contains("chain inet guard fw drops"),
            "{:?}",
            endpoint.warnings
        );
    });
}

#[test]
fn root_a_dropping_legacy_iptables_is_named_with_its_cure() {
    in_fresh_network(|| {
        let lan = neighbour();
        lan.serve(70);
        run("iptables-legacy", &["-P", "FORWARD", "DROP"]);
        let host = Installation::new();
        let (web, endpoint) = host.attach("web", &[]);
        let bridge = &host.networks.names().bridge;
        let cure = format!("(iptables-legacy -I FORWARD -i {bridge} -j ACCEPT; the same with -o)");
        assert!(
            endpoint.warnings[0].ends_with(&cure),
            "{:?}",
            endpoint.warnings
        );
        for direction in ["-i", "-o"] {
            run(
                "iptables-legacy",
                &["-I", "FORWARD", direction, bridge, "-j", "ACCEPT"],
            );
        }
        assert_eq!(web.ask("10.99.0.2:70").as_deref(), Some("10.99.0.1"));
        run("nft", &["flush", "ruleset"]);
        let (_other, endpoint) = host.attach("other", &[]);
        assert_eq!(endpoint.warnings, Vec::<String>::new());
    });
}

#[test]
fn root_ports_work_with_bridged_packets_in_the_firewall() {
    in_fresh_network(|| {
        let _lan = neighbour();
        let host = Installation::new();
        let (web, _endpoint) = host.attach("web", &["8080:80"]);
        let (other, _endpoint) = host.attach("other", &[]);
        web.serve(80);
        let on = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        if std::fs::write(on, "1").is_err() {
            // This kernel has no br_netfilter per namespace: nothing to see.
            return;
        }
        assert!(other.ask("172.17.0.2:80").is_some());
        assert!(other.ask("10.99.0.1:8080").is_some());
        assert!(web.ask("10.99.0.1:8080").is_some());
        assert!(ask("127.0.0.1:8080", SOON).is_some());
    });
}
