//! The default bridge, published ports, and the modes beside it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use gantry_testkit::TestEnv;
use gantry_testkit::environment::wait_for;

use crate::busybox;

in_both_modes! {
    the_modes_are_what_they_say,
}

fn fetch(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
}

const SERVE: &str = "mkdir /www; echo served > /www/index.html; exec httpd -f -p 80 -h /www";

#[test]
fn root_published_ports_answer_on_loopback_and_on_the_hosts_address() {
    let env = busybox();
    env.gantry([
        "run", "-d", "--name", "web", "-p", "80", "busybox", "sh", "-c", SERVE,
    ])
    .ok();
    let shown = env.gantry(["port", "web", "80/tcp"]).ok();
    let port = shown
        .lines()
        .next()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    wait_for("the page", || {
        fetch(&format!("127.0.0.1:{port}")).as_deref() == Some("served\n")
    });
    // A datagram socket that is connected knows the host's own address; nothing is sent.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    probe.connect("192.0.2.1:9").unwrap();
    let host = probe.local_addr().unwrap().ip();
    assert_eq!(
        fetch(&format!("{host}:{port}")).as_deref(),
        Some("served\n")
    );
    let ip = env
        .gantry(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"])
        .ok();
    let other = env.gantry([
        "run",
        "--rm",
        "busybox",
        "wget",
        "-q",
        "-O",
        "-",
        &format!("http://{ip}/index.html"),
    ]);
    assert_eq!(other.ok(), "served");
    let hairpin = env.gantry([
        "run",
        "--rm",
        "busybox",
        "wget",
        "-q",
        "-O",
        "-",
        &format!("http://{host}:{port}/index.html"),
    ]);
    assert_eq!(hairpin.ok(), "served");
    env.gantry(["rm", "-f", "web"]).ok();
    // Somebody else may have the port already.
    assert_ne!(
        fetch(&format!("127.0.0.1:{port}")).as_deref(),
        Some("served\n")
    );
}

#[test]
fn root_a_taken_port_is_refused_with_its_owner() {
    let env = busybox();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = env
        .gantry([
            "run",
            "--rm",
            "-p",
            &format!("127.0.0.1:{port}:80"),
            "busybox",
            "true",
        ])
        .fails(125);
    assert!(
        refused.contains("already in use") && refused.contains(&port.to_string()),
        "{refused}"
    );
    assert!(
        refused.contains(&std::process::id().to_string()),
        "{refused}"
    );
    assert_eq!(env.gantry(["ps", "-aq"]).ok(), "");
}

fn the_modes_are_what_they_say(env: TestEnv) {
    let links = |network: &str| {
        env.gantry([
            "run",
            "--rm",
            "--network",
            network,
            "busybox",
            "ls",
            "/sys/class/net",
        ])
        .ok()
    };
    assert_eq!(links("none"), "lo");
    assert_eq!(links("bridge"), "eth0\nlo");
    let namespace = ["readlink", "/proc/self/ns/net"];
    let host = ["run", "--rm", "--network", "host", "busybox"];
    let host = env.gantry(host.iter().chain(&namespace)).ok();
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(Some(host.as_str()), own.to_str());
    let unknown = env
        .gantry(["run", "--rm", "--network", "nonesuch", "busybox"])
        .fails(125);
    assert!(unknown.contains("nonesuch"), "{unknown}");
}

#[test]
fn root_containers_resolve_names_as_the_host_does() {
    let env = busybox();
    let servers = env
        .gantry([
            "run",
            "--rm",
            "busybox",
            "grep",
            "^nameserver",
            "/etc/resolv.conf",
        ])
        .ok();
    assert!(!servers.is_empty());
    let own = env
        .gantry([
            "run",
            "--rm",
            "--dns",
            "192.0.2.53",
            "busybox",
            "cat",
            "/etc/resolv.conf",
        ])
        .ok();
    assert!(own.contains("nameserver 192.0.2.53"), "{own}");
}
