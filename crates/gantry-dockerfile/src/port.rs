//! Ports as `EXPOSE` spells them: `80`, `53/udp`, `8000-8010/tcp`.

use gantry_model::port::Protocol;
use gantry_model::{Fault, FaultKind};

/// A text that is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExposeError {
    /// No port at all.
    #[error("no port specified: {text}<empty>")]
    Missing {
        /// The text.
        text: String,
    },
    /// A port that is no number up to 65535, or a range that runs backwards.
    #[error("invalid containerPort: {text}")]
    Container {
        /// The port.
        text: String,
    },
    /// The same on the side of the host.
    #[error("invalid hostPort: {text}")]
    Host {
        /// The port.
        text: String,
    },
    /// A protocol that does not exist.
    #[error("invalid proto: {text}")]
    Protocol {
        /// The protocol.
        text: String,
    },
    /// An address that is none.
    #[error("invalid IP address: {text}")]
    Address {
        /// The address.
        text: String,
    },
    /// Two ranges of different lengths.
    #[error("invalid ranges specified for container and host Ports: {container} and {host}")]
    Ranges {
        /// Inside.
        container: String,
        /// Outside.
        host: String,
    },
}

impl Fault for ExposeError {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        vec![
            "write a port, or a range, and perhaps a protocol: 80, 53/udp, 8000-8010/tcp"
                .to_owned(),
        ]
    }
}

/// The ports of one word of `EXPOSE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposedPorts {
    /// The first.
    pub first: u16,
    /// The last, equal to the first for a single port.
    pub last: u16,
    /// Their protocol.
    pub protocol: Protocol,
    /// Whether an address or a port of the host was named, which means nothing here.
    pub names_host: bool,
    /// The protocol as written, where one is.
    pub written_protocol: Option<String>,
}

impl ExposedPorts {
    /// Every port with its protocol, as the image configuration names it: `80/tcp`.
    pub fn names(&self) -> impl Iterator<Item = String> + use<> {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        (self.first..=self.last).map(move |port| format!("{port}/{protocol}"))
    }
}

/// Reads one word of `EXPOSE`, variables replaced. As BuildKit does, a mapping as `docker run -p`
/// takes it is suffered, and its host side ignored.
///
/// # Errors
/// See [`ExposeError`].
pub fn parse(text: &str) -> Result<ExposedPorts, ExposeError> {
    let mut parts = text.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next();
    let address = parts.next();
    let (port, written_protocol) = match container.split_once('/') {
        Some((port, protocol)) => (port, Some(protocol).filter(|protocol| !protocol.is_empty())),
        None => (container, None),
    };
    if port.is_empty() {
        return Err(ExposeError::Missing {
            text: container.to_owned(),
        });
    }
    let protocol = protocol(written_protocol.unwrap_or("tcp"))?;
    check_address(address)?;
    let (first, last) = range(port).ok_or_else(|| ExposeError::Container {
        text: port.to_owned(),
    })?;
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        let (host_first, host_last) = range(host).ok_or_else(|| ExposeError::Host {
            text: host.to_owned(),
        })?;
        if first != last && last - first != host_last - host_first {
            return Err(ExposeError::Ranges {
                container: port.to_owned(),
                host: host.to_owned(),
            });
        }
    }
    let written_protocol = written_protocol.map(str::to_owned);
    Ok(ExposedPorts {
        first,
        last,
        protocol,
        names_host: host.is_some(),
        written_protocol,
    })
}

fn protocol(text: &str) -> Result<Protocol, ExposeError> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => Err(ExposeError::Protocol {
            text: text.to_owned(),
        }),
    }
}

fn check_address(address: Option<&str>) -> Result<(), ExposeError> {
    let Some(text) = address.filter(|address| !address.is_empty()) else {
        return Ok(());
    };
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    match bare.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(ExposeError::Address {
            text: text.to_owned(),
        }),
    }
}

/// `first-last` or one port.
fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits {
            text.parse::<u16>().ok()
        } else {
            None
        }
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::{ExposeError, parse};

    #[test]
    fn ports() {
        let cases = [
            ("80", vec!["80/tcp"]),
            ("80/tcp", vec!["80/tcp"]),
            ("53/UDP", vec!["53/udp"]),
            ("9899/sctp", vec!["9899/sctp"]),
            ("8000-8002/udp", vec!["8000/udp", "8001/udp", "8002/udp"]),
            ("80/", vec!["80/tcp"]),
            ("8080:80", vec!["80/tcp"]),
            ("127.0.0.1:8080:80/tcp", vec!["80/tcp"]),
            ("[::1]:8080:80", vec!["80/tcp"]),
            ("::1:8080:80", vec!["80/tcp"]),
            ("127.0.0.1::80", vec!["80/tcp"]),
            ("8080-8082:80", vec!["80/tcp"]),
            ("65535", vec!["65535/tcp"]),
        ];
        for (text, expected) in cases {
            let names: Vec<String> = parse(text).unwrap().names().collect();
            assert_eq!(names, expected, "{text}");
        }
    }

    #[test]
    fn refusals() {
        assert!(matches!(parse(""), Err(ExposeError::Missing { .. })));
        assert!(matches!(parse("/tcp"), Err(ExposeError::Missing { .. })));
        assert!(matches!(parse("http"), Err(ExposeError::Container { .. })));
        assert!(matches!(parse("65536"), Err(ExposeError::Container { .. })));
        assert!(matches!(parse("90-80"), Err(ExposeError::Container { .. })));
        assert!(matches!(parse("80-"), Err(ExposeError::Container { .. })));
        assert!(matches!(parse("+80"), Err(ExposeError::Container { .. })));
        assert!(matches!(
            parse("80/icmp"),
            Err(ExposeError::Protocol { .. })
        ));
        assert!(matches!(parse("x:80"), Err(ExposeError::Host { .. })));
        assert!(matches!(
            parse("1.2.3:80:80"),
            Err(ExposeError::Address { .. })
        ));
        assert!(matches!(
            parse("80-82:90-95"),
            Err(ExposeError::Host { .. }
                | ExposeError::Container { .. }
                | ExposeError::Ranges { .. })
        ));
    }

    #[test]
    fn every_port_is_bounded() {
        assert_eq!(parse("0-65535").unwrap().names().count(), 65536);
    }
}
