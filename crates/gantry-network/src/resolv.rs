//! The name servers a container is told about.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where systemd-resolved writes down the servers it asks itself.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
/// Where systemd-resolved answers.
const RESOLVED_STUB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);

/// Where the relay answers inside a container.
pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

const DNS_PORT: u16 = 53;
/// More than any resolver looks at.
const MOST_SERVERS: usize = 16;

/// Settings of a container that replace the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsOptions {
    /// Name servers (`--dns`).
    pub servers: Vec<String>,
    /// Search domains (`--dns-search`); a single `.` for none.
    pub search: Vec<String>,
    /// Resolver options (`--dns-option`).
    pub options: Vec<String>,
}

/// What a container can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The host's own network: every server the host can ask.
    Host,
    /// The bridge: IPv4, and not the host's loopback.
    Bridge,
}

/// The `resolv.conf` of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConf {
    /// The file.
    pub text: String,
    /// Servers that the container cannot reach itself and a [`Relay`](crate::Relay) must ask
    /// for it. Empty when none is needed.
    pub relay_to: Vec<SocketAddr>,
}

/// The text of the host's `resolv.conf`; that of systemd-resolved's own servers where the
/// host's only names its stub. Empty when there is none.
///
/// # Errors
/// When the file is there but cannot be read.
pub fn host_resolv_conf() -> io::Result<String> {
    let read = |path: &str| match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    };
    let text = read("/etc/resolv.conf")?;
    let servers = Directives::parse(&text).servers;
    if servers
        .iter()
        .any(|server| *server == RESOLVED_STUB.to_string())
        && servers.len() == 1
    {
        let own = read(RESOLVED)?;
        if !Directives::parse(&own).servers.is_empty() {
            return Ok(own);
        }
    }
    Ok(text)
}

/// The file for a container, from the host's and its own settings.
///
/// A container on the bridge cannot reach servers on the host's loopback nor, without IPv6,
/// IPv6 ones: those are left out. When that leaves none, a relay is asked for. Servers given
/// for the container itself are taken as they are.
pub fn resolv_conf(host: &str, own: &DnsOptions, reach: Reach) -> ResolvConf {
    let host = Directives::parse(host);
    let given = !own.servers.is_empty();
    let servers = if given { &own.servers } else { &host.servers };
    let mut relay_to = Vec::new();
    let mut usable: Vec<&str> = servers
        .iter()
        .map(String::as_str)
        .filter(|server| given || reach == Reach::Host || is_reachable(server))
        .collect();
    if usable.is_empty() {
        relay_to = servers
            .iter()
            .filter_map(|server| upstream(server))
            .collect();
        // As the C library does without any server.
        if relay_to.is_empty() {
            relay_to.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS_PORT));
        }
    }
    let relay = RELAY.to_string();
    if !relay_to.is_empty() {
        usable.push(&relay);
    }
    let search = if own.search.is_empty() {
        &host.search
    } else {
        &own.search
    };
    let options = if own.options.is_empty() {
        &host.options
    } else {
        &own.options
    };
    let mut text = String::new();
    for server in usable {
        text.push_str("nameserver ");
        text.push_str(server);
        text.push('\n');
    }
    let no_search = own.search.len() == 1 && own.search[0] == ".";
    let search = if no_search { &[][..] } else { &search[..] };
    for (name, values) in [
        ("search", search),
        ("options", &options[..]),
        ("sortlist", &host.sortlist[..]),
    ] {
        if !values.is_empty() {
            text.push_str(name);
            text.push(' ');
            text.push_str(&values.join(" "));
            text.push('\n');
        }
    }
    ResolvConf { text, relay_to }
}

fn is_reachable(server: &str) -> bool {
    server
        .parse::<Ipv4Addr>()
        .is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// Where to send questions for a server as `resolv.conf` names it.
fn upstream(server: &str) -> Option<SocketAddr> {
    // A zone (`fe80::1%eth0`) cannot be told in a plain address: such a server is left out.
    let ip: IpAddr = server.parse().ok()?;
    Some(SocketAddr::new(ip, DNS_PORT))
}

/// The lines of a `resolv.conf`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Directives {
    servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
    sortlist: Vec<String>,
}

impl Directives {
    fn parse(text: &str) -> Directives {
        let mut directives = Directives::default();
        for line in text.lines() {
            // A comment starts a line or, in practice, ends one.
            let line = line.split(['#', ';']).next().unwrap_or("");
            let mut words = line.split_whitespace();
            let Some(keyword) = words.next() else {
                continue;
            };
            let values = words.map(str::to_owned);
            match keyword {
                "nameserver" if directives.servers.len() < MOST_SERVERS => {
                    directives.servers.extend(values.take(1));
                }
                // The last of them counts.
                "search" => directives.search = values.collect(),
                "domain" => directives.search = values.take(1).collect(),
                "options" => directives.options.extend(values),
                "sortlist" => directives.sortlist = values.collect(),
                _ => {}
            }
        }
        directives
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> DnsOptions {
        DnsOptions::default()
    }

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_hosts_file_is_filtered() {
        let host = "# made by hand\nnameserver 127.0.0.1\nnameserver 10.0.0.2 # office\n\
                    nameserver ::1\nnameserver 2001:db8::53\nsearch corp.example example\n\
                    options ndots:2\noptions edns0\n";
        let conf = resolv_conf(host, &own(), Reach::Bridge);
        assert_eq!(
            conf.text,
            "nameserver 10.0.0.2\nsearch corp.example example\noptions ndots:2 edns0\n"
        );
        assert_eq!(conf.relay_to, []);
        let conf = resolv_conf(host, &own(), Reach::Host);
        assert!(
            conf.text
                .starts_with("nameserver 127.0.0.1\nnameserver 10.0.0.2\nnameserver ::1\n")
        );
    }

    #[test]
    fn unreachable_servers_are_relayed() {
        let conf = resolv_conf(
            "nameserver 127.0.0.53\nnameserver fd00::1\n",
            &own(),
            Reach::Bridge,
        );
        assert_eq!(conf.text, "nameserver 127.0.0.11\n");
        let expected: Vec<SocketAddr> = ["127.0.0.53:53", "[fd00::1]:53"]
            .iter()
            .map(|a| a.parse().unwrap())
            .collect();
        assert_eq!(conf.relay_to, expected);
        let conf = resolv_conf("", &own(), Reach::Bridge);
        assert_eq!(conf.text, "nameserver 127.0.0.11\n");
        assert_eq!(conf.relay_to, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn own_settings_replace_the_hosts() {
        let host = "nameserver 10.0.0.2\ndomain corp.example\noptions ndots:2\nsortlist 10.0.0.0\n";
        let own = DnsOptions {
            servers: strings(&["127.0.0.1", "1.1.1.1"]),
            search: strings(&["."]),
            options: strings(&["timeout:1"]),
        };
        let conf = resolv_conf(host, &own, Reach::Bridge);
        assert_eq!(
            conf.text,
            "nameserver 127.0.0.1\nnameserver 1.1.1.1\noptions timeout:1\nsortlist 10.0.0.0\n"
        );
        assert_eq!(conf.relay_to, []);
        let conf = resolv_conf(host, &DnsOptions::default(), Reach::Bridge);
        assert!(conf.text.contains("search corp.example\n"));
    }

    #[test]
    fn odd_lines_do_no_harm() {
        let conf = resolv_conf(
            "nameserver\nfoo bar\n;x\n\u{0}\nnameserver 9.9.9.9 x y",
            &own(),
            Reach::Bridge,
        );
        assert_eq!(conf.text, "nameserver 9.9.9.9\n");
    }
}
