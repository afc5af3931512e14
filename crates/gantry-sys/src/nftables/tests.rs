//! Against the real kernel and, as judge, the `nft` command.

use std::process::Command;
use std::time::Instant;

use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::*;
use crate::netlink::{Message, Protocol, Socket};

fn in_new_namespace(body: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: only the network namespace of this thread changes.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("needs root");
            body();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// `nft list ruleset`; a child inherits the network namespace of the thread that makes it.
fn nft_lists() -> String {
    let output = Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .expect("nft installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

const TABLE: TableName<'static> = TableName {
    family: Family::Ip,
    name: "test",
};

fn base(name: &'static str, kind: ChainKind, point: HookPoint, priority: i32) -> Chain<'static> {
    let hook = Hook {
        kind,
        point,
        priority,
        policy: Policy::Accept,
    };
    Chain {
        table: TABLE,
        name,
        hook: Some(hook),
    }
}

fn rule(chain: &'static str, parts: &[&[Expression]]) -> Message {
    append_rule(&Rule {
        table: TABLE,
        chain,
        expressions: parts.concat(),
        comment: None,
    })
}

fn dnat_by_map(key: &[Expression], map: &str) -> Vec<Expression> {
    let mut expressions = key.to_vec();
    expressions.push(Expression::Lookup {
        set: map.to_owned(),
        key: Register::FIRST,
        into: Some(Register::FIRST),
    });
    let port = Some(Register::word(1));
    expressions.push(Expression::DestinationNat {
        address: Register::FIRST,
        port,
    });
    expressions
}

fn load_protocol() -> Expression {
    Expression::Meta {
        key: MetaKey::TransportProtocol,
        into: Register::FIRST,
    }
}

fn load(base: PayloadBase, offset: u32, length: u32, word: u32) -> Expression {
    Expression::Payload {
        base,
        offset,
        length,
        into: Register::word(word),
    }
}

const KEY: &[Datatype] = &[
    Datatype::InternetProtocol,
    Datatype::Ipv4Address,
    Datatype::InternetService,
];
const VALUE: &[Datatype] = &[Datatype::Ipv4Address, Datatype::InternetService];

fn everything() -> Vec<Message> {
    use Comparison::{Equal, NotEqual};
    use MetaKey::{InputName, OutputName};
    let verdict = |verdict| [Expression::Verdict(verdict)];
    vec![
        add_table(TABLE, "made by a test"),
        add_map(
            &Map {
                table: TABLE,
                name: "ports",
                key: KEY,
                value: VALUE,
            },
            1,
        ),
        add_chain(&base(
            "prerouting",
            ChainKind::Nat,
            HookPoint::Prerouting,
            -100,
        )),
        add_chain(&base(
            "postrouting",
            ChainKind::Nat,
            HookPoint::Postrouting,
            100,
        )),
        add_chain(&base("forward", ChainKind::Filter, HookPoint::Forward, 0)),
        add_chain(&Chain {
            table: TABLE,
            name: "plain",
            hook: None,
        }),
        rule(
            "prerouting",
            &[&dnat_by_map(
                &[
                    load_protocol(),
                    load(PayloadBase::Network, 16, 4, 1),
                    load(PayloadBase::Transport, 2, 2, 2),
                ],
                "ports",
            )],
        ),
        rule(
            "prerouting",
            &[
                &destination_type_local(),
                &[Expression::Counter],
                &verdict(Verdict::Accept),
            ],
        ),
        rule(
            "postrouting",
            &[
                &source_network([172, 17, 0, 0].into(), 16),
                &interface(OutputName, NotEqual, "gantry0"),
                &[Expression::Masquerade],
            ],
        ),
        rule(
            "postrouting",
            &[
                &source_network([10, 9, 8, 0].into(), 20),
                &[Expression::Masquerade],
            ],
        ),
        rule(
            "forward",
            &[
                &ct_state(state::ESTABLISHED | state::RELATED),
                &verdict(Verdict::Accept),
            ],
        ),
        rule("forward", &[&ct_status_dnat(), &verdict(Verdict::Accept)]),
        rule(
            "forward",
            &[
                &interface(InputName, Equal, "gantry0"),
                &verdict(Verdict::Jump("plain".into())),
            ],
        ),
        rule(
            "plain",
            &[
                &destination_network([127, 0, 0, 0].into(), 8),
                &verdict(Verdict::Return),
            ],
        ),
        rule(
            "plain",
            &[
                // nft prints the port only when it knows the protocol.
                &[load_protocol()],
                &[Expression::Compare {
                    register: Register::FIRST,
                    op: Equal,
                    value: vec![6],
                }],
                &[Expression::Ct {
                    key: CtKey::DestinationAddress,
                    direction: Some(Direction::Original),
                    into: Register::FIRST,
                }],
                &[Expression::Compare {
                    register: Register::FIRST,
                    op: Equal,
                    value: vec![192, 0, 2, 1],
                }],
                &[Expression::Ct {
                    key: CtKey::DestinationPort,
                    direction: Some(Direction::Original),
                    into: Register::FIRST,
                }],
                &[Expression::Compare {
                    register: Register::FIRST,
                    op: Equal,
                    value: vec![31, 144],
                }],
                &verdict(Verdict::Drop),
            ],
        ),
        insert_rule(&Rule {
            table: TABLE,
            chain: "forward",
            expressions: vec![Expression::Verdict(Verdict::Accept)],
            comment: Some("comes first"),
        }),
    ]
}

const EXPECTED: &str = r#"table ip test {
	comment "made by a test"
	map ports {
		type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
		elements = { tcp . 127.0.0.1 . 8080 : 172.17.0.2 . 80 }
	}

	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		dnat ip to meta l4proto . ip daddr . th dport map @ports
		fib daddr type local counter packets 0 bytes 0 accept
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 172.17.0.0/16 oifname != "gantry0" masquerade
		ip saddr 10.9.0.0/20 masquerade
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		accept comment "comes first"
		ct state established,related accept
		ct status dnat accept
		iifname "gantry0" jump plain
	}

	chain plain {
		ip daddr 127.0.0.0/8 return
		meta l4proto tcp ct original ip daddr 192.0.2.1 ct original proto-dst 8080 drop
	}
}
"#;

fn port(protocol: u8, address: [u8; 4], port: u16, to: [u8; 4], to_port: u16) -> Element {
    let number = |port: u16| {
        let [high, low] = port.to_be_bytes();
        [high, low, 0, 0]
    };
    let key = [[protocol, 0, 0, 0], address, number(port)].concat();
    Element {
        key,
        value: [to, number(to_port)].concat(),
    }
}

#[test]
fn root_nft_reads_what_we_wrote() {
    in_new_namespace(|| {
        let mut socket = Socket::open(Protocol::Netfilter).unwrap();
        let element = port(6, [127, 0, 0, 1], 8080, [172, 17, 0, 2], 80);
        let mut messages = everything();
        messages.extend(add_elements(TABLE, "ports", std::slice::from_ref(&element)));
        let start = Instant::now();
        socket.transact_atomically(&messages).unwrap();
        println!(
            "one transaction of {}: {:?}",
            messages.len(),
            start.elapsed()
        );
        assert_eq!(nft_lists(), EXPECTED);

        assert_eq!(elements(&mut socket, TABLE, "ports").unwrap(), [element]);
        let seen = table(&mut socket, TABLE).unwrap().unwrap();
        assert_eq!(seen.note.as_deref(), Some("made by a test"));
        assert_eq!(tables(&mut socket, Family::Ip).unwrap(), [seen]);
        let forward = chain(&mut socket, TABLE, "forward").unwrap().unwrap();
        assert_eq!(Some(forward.hook.unwrap().point), Some(HookPoint::Forward));
        assert_eq!(chains(&mut socket, Family::Ip).unwrap().len(), 4);
        assert_eq!(chain(&mut socket, TABLE, "absent").unwrap(), None);
        let first = rules(&mut socket, TABLE, "forward").unwrap().swap_remove(0);
        assert_eq!(first.comment.as_deref(), Some("comes first"));
        socket
            .transact_atomically(&[delete_rule(TABLE, "forward", first.handle)])
            .unwrap();
        assert_eq!(
            nft_lists(),
            EXPECTED.replace("\t\taccept comment \"comes first\"\n", "")
        );
        socket.transact_atomically(&[delete_table(TABLE)]).unwrap();
        assert_eq!(nft_lists(), "");
        assert_eq!(table(&mut socket, TABLE).unwrap(), None);
    });
}

#[test]
fn root_a_transaction_is_all_or_nothing() {
    in_new_namespace(|| {
        let mut socket = Socket::open(Protocol::Netfilter).unwrap();
        let mut messages = everything();
        let chain = "no such chain";
        let bad = Rule {
            table: TABLE,
            chain,
            expressions: vec![],
            comment: None,
        };
        messages.push(append_rule(&bad));
        messages.push(add_chain(&Chain {
            table: TABLE,
            name: "after",
            hook: None,
        }));
        let error = socket.transact_atomically(&messages).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOENT), "{error}");
        assert!(error.to_string().contains("no such chain"), "{error}");
        assert_eq!(nft_lists(), "");
        // The socket goes on working after a refusal.
        socket.transact_atomically(&everything()).unwrap();
    });
}

#[test]
fn root_many_elements_come_and_go() {
    in_new_namespace(|| {
        let mut socket = Socket::open(Protocol::Netfilter).unwrap();
        socket.transact_atomically(&everything()).unwrap();
        let many: Vec<Element> = (1..=2000)
            .map(|number| port(17, [0, 0, 0, 0], number, [10, 0, 0, 1], number))
            .collect();
        socket
            .transact_atomically(&add_elements(TABLE, "ports", &many))
            .unwrap();
        assert_eq!(elements(&mut socket, TABLE, "ports").unwrap().len(), 2000);
        // Once more is no change, but another value for a key is refused.
        socket
            .transact_atomically(&add_elements(TABLE, "ports", &many[..1]))
            .unwrap();
        let other = port(17, [0, 0, 0, 0], 1, [10, 0, 0, 9], 1);
        let clash = socket.transact_atomically(&add_elements(TABLE, "ports", &[other]));
        assert_eq!(clash.unwrap_err().errno(), Some(libc::EEXIST));
        socket
            .transact_atomically(&delete_elements(TABLE, "ports", &many))
            .unwrap();
        assert_eq!(elements(&mut socket, TABLE, "ports").unwrap(), []);
        let gone = socket.transact_atomically(&delete_elements(TABLE, "ports", &many[..1]));
        assert_eq!(gone.unwrap_err().errno(), Some(libc::ENOENT));
    });
}

#[test]
fn root_connections_are_listed_and_forgotten() {
    use std::net::UdpSocket;
    use std::process::Command as Run;
    in_new_namespace(|| {
        assert!(
            Run::new("ip")
                .args(["link", "set", "lo", "up"])
                .status()
                .unwrap()
                .success()
        );
        let mut socket = Socket::open(Protocol::Netfilter).unwrap();
        // A NAT chain is what makes the kernel track connections.
        socket.transact_atomically(&everything()).unwrap();
        let server = UdpSocket::bind("127.0.0.1:5353").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"?", "127.0.0.1:5353").unwrap();
        server.recv(&mut [0; 8]).unwrap();
        // Another protocol is left out.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        drop(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let flows = conntrack::udp_flows(&mut socket).unwrap();
        assert_eq!(flows.len(), 1, "{flows:?}");
        assert_eq!(flows[0].destination, "127.0.0.1:5353".parse().unwrap());
        assert_eq!(flows[0].answers_from, flows[0].destination);
        conntrack::forget(&mut socket, &flows).unwrap();
        assert_eq!(conntrack::udp_flows(&mut socket).unwrap(), []);
        conntrack::forget(&mut socket, &flows).unwrap();
    });
}

#[test]
fn root_the_older_filter_is_read() {
    in_new_namespace(|| {
        let iptables = |args: &[&str]| {
            let status = Command::new("iptables-legacy").args(args).status().unwrap();
            assert!(status.success(), "{args:?}");
        };
        iptables(&[
            "-A", "FORWARD", "-i", "tun0", "-p", "tcp", "--dport", "80", "-j", "ACCEPT",
        ]);
        let forward = legacy::forward().unwrap();
        assert_eq!(
            forward,
            legacy::LegacyForward {
                drops: false,
                interfaces: vec!["tun0".into()]
            }
        );
        iptables(&["-P", "FORWARD", "DROP"]);
        iptables(&["-I", "FORWARD", "-o", "gantry0", "-j", "ACCEPT"]);
        let forward = legacy::forward().unwrap();
        assert!(forward.drops);
        assert_eq!(forward.interfaces, ["gantry0", "tun0"]);
    });
}
