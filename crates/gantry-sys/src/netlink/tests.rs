//! Against the real kernel, each test in a network namespace of its own.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::*;

/// Runs `body` on a thread in a new network namespace, which vanishes with it.
fn in_new_namespace(body: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let joined = scope
            .spawn(|| {
                // SAFETY: only the network namespace of this thread changes.
                unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("needs root");
                body();
            })
            .join();
        if let Err(panic) = joined {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A second namespace, as a descriptor.
fn new_namespace() -> File {
    std::thread::spawn(|| {
        // SAFETY: only the network namespace of this thread changes.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("needs root");
        File::open("/proc/thread-self/ns/net").unwrap()
    })
    .join()
    .unwrap()
}

const MAC: Mac = Mac([2, 0x42, 10, 9, 0, 1]);

#[test]
fn root_a_bridge_and_a_veth_pair_into_another_namespace() {
    in_new_namespace(|| {
        let inside = new_namespace();
        let start = Instant::now();
        let mut host = Socket::open(Protocol::Route).unwrap();
        host.transact(&[create_bridge("br-test", MAC, None)])
            .unwrap();
        let bridge = link(&mut host, LinkName::Name("br-test")).unwrap().unwrap();
        let gateway = Address {
            link: bridge.index,
            ip: [10, 9, 0, 1].into(),
            prefix: 24,
        };
        let near = VethEnd {
            name: "veth-near",
            mac: None,
            netns: None,
        };
        let far = VethEnd {
            name: "eth0",
            mac: Some(MAC),
            netns: Some(inside.as_fd()),
        };
        let quiet = LinkChange {
            without_ipv6_addresses: true,
            ..LinkChange::default()
        };
        let up = LinkChange {
            up: Some(true),
            route_localnet: Some(true),
            ..LinkChange::default()
        };
        let join = LinkChange {
            up: Some(true),
            master: Some(bridge.index),
            hairpin: Some(true),
            ..LinkChange::default()
        };
        host.transact(&[
            set_link(LinkName::Index(bridge.index), &quiet),
            add_address(
                &gateway,
                AddressFlags {
                    without_route: true,
                },
            ),
            set_link(LinkName::Index(bridge.index), &up),
            create_veth(&near, &far, Some(1400)),
            set_link(LinkName::Name("veth-near"), &quiet),
            set_link(
                LinkName::Name("veth-near"),
                &LinkChange {
                    hairpin: None,
                    ..join
                },
            ),
            set_link(LinkName::Name("veth-near"), &join),
        ])
        .unwrap();
        let network = Route {
            network: [10, 9, 0, 0].into(),
            prefix: 24,
            gateway: None,
            link: Some(bridge.index),
            source: Some(gateway.ip),
        };
        host.transact(&[add_route(&network)]).unwrap();
        let again = host.transact(&[add_route(&network)]).unwrap_err();
        assert_eq!(again.errno(), Some(libc::EEXIST));

        let mut guest = Socket::open_in(Protocol::Route, inside.as_fd()).unwrap();
        let eth0 = link(&mut guest, LinkName::Name("eth0")).unwrap().unwrap();
        let own = Address {
            link: eth0.index,
            ip: [10, 9, 0, 2].into(),
            prefix: 24,
        };
        let default = Route {
            network: [0, 0, 0, 0].into(),
            prefix: 0,
            gateway: Some(gateway.ip),
            link: Some(eth0.index),
            source: None,
        };
        guest
            .transact(&[
                set_link(
                    LinkName::Name("lo"),
                    &LinkChange {
                        up: Some(true),
                        ..LinkChange::default()
                    },
                ),
                set_link(LinkName::Index(eth0.index), &quiet),
                set_link(
                    LinkName::Index(eth0.index),
                    &LinkChange {
                        up: Some(true),
                        ..LinkChange::default()
                    },
                ),
                add_address(&own, AddressFlags::default()),
                add_route(&default),
            ])
            .unwrap();
        println!("bridge, veth, addresses, routes: {:?}", start.elapsed());

        let shown = links(&mut host).unwrap();
        let veth = shown.iter().find(|link| link.name == "veth-near").unwrap();
        assert_eq!(veth.kind.as_deref(), Some("veth"));
        assert_eq!(veth.master, Some(bridge.index));
        assert_eq!((veth.mtu, veth.up, veth.peer_elsewhere), (1400, true, true));
        assert_eq!(veth.peer, Some(eth0.index));
        assert_eq!(eth0.mac, Some(MAC));
        let read = |path: &str| std::fs::read_to_string(path).unwrap();
        assert_eq!(
            read("/proc/sys/net/ipv4/conf/br-test/route_localnet"),
            "1\n"
        );
        let shown = std::process::Command::new("bridge")
            .args(["-d", "link"])
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&shown.stdout).contains("hairpin on"));
        assert_eq!(addresses(&mut host, Some(bridge.index)).unwrap(), [gateway]);
        assert!(routes(&mut host).unwrap().contains(&network));
        let way = route_to(&mut host, [10, 9, 0, 77].into()).unwrap().unwrap();
        assert_eq!(
            (way.link, way.source),
            (Some(bridge.index), Some(gateway.ip))
        );
        assert_eq!(route_to(&mut host, [10, 8, 0, 77].into()).unwrap(), None);
        assert!(routes(&mut guest).unwrap().contains(&default));
        assert!(addresses(&mut guest, None).unwrap().contains(&own));
        assert!(
            addresses(&mut guest, Some(eth0.index))
                .unwrap()
                .iter()
                .all(|a| a.ip.is_ipv4())
        );

        host.transact(&[
            delete_route(&network),
            delete_address(&gateway),
            delete_link(LinkName::Name("br-test")),
        ])
        .unwrap();
        assert_eq!(link(&mut host, LinkName::Name("br-test")).unwrap(), None);
    });
}

#[test]
fn root_a_refusal_names_the_message_and_the_reason() {
    in_new_namespace(|| {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let error = socket
            .transact(&[
                create_bridge("one", MAC, None),
                create_bridge("one", MAC, None),
                create_bridge("two", MAC, None),
            ])
            .unwrap_err();
        let NetlinkError::Refused { index, errno, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!((*index, *errno), (1, libc::EEXIST));
        assert!(
            error
                .to_string()
                .starts_with("cannot create bridge one: File exists"),
            "{error}"
        );
        // The messages after a refused one are still tried.
        assert!(link(&mut socket, LinkName::Name("two")).unwrap().is_some());
        let tolerated = create_bridge("one", MAC, None).tolerating(&[libc::EEXIST]);
        socket.transact(&[tolerated]).unwrap();
        let error = socket
            .transact(&[create_bridge("a name far too long", MAC, None)])
            .unwrap_err();
        let NetlinkError::Refused { text, .. } = &error else {
            panic!("{error}")
        };
        assert!(text.is_some(), "{error}");
    });
}

#[test]
fn root_a_link_is_renamed() {
    in_new_namespace(|| {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        socket
            .transact(&[create_bridge("before", MAC, None)])
            .unwrap();
        let index = link(&mut socket, LinkName::Name("before"))
            .unwrap()
            .unwrap()
            .index;
        let change = LinkChange {
            name: Some("after"),
            ..LinkChange::default()
        };
        socket
            .transact(&[set_link(LinkName::Index(index), &change)])
            .unwrap();
        assert_eq!(
            link(&mut socket, LinkName::Index(index))
                .unwrap()
                .unwrap()
                .name,
            "after"
        );
    });
}
