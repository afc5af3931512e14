//! Who has a port, from `/proc`: only looked up to explain a failure.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gantry_model::port::Protocol;

use crate::error::PortOwner;

/// State of a TCP socket that listens.
const LISTEN: &str = "0A";

/// The process with a socket at this address, or one that covers it.
pub(super) fn find(address: SocketAddr, protocol: Protocol) -> Option<PortOwner> {
    let tables = match protocol {
        Protocol::Udp => ["udp", "udp6"],
        Protocol::Tcp | Protocol::Sctp => ["tcp", "tcp6"],
    };
    let inode = tables.iter().find_map(|table| {
        // The thread's own view: `/proc/net` shows the main thread's.
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok()?;
        inode_at(&text, address, protocol != Protocol::Udp)
    })?;
    process_with_socket(inode)
}

/// The inode of the socket at `address` in the text of a table.
fn inode_at(table: &str, address: SocketAddr, must_listen: bool) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (ip, port) = parse_address(fields.get(1)?)?;
        let listens = fields.get(3) == Some(&LISTEN);
        let covers = ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified();
        (port == address.port() && covers && (listens || !must_listen))
            .then(|| fields.get(9)?.parse().ok())
            .flatten()
    })
}

/// `0100007F:1F90`: words of the address as this machine stores them, then the port.
fn parse_address(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        u32::from_str_radix(ip.get(at..at + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    let ip = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            let ip = Ipv6Addr::from(<[u8; 16]>::try_from(words.as_slice()).ok()?);
            ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
        }
        _ => return None,
    };
    Some((ip, port))
}

fn process_with_socket(inode: u64) -> Option<PortOwner> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find_map(|pid| {
            let mut fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
            fds.any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == &*wanted))
                .then(|| {
                    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                    PortOwner {
                        pid,
                        name: name.trim_end().to_owned(),
                    }
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0
   2: 0100007F:0050 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
";
    const TCP6: &str = "  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1 0 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 555 1 0 100 0 0 10 0
";

    #[test]
    fn sockets_are_found_by_address() {
        for (table, address, expected) in [
            (TCP, "127.0.0.1:8080", Some(111)),
            (TCP, "0.0.0.0:8080", Some(111)),
            (TCP, "192.0.2.1:8080", None),
            (TCP, "192.0.2.1:22", Some(222)),
            (TCP, "127.0.0.1:80", None),
            (TCP6, "127.0.0.1:8081", Some(444)),
            (TCP6, "127.0.0.1:8082", Some(555)),
            (TCP6, "192.0.2.1:8082", None),
            ("", "127.0.0.1:1", None),
            ("x\ny z\n", "127.0.0.1:1", None),
        ] {
            let found = inode_at(table, address.parse().unwrap(), true);
            assert_eq!(found, expected, "{address}");
        }
        assert_eq!(
            inode_at(TCP, "127.0.0.1:80".parse().unwrap(), false),
            Some(333)
        );
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = find(listener.local_addr().unwrap(), Protocol::Tcp).unwrap();
        assert_eq!(owner.pid, std::process::id());
    }
}
