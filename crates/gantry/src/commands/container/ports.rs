//! Published and exposed ports as `ps` and `port` show them.

use gantry_model::port::{ContainerPort, PortMapping};

/// All ports on one line, neighbours joined to ranges: `0.0.0.0:8000-8001->80-81/tcp, 90/udp`.
pub(crate) fn line(published: &[PortMapping], exposed: &[ContainerPort]) -> String {
    let mut published: Vec<PortMapping> = published.to_vec();
    published.sort_by_key(|p| {
        (
            p.container.protocol,
            p.host_ip,
            p.container.port,
            p.host_port,
        )
    });
    published.dedup();
    let mut parts: Vec<(ContainerPort, String)> = Vec::new();
    let mut rest = published.as_slice();
    while let Some(first) = rest.first() {
        let length = rest
            .windows(2)
            .take_while(|pair| follows(&pair[0], &pair[1]))
            .count()
            + 1;
        parts.push((first.container, published_range(first, &rest[length - 1])));
        rest = &rest[length..];
    }
    let mut hidden: Vec<ContainerPort> = exposed
        .iter()
        .copied()
        .filter(|port| !published.iter().any(|p| p.container == *port))
        .collect();
    hidden.sort_by_key(|p| (p.protocol, p.port));
    hidden.dedup();
    let mut rest = hidden.as_slice();
    while let Some(first) = rest.first() {
        let next = |pair: &&[ContainerPort]| {
            pair[0].protocol == pair[1].protocol
                && pair[0].port.checked_add(1) == Some(pair[1].port)
        };
        let length = rest.windows(2).take_while(next).count() + 1;
        parts.push((*first, exposed_range(*first, rest[length - 1])));
        rest = &rest[length..];
    }
    parts.sort_by_key(|(port, _)| (port.port, port.protocol));
    parts
        .into_iter()
        .map(|(_, text)| text)
        .collect::<Vec<_>>()
        .join(", ")
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

fn follows(one: &PortMapping, two: &PortMapping) -> bool {
    one.host_ip == two.host_ip
        && one.container.protocol == two.container.protocol
        && one.container.port.checked_add(1) == Some(two.container.port)
        && one.host_port.checked_add(1) == Some(two.host_port)
}

fn range(first: u16, last: u16) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

fn published_range(first: &PortMapping, last: &PortMapping) -> String {
    format!(
        "{}:{}->{}/{}",
        host(first),
        range(first.host_port, last.host_port),
        range(first.container.port, last.container.port),
        first.container.protocol
    )
}

fn exposed_range(first: ContainerPort, last: ContainerPort) -> String {
    format!("{}/{}", range(first.port, last.port), first.protocol)
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
                "0.0.0.0:8000-8002->80-82/tcp",
            ),
            (
                vec!["127.0.0.1:53:53/udp", "53:53"],
                vec![],
                "0.0.0.0:53->53/tcp, 127.0.0.1:53->53/udp",
            ),
            (
                vec!["[::1]:90:90"],
                vec!["80", "443"],
                "80/tcp, [::1]:90->90/tcp, 443/tcp",
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
