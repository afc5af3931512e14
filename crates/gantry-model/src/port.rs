//! Ports as `-p` and `EXPOSE` spell them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Transport protocol of a port.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port inside a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerPort {
    /// Number, never 0.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// Address of the host to listen on; `None` for all.
    pub host_ip: Option<IpAddr>,
    /// Port of the host; 0 lets the host choose.
    pub host_port: u16,
    /// Port inside the container.
    pub container: ContainerPort,
}

/// A text that is no port specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// No container port.
    #[error("no port specified: {0:?}")]
    Missing(String),
    /// A number out of range or no number.
    #[error("invalid containerPort: {0:?}")]
    Container(String),
    /// A host port that is none.
    #[error("invalid hostPort: {0:?}")]
    Host(String),
    /// An address that is none.
    #[error("invalid IP address: {0:?}")]
    Address(String),
    /// An unknown protocol.
    #[error("invalid proto: {0:?}")]
    Protocol(String),
    /// Ranges of different lengths.
    #[error("invalid ranges specified for container and host ports: {0:?}")]
    Ranges(String),
}

impl FromStr for Protocol {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(PortError::Protocol(text.chars().take(60).collect())),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl fmt::Display for ContainerPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

impl FromStr for ContainerPort {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        match parse_exposed(text)?.as_slice() {
            [one] => Ok(*one),
            _ => Err(PortError::Container(text.chars().take(60).collect())),
        }
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(start) || !digits(end) {
        return None;
    }
    let (start, end) = (start.parse().ok()?, end.parse().ok()?);
    (start <= end).then_some((start, end))
}

fn split_protocol(text: &str) -> Result<(&str, Protocol), PortError> {
    match text.rsplit_once('/') {
        Some((ports, protocol)) => Ok((ports, protocol.parse()?)),
        None => Ok((text, Protocol::Tcp)),
    }
}

/// Parses `80`, `80/udp` or `8000-8010/tcp` as `EXPOSE` and `--expose` spell it.
///
/// # Errors
/// [`PortError`] naming the offending part.
pub fn parse_exposed(text: &str) -> Result<Vec<ContainerPort>, PortError> {
    let (ports, protocol) = split_protocol(text)?;
    if ports.is_empty() {
        return Err(PortError::Missing(text.chars().take(60).collect()));
    }
    let (start, end) = range(ports)
        .filter(|(start, _)| *start > 0)
        .ok_or_else(|| PortError::Container(ports.chars().take(60).collect()))?;
    Ok((start..=end)
        .map(|port| ContainerPort { port, protocol })
        .collect())
}

/// Parses `[[IP:][HOST_PORT[-END]]:]PORT[-END][/PROTOCOL]` as `-p` spells it; a range gives
/// one mapping a port. A host range over a single container port picks a free one of it in
/// Docker; here its first is taken and the rest refused, so that nothing is guessed.
///
/// # Errors
/// [`PortError`] naming the offending part.
pub fn parse_published(text: &str) -> Result<Vec<PortMapping>, PortError> {
    let clip = |t: &str| t.chars().take(60).collect::<String>();
    let (rest, protocol) = split_protocol(text)?;
    let (host, container) = match rest.rsplit_once(':') {
        Some((host, container)) => (host, container),
        None => ("", rest),
    };
    if container.is_empty() {
        return Err(PortError::Missing(clip(text)));
    }
    let (start, end) = range(container)
        .filter(|(start, _)| *start > 0)
        .ok_or_else(|| PortError::Container(clip(container)))?;
    let (address, host_ports) = match host.rsplit_once(':') {
        Some((address, ports)) => (address, ports),
        None if host.parse::<std::net::Ipv4Addr>().is_ok() => (host, ""),
        None => ("", host),
    };
    let host_ip = match address.trim_start_matches('[').trim_end_matches(']') {
        "" => None,
        address => Some(
            address
                .parse()
                .map_err(|_| PortError::Address(clip(address)))?,
        ),
    };
    let (host_start, host_end) = match host_ports {
        "" => (0, 0),
        ports => range(ports).ok_or_else(|| PortError::Host(clip(ports)))?,
    };
    let chosen = host_start == 0 && host_end == 0;
    if !chosen && host_end - host_start != end - start {
        return Err(PortError::Ranges(clip(text)));
    }
    Ok((start..=end)
        .map(|port| PortMapping {
            host_ip,
            host_port: if chosen {
                0
            } else {
                host_start + (port - start)
            },
            container: ContainerPort { port, protocol },
        })
        .collect())
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            None => {}
        }
        write!(f, "{}:{}", self.host_port, self.container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports_parse() {
        for (text, want) in [
            ("80", vec!["0:80/tcp"]),
            ("8080:80", vec!["8080:80/tcp"]),
            ("8080:80/udp", vec!["8080:80/udp"]),
            ("127.0.0.1:8080:80", vec!["127.0.0.1:8080:80/tcp"]),
            ("127.0.0.1::80", vec!["127.0.0.1:0:80/tcp"]),
            ("127.0.0.1:80", vec!["127.0.0.1:0:80/tcp"]),
            ("[::1]:8080:80", vec!["[::1]:8080:80/tcp"]),
            ("8000-8001:80-81", vec!["8000:80/tcp", "8001:81/tcp"]),
            ("80-81", vec!["0:80/tcp", "0:81/tcp"]),
        ] {
            let got: Vec<String> = parse_published(text)
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(got, want, "{text}");
        }
        for bad in [
            "",
            ":",
            "0",
            "8080:0",
            "x:80",
            "80:x",
            "1.2.3:80:80",
            "70000:80",
            "80:70000",
            "8000-8002:80-81",
            "81-80",
            "80/xtp",
            "8080:",
            "-1:80",
            "+1:80",
        ] {
            assert!(parse_published(bad).is_err(), "{bad}");
        }
    }
}
