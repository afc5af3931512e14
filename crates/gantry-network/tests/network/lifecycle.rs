//! Coming, going, dying.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use gantry_network::{NetworkConfig, Networks};

use crate::support::*;

#[test]
fn root_nothing_is_left_when_the_last_one_went() {
    in_fresh_network(|| {
        let host = Installation::new();
        let (web, endpoint) = host.attach("web", &["8080:80"]);
        let (other, _endpoint) = host.attach("other", &[]);
        assert_eq!(host.networks.observe().unwrap().len(), 2);
        assert_eq!(
            host.networks.gateway().unwrap(),
            Some(endpoint.attachment.gateway)
        );
        assert!(!host.networks.teardown_if_idle().unwrap());
        let outcome = host.networks.detach("web");
        assert!(outcome.was_attached && outcome.bridge_in_use && outcome.failures.is_empty());
        assert!(!host.networks.detach("web").was_attached);
        assert!(!host.networks.teardown_if_idle().unwrap());
        let outcome = host.networks.detach("other");
        assert!(outcome.was_attached && !outcome.bridge_in_use && outcome.failures.is_empty());
        drop((web, other));
        assert!(host.networks.teardown_if_idle().unwrap());
        eventually("an end of the interfaces", || interfaces().is_empty());
        assert_eq!(run("nft", &["list", "ruleset"]), "");
        assert!(!run("ip", &["route"]).contains("172.17"));
        assert_eq!(host.networks.gateway().unwrap(), None);
        // And once more.
        assert!(host.networks.teardown_if_idle().unwrap());
        drop(endpoint);
        let (web, _endpoint) = host.attach("web", &["8080:80"]);
        web.serve(80);
        assert!(ask("127.0.0.1:8080", SOON).is_some());
    });
}

#[test]
fn root_inside_there_is_what_a_container_expects() {
    in_fresh_network(|| {
        let host = Installation::new();
        let (web, endpoint) = host.attach("web", &[]);
        let shown = web.run("ip", &["address", "show", "eth0"]);
        assert!(
            shown.contains("inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0"),
            "{shown}"
        );
        assert!(
            shown.contains("02:42:ac:11:00:02") && !shown.contains("inet6"),
            "{shown}"
        );
        assert_eq!(endpoint.attachment.mac, "02:42:ac:11:00:02");
        let routes = web.run("ip", &["route"]);
        assert!(
            routes.contains("default via 172.17.0.1 dev eth0"),
            "{routes}"
        );
        assert!(
            web.run("ip", &["link", "show", "lo"])
                .contains("LOOPBACK,UP")
        );
        let bridge = run("ip", &["address", "show", &host.networks.names().bridge]);
        assert!(!bridge.contains("inet6"), "{bridge}");
        let json = serde_json::to_string(&endpoint.attachment).unwrap();
        assert_eq!(
            serde_json::from_str::<gantry_network::Attachment>(&json).unwrap(),
            endpoint.attachment
        );
    });
}

#[test]
fn root_who_dies_without_a_word_is_noticed() {
    in_fresh_network(|| {
        let host = Installation::new();
        let (web, endpoint) = host.attach("web", &["8080:80"]);
        let (_other, _endpoint) = host.attach("other", &[]);
        assert_eq!(host.networks.collect_stale().unwrap(), Vec::<String>::new());
        drop(endpoint);
        drop(web);
        assert!(
            host.networks
                .observe()
                .unwrap()
                .iter()
                .any(|view| !view.alive)
        );
        assert_eq!(host.networks.collect_stale().unwrap(), ["web"]);
        assert!(!run("nft", &["list", "ruleset"]).contains("8080"));
        // Without collecting, the next attach does: same id, same port.
        let (web, endpoint) = host.attach("web", &["8080:80"]);
        drop(endpoint);
        drop(web);
        let (web, _endpoint) = host.attach("web", &["8080:81"]);
        web.serve(81);
        assert!(ask("127.0.0.1:8080", SOON).is_some());
        let namespace = Namespace::new();
        let again = host.try_attach("web", &namespace, &[]).unwrap_err();
        assert_eq!(
            again.to_string(),
            "container web is already attached to the bridge network"
        );
    });
}

#[test]
fn root_a_lost_state_does_no_harm() {
    in_fresh_network(|| {
        let host = Installation::new();
        let (_web, endpoint) = host.attach("web", &["8080:80"]);
        drop(endpoint);
        std::fs::remove_file(host.dir.path().join("network/state.json")).unwrap();
        // The orphaned element for the port is in the way at first.
        let (next, endpoint) = host.attach("next", &["8080:80"]);
        next.serve(80);
        assert_eq!(endpoint.attachment.gateway.to_string(), "172.17.0.1");
        eventually("the port", || ask("127.0.0.1:8080", BLOCKED).is_some());
    });
}

/// Attaches in a process of its own: prints the address, goes on when a line arrives.
#[test]
fn child() {
    let Some(run_root) = std::env::var_os("GANTRY_TEST_CHILD") else {
        return;
    };
    let id = std::env::var("GANTRY_TEST_CHILD_ID").unwrap();
    let forever = std::env::var_os("GANTRY_TEST_CHILD_FOREVER").is_some();
    let networks = Networks::open(run_root.as_ref(), NetworkConfig::default()).unwrap();
    let namespace = Namespace::new();
    loop {
        let endpoint =
            attach(&networks, &id, &namespace, &["80"]).unwrap_or_else(|e| panic!("{e:?}"));
        println!("attached {}", endpoint.attachment.address);
        if !forever {
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        let outcome = networks.detach(&id);
        assert!(
            outcome.was_attached && outcome.failures.is_empty(),
            "{outcome:?}"
        );
        drop(endpoint);
        if !forever {
            return;
        }
        run(
            "nsenter",
            &[
                &format!("--net=/proc/{}/ns/net", namespace.pid()),
                "ip",
                "link",
                "del",
                "eth0",
            ],
        );
        networks.teardown_if_idle().unwrap();
    }
}

fn spawn_child(host: &Installation, id: &str, forever: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "lifecycle::child", "--nocapture"])
        .env("GANTRY_TEST_CHILD", host.dir.path())
        .env("GANTRY_TEST_CHILD_ID", id)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if forever {
        command
            .env("GANTRY_TEST_CHILD_FOREVER", "1")
            .stderr(Stdio::null());
    }
    command.spawn().unwrap()
}

#[test]
fn root_twenty_processes_attach_at_once() {
    in_fresh_network(|| {
        let host = Installation::new();
        let mut children: Vec<Child> = (0..20)
            .map(|n| spawn_child(&host, &format!("c{n}"), false))
            .collect();
        let mut outputs: Vec<_> = children
            .iter_mut()
            .map(|child| BufReader::new(child.stdout.take().unwrap()))
            .collect();
        let mut addresses: Vec<String> = outputs
            .iter_mut()
            .map(|output| {
                let mut lines = output.lines().map(Result::unwrap);
                lines
                    .find_map(|line| Some(line.split_once("attached ")?.1.to_owned()))
                    .unwrap()
            })
            .collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 20, "{addresses:?}");
        assert_eq!(host.networks.observe().unwrap().len(), 20);
        for child in &mut children {
            child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        }
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        assert!(host.networks.observe().unwrap().is_empty());
        assert!(host.networks.teardown_if_idle().unwrap());
        eventually("an end of the interfaces", || interfaces().is_empty());
        assert_eq!(run("nft", &["list", "ruleset"]), "");
    });
}

#[test]
fn root_attaching_and_tearing_down_do_not_disturb_each_other() {
    in_fresh_network(|| {
        let host = Installation::new();
        let networks = &host.networks;
        std::thread::scope(|scope| {
            for worker in 0..3 {
                scope.spawn(move || {
                    for round in 0..6 {
                        let id = format!("w{worker}-{round}");
                        let namespace = Namespace::new();
                        let endpoint = attach(networks, &id, &namespace, &["80"])
                            .unwrap_or_else(|e| panic!("{e:?}"));
                        namespace.serve(80);
                        let port = endpoint.attachment.ports[0].host_port;
                        assert!(ask(&format!("127.0.0.1:{port}"), SOON).is_some(), "{id}");
                        let outcome = networks.detach(&id);
                        assert!(outcome.failures.is_empty(), "{outcome:?}");
                        networks.teardown_if_idle().unwrap();
                    }
                });
            }
        });
        assert!(networks.teardown_if_idle().unwrap());
        // The servers above keep their namespaces; their interfaces lie there unplugged.
        assert!(
            interfaces().iter().all(|name| name.starts_with("veth")),
            "{:?}",
            interfaces()
        );
    });
}

#[test]
fn root_killed_at_any_moment_nothing_is_left() {
    in_fresh_network(|| {
        let host = Installation::new();
        for round in 0..12_u64 {
            let mut children: Vec<Child> = (0..2)
                .map(|n| spawn_child(&host, &format!("k{n}"), true))
                .collect();
            // Not waiting for something: the moment of death is what varies.
            std::thread::sleep(std::time::Duration::from_millis(40 + round * 17));
            for child in &mut children {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            eventually("an end of the owners", || {
                host.networks
                    .observe()
                    .unwrap()
                    .iter()
                    .all(|view| !view.alive)
            });
            host.networks.collect_stale().unwrap();
            let (web, endpoint) = host.attach("web", &["8080:80"]);
            web.serve(80);
            assert!(
                ask("127.0.0.1:8080", SOON).is_some(),
                "round {round}: {}",
                state_file(host.dir.path())
            );
            host.networks.detach("web");
            drop(endpoint);
            assert!(host.networks.teardown_if_idle().unwrap());
        }
        assert_eq!(run("nft", &["list", "ruleset"]), "");
    });
}

#[test]
fn root_attaching_is_quick() {
    in_fresh_network(|| {
        let host = Installation::new();
        let namespaces: Vec<Namespace> = (0..21).map(|_| Namespace::new()).collect();
        let mut endpoints = Vec::new();
        let mut timings = Vec::new();
        for (at, namespace) in namespaces.iter().enumerate() {
            let start = Instant::now();
            endpoints.push(
                host.try_attach(&format!("c{at}"), namespace, &["80"])
                    .unwrap(),
            );
            timings.push(start.elapsed());
        }
        let first = timings.remove(0);
        timings.sort();
        let start = Instant::now();
        assert!(host.networks.detach("c0").was_attached);
        println!(
            "attach: first {first:?}, then {:?} to {:?}, median {:?}; detach {:?}",
            timings[0],
            timings[19],
            timings[10],
            start.elapsed()
        );
        let start = Instant::now();
        for at in 1..21 {
            host.networks.detach(&format!("c{at}"));
        }
        println!("20 more detached in {:?}", start.elapsed());
        let start = Instant::now();
        assert!(host.networks.teardown_if_idle().unwrap());
        println!("teardown {:?}", start.elapsed());
    });
}

#[test]
fn root_installations_that_start_together_take_different_subnets() {
    in_fresh_network(|| {
        for _ in 0..4 {
            let hosts: Vec<Installation> = (0..4).map(|_| Installation::new()).collect();
            let namespaces: Vec<Namespace> = hosts.iter().map(|_| Namespace::new()).collect();
            let start = std::sync::Barrier::new(hosts.len());
            let mut subnets: Vec<_> = std::thread::scope(|scope| {
                let attach = |(host, namespace): (&Installation, &Namespace)| {
                    start.wait();
                    let endpoint = host
                        .try_attach("one", namespace, &["80"])
                        .unwrap_or_else(|e| panic!("{e:?}"));
                    assert!(endpoint.attachment.gateway != endpoint.attachment.address);
                    endpoint.attachment.gateway
                };
                let pairs = hosts.iter().zip(&namespaces);
                let threads: Vec<_> = pairs
                    .map(|pair| scope.spawn(move || attach(pair)))
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect()
            });
            subnets.sort();
            subnets.dedup();
            assert_eq!(subnets.len(), 4, "{subnets:?}");
            for host in &hosts {
                host.networks.detach("one");
                assert!(host.networks.teardown_if_idle().unwrap());
            }
        }
        assert_eq!(run("nft", &["list", "ruleset"]), "");
    });
}

#[test]
fn root_what_fails_half_way_is_undone() {
    use std::os::fd::AsFd;
    in_fresh_network(|| {
        let host = Installation::new();
        let no_netns = std::fs::File::open("/dev/null").unwrap();
        let ports = gantry_model::port::parse_published("8080:80").unwrap();
        let request = gantry_network::AttachRequest {
            endpoint_id: "web",
            netns: no_netns.as_fd(),
            owner_pid: std::process::id(),
            ports: &ports,
            hostname: "box",
            mac: None,
            link_local: &[],
        };
        let error = host.networks.attach(&request).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot connect veth"),
            "{error}"
        );
        assert_eq!(interfaces(), Vec::<String>::new());
        assert_eq!(run("nft", &["list", "ruleset"]), "");
        assert!(host.networks.observe().unwrap().is_empty());
        // Beside others, only what is its own is undone.
        let (_other, _endpoint) = host.attach("other", &["8081:80"]);
        let before = (interfaces(), run("nft", &["list", "ruleset"]));
        host.networks.attach(&request).unwrap_err();
        assert_eq!((interfaces(), run("nft", &["list", "ruleset"])), before);
        // An interface that is there already is in the way, and stays.
        let busy = Namespace::new();
        busy.run("ip", &["link", "add", "eth0", "type", "bridge"]);
        let error = host.try_attach("busy", &busy, &["8080:80"]).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot connect veth"),
            "{error}"
        );
        assert_eq!((interfaces(), run("nft", &["list", "ruleset"])), before);
        assert!(busy.run("ip", &["link"]).contains("eth0"));
        assert_eq!(host.networks.observe().unwrap().len(), 1);
    });
}
