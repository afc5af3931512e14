//! Published and exposed ports as `ps` and `port` show them.

use gantry_model::port::{ContainerPort, PortMapping};

/// All ports on one line, in Docker's order: first those that have the same number on both sides
/// and those that are only exposed, neighbours joined to ranges, then the other mappings one by one.
pub(crate) fn line(published: &[PortMapping], exposed: &[ContainerPort]) -> String {
    let mut parts = Vec::new();
    let mut mapped = Vec::new();
    // The range under way for each address and protocol, in the order they began.
    let mut ranges: Vec<Range> = Vec::new();
    for open in all(published, exposed) {
        let other = |mapping: &&PortMapping| mapping.host_port != open.port.port;
        if let Some(mapping) = open.published.as_ref().filter(other) {
            mapped.push(format!("{}->{}", host_side(mapping), open.port));
            continue;
        }
        let next = Range {
            host: open.published.as_ref().map(host),
            first: open.port,
            last: open.port.port,
        };
        match ranges.iter_mut().find(|range| range.is_beside(&next)) {
            None => ranges.push(next),
            Some(range) if range.last.checked_add(1) == Some(next.last) => range.last = next.last,
            Some(range) => parts.push(std::mem::replace(range, next).text()),
        }
    }
    parts.extend(ranges.iter().map(Range::text));
    parts.extend(mapped);
    parts.join(", ")
}

/// A port of the container, and where it is published.
struct Open {
    port: ContainerPort,
    published: Option<PortMapping>,
}

/// Every port once for each place it is published at, by number.
fn all(published: &[PortMapping], exposed: &[ContainerPort]) -> Vec<Open> {
    let mut published: Vec<PortMapping> = published.to_vec();
    published.sort_by_key(|p| (p.container.port, host(p), p.host_port, p.container.protocol));
    published.dedup();
    let hidden = |port: &&ContainerPort| !published.iter().any(|p| p.container == **port);
    let mut hidden: Vec<ContainerPort> = exposed.iter().filter(hidden).copied().collect();
    hidden.sort_by_key(|port| (port.port, port.protocol));
    hidden.dedup();
    let mut all: Vec<Open> = hidden
        .into_iter()
        .map(|port| Open {
            port,
            published: None,
        })
        .collect();
    all.extend(published.into_iter().map(|mapping| Open {
        port: mapping.container,
        published: Some(mapping),
    }));
    all.sort_by_key(|open| open.port.port);
    all
}

/// Ports that follow each other, the same on the host where they are published.
struct Range {
    host: Option<String>,
    first: ContainerPort,
    last: u16,
}

impl Range {
    fn is_beside(&self, other: &Self) -> bool {
        self.host == other.host && self.first.protocol == other.first.protocol
    }

    fn text(&self) -> String {
        let ports = match self.first.port == self.last {
            true => self.last.to_string(),
            false => format!("{}-{}", self.first.port, self.last),
        };
        let protocol = self.first.protocol;
        match &self.host {
            Some(host) => format!("{host}:{ports}->{ports}/{protocol}"),
            None => format!("{ports}/{protocol}"),
        }
    }
}

/// The host's side of a mapping: `0.0.0.0:8080`.
pub(crate) fn host_side(mapping: &PortMapping) -> String {
    format!("{}:{}", host(mapping), mapping.host_port)
}

fn host(mapping: &PortMapping) -> String {
    match mapping.host_ip {
        None => "0.0.0.0".to_owned(),
        Some(std::net::IpAddr::V4(ip)) => ip.to_string(),
        Some(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::port::{parse_exposed, parse_published};

    #[test]
    fn ports_read_as_dockers() {
        for (published, exposed, want) in [
            (vec![], vec![], ""),
            (vec!["8080:80"], vec!["80"], "0.0.0.0:8080->80/tcp"),
            (
                vec!["8000-8002:80-82"],
                vec![],
                "0.0.0.0:8000->80/tcp, 0.0.0.0:8001->81/tcp, 0.0.0.0:8002->82/tcp",
            ),
            (vec!["[::1]:90:90"], vec!["80"], "80/tcp, [::1]:90->90/tcp"),
            (
                vec!["127.0.0.1:53:53/udp", "53:53"],
                vec![],
                "0.0.0.0:53->53/tcp, 127.0.0.1:53->53/udp",
            ),
            (
                vec![
                    "127.0.0.1:18200-18202:80-82",
                    "127.0.0.1:90-92:90-92",
                    "127.0.0.1:94:94",
                    "127.0.0.1:53:53/udp",
                    "127.0.0.1:18307:99/udp",
                ],
                vec!["80", "443", "445-447", "99/udp", "99", "60-61/udp"],
                "127.0.0.1:90-92->90-92/tcp, 99/tcp, 443/tcp, 127.0.0.1:53->53/udp, 60-61/udp, \
                 127.0.0.1:94->94/tcp, 445-447/tcp, 127.0.0.1:18200->80/tcp, \
                 127.0.0.1:18201->81/tcp, 127.0.0.1:18202->82/tcp, 127.0.0.1:18307->99/udp",
            ),
            (vec![], vec!["80-82", "90/udp"], "80-82/tcp, 90/udp"),
            (
                vec!["1:80", "3:81"],
                vec![],
                "0.0.0.0:1->80/tcp, 0.0.0.0:3->81/tcp",
            ),
        ] {
            let published: Vec<_> = published
                .iter()
                .flat_map(|t| parse_published(t).unwrap())
                .collect();
            let exposed: Vec<_> = exposed
                .iter()
                .flat_map(|t| parse_exposed(t).unwrap())
                .collect();
            assert_eq!(line(&published, &exposed), want);
        }
    }
}
