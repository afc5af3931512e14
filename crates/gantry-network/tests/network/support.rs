//! A host, containers and neighbours to play with.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use gantry_model::port::{PortMapping, parse_published};
use gantry_network::{AttachRequest, Endpoint, NetworkConfig, NetworkError, Networks};
use gantry_sys::netlink::within;
use tempfile::TempDir;

const INSIDE: &str = "GANTRY_TEST_IN_FRESH_NETWORK";
/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// Long enough for a packet that is let through.
pub(crate) const BLOCKED: Duration = Duration::from_millis(400);

/// Runs the current test again in a fresh network namespace.
pub(crate) fn in_fresh_network(body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"]);
        body();
        return;
    }
    let name = thread::current()
        .name()
        .expect("tests have names")
        .to_owned();
    let status = Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe().expect("this test binary"))
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare");
    assert!(
        status.success(),
        "{name} failed in its network namespace (needs root)"
    );
}

/// Runs a command that must succeed and gives what it says.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect(program);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A network namespace, alive as long as this.
pub(crate) struct Namespace {
    child: Child,
    pub(crate) netns: File,
}

impl Namespace {
    pub(crate) fn new() -> Namespace {
        let mut child = Command::new("unshare")
            // However this process ends, the namespace ends too.
            .args(["--net", "--", "setpriv", "--pdeathsig", "KILL"])
            .args(["sh", "-c", "echo; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut byte = [0];
        child.stdout.take().unwrap().read_exact(&mut byte).unwrap();
        let netns = File::open(format!("/proc/{}/ns/net", child.id())).unwrap();
        Namespace { child, netns }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs `ip` or another command inside.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> String {
        let net = format!("--net=/proc/{}/ns/net", self.pid());
        run("nsenter", &[&[&net, program], args].concat())
    }

    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(self.netns.as_fd(), work).unwrap()
    }

    /// Starts a server inside that tells each client its address.
    pub(crate) fn serve(&self, port: u16) {
        let tcp = self.within(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
        let udp = self.within(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
        serve(tcp, udp);
    }

    /// Connects from inside and gives what the server says.
    pub(crate) fn ask(&self, address: &str) -> Option<String> {
        self.within(|| ask(address, SOON))
    }
}

/// Serves on these sockets as long as the test runs: each client learns its own address.
pub(crate) fn serve(tcp: TcpListener, udp: UdpSocket) {
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap();
            // The client may be gone again.
            drop(write!(stream, "{}", peer.ip()));
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
            drop(udp.send_to(peer.ip().to_string().as_bytes(), peer));
        }
    });
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the server at this address says, or nothing.
pub(crate) fn ask(address: &str, patience: Duration) -> Option<String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said)
}

/// The same by UDP.
pub(crate) fn ask_by_udp(address: &str, patience: Duration) -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send(b"?").ok()?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// An installation of its own.
pub(crate) struct Installation {
    pub(crate) dir: TempDir,
    pub(crate) networks: Networks,
}

impl Installation {
    pub(crate) fn new() -> Installation {
        Installation::with(NetworkConfig::default())
    }

    pub(crate) fn with(config: NetworkConfig) -> Installation {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::open(dir.path(), config).unwrap();
        Installation { dir, networks }
    }

    pub(crate) fn try_attach(
        &self,
        id: &str,
        namespace: &Namespace,
        ports: &[&str],
    ) -> Result<Endpoint, NetworkError> {
        attach(&self.networks, id, namespace, ports)
    }

    pub(crate) fn attach(&self, id: &str, ports: &[&str]) -> (Namespace, Endpoint) {
        let namespace = Namespace::new();
        let endpoint = self
            .try_attach(id, &namespace, ports)
            .unwrap_or_else(|e| panic!("{e:?}"));
        (namespace, endpoint)
    }
}

pub(crate) fn attach(
    networks: &Networks,
    id: &str,
    namespace: &Namespace,
    ports: &[&str],
) -> Result<Endpoint, NetworkError> {
    let ports: Vec<PortMapping> = ports
        .iter()
        .flat_map(|text| parse_published(text).unwrap())
        .collect();
    networks.attach(&AttachRequest {
        endpoint_id: id,
        netns: namespace.netns.as_fd(),
        owner_pid: namespace.pid(),
        ports: &ports,
        hostname: "box",
        mac: None,
        link_local: &[],
    })
}

/// A machine beside the host: 10.99.0.2, the host being 10.99.0.1.
pub(crate) fn neighbour() -> Namespace {
    let namespace = Namespace::new();
    let pid = namespace.pid().to_string();
    run(
        "ip",
        &[
            "link", "add", "lan", "mtu", "1450", "type", "veth", "peer", "eth0", "netns", &pid,
        ],
    );
    run("ip", &["address", "add", "10.99.0.1/24", "dev", "lan"]);
    run("ip", &["link", "set", "lan", "up"]);
    run(
        "ip",
        &["route", "add", "default", "via", "10.99.0.2", "dev", "lan"],
    );
    for args in [
        &["link", "set", "lo", "up"][..],
        &["address", "add", "10.99.0.2/24", "dev", "eth0"],
        &["link", "set", "eth0", "up"],
    ] {
        namespace.run("ip", args);
    }
    namespace
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < SOON,
            "{what} did not come about: {}",
            run("ip", &["link"])
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// Interfaces beside the loopback and those every namespace has.
pub(crate) fn interfaces() -> Vec<String> {
    let shown = run("ip", &["-o", "link"]);
    let names = shown.lines().filter_map(|line| line.split(": ").nth(1));
    let names = names.map(|name| name.split('@').next().unwrap_or(name).to_owned());
    let own = [
        "lo", "lan", "tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0",
        "ip6tnl0", "ip6gre0",
    ];
    names.filter(|name| !own.contains(&name.as_str())).collect()
}

/// Where the state of an installation is.
pub(crate) fn state_file(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("network/state.json")).unwrap()
}
