//! IPv4 networks: parsing, overlap, handing out addresses.

use std::collections::HashSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv4 network such as `172.17.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    network: Ipv4Addr,
    prefix: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no IPv4 network such as 172.17.0.0/16")]
pub struct NotASubnet {
    text: String,
}

impl Subnet {
    /// The network that `address` belongs to with this length of prefix; `None` beyond 32.
    pub fn of(address: Ipv4Addr, prefix: u8) -> Option<Subnet> {
        let mask = mask(prefix)?;
        Some(Subnet {
            network: Ipv4Addr::from(u32::from(address) & mask),
            prefix,
        })
    }

    /// Its first address, which belongs to no host.
    pub fn network(&self) -> Ipv4Addr {
        self.network
    }

    /// Length of its prefix.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether the address lies in it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        Subnet::of(address, self.prefix) == Some(*self)
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: Subnet) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    /// The first host's address, the bridge's own.
    pub fn gateway(&self) -> Ipv4Addr {
        self.nth(1)
    }

    fn nth(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network).wrapping_add(offset))
    }

    /// How many addresses hosts beside the gateway can have.
    pub(crate) fn capacity(&self) -> u32 {
        let size = 1_u64 << (32 - u64::from(self.prefix.min(32)));
        u32::try_from(size.saturating_sub(3)).unwrap_or(u32::MAX)
    }

    /// A free address, going round from where the last one was found, so that an address is
    /// not used again while others still remember who had it. Gives the address and where to
    /// go on; `None` when all are taken.
    pub(crate) fn allocate(
        &self,
        used: &HashSet<Ipv4Addr>,
        cursor: u32,
    ) -> Option<(Ipv4Addr, u32)> {
        let capacity = self.capacity();
        (0..capacity).find_map(|step| {
            let at = cursor.checked_add(step)? % capacity;
            // Offset 0 is the network, 1 the gateway.
            let address = self.nth(at + 2);
            (!used.contains(&address)).then_some((address, (at + 1) % capacity))
        })
    }
}

fn mask(prefix: u8) -> Option<u32> {
    (prefix <= 32).then(|| u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0))
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = NotASubnet;

    fn from_str(text: &str) -> Result<Subnet, NotASubnet> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            Subnet::of(address.parse().ok()?, prefix.parse().ok()?)
        };
        parse().ok_or_else(|| NotASubnet {
            text: text.chars().take(60).collect(),
        })
    }
}

impl TryFrom<String> for Subnet {
    type Error = NotASubnet;

    fn try_from(text: String) -> Result<Subnet, NotASubnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> String {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_normalised() {
        assert_eq!(subnet("172.17.0.9/16").to_string(), "172.17.0.0/16");
        assert_eq!(subnet("0.0.0.0/0").to_string(), "0.0.0.0/0");
        for bad in [
            "",
            "172.17.0.0",
            "172.17.0.0/33",
            "172.17/16",
            "::/0",
            "1.2.3.4/-1",
        ] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn overlap_is_symmetric() {
        for (left, right, expected) in [
            ("172.17.0.0/16", "172.17.5.0/24", true),
            ("172.16.0.0/12", "172.17.0.0/16", true),
            ("172.17.0.0/16", "172.18.0.0/16", false),
            ("0.0.0.0/0", "10.0.0.0/8", true),
        ] {
            assert_eq!(subnet(left).overlaps(subnet(right)), expected);
            assert_eq!(subnet(right).overlaps(subnet(left)), expected);
        }
    }

    #[test]
    fn addresses_go_round_and_run_out() {
        let small = subnet("10.0.0.0/29");
        let (mut used, mut cursor) = (HashSet::new(), 0);
        for last in 2..=6 {
            let (address, next) = small.allocate(&used, cursor).unwrap();
            assert_eq!(address, Ipv4Addr::new(10, 0, 0, last));
            used.insert(address);
            cursor = next;
        }
        assert_eq!(small.allocate(&used, cursor), None);
        used.remove(&Ipv4Addr::new(10, 0, 0, 4));
        assert_eq!(
            small.allocate(&used, cursor).unwrap().0,
            Ipv4Addr::new(10, 0, 0, 4)
        );
        assert_eq!(subnet("10.0.0.0/30").capacity(), 1);
        assert_eq!(subnet("10.0.0.0/31").capacity(), 0);
        assert_eq!(subnet("10.0.0.0/32").allocate(&used, 0), None);
        assert_eq!(subnet("172.17.0.0/16").capacity(), 65533);
        assert_eq!(
            subnet("172.17.0.0/16").gateway(),
            Ipv4Addr::new(172, 17, 0, 1)
        );
    }
}
