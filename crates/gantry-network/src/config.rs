//! What a person may set about the default network.

use crate::subnet::Subnet;

/// Smallest bridge subnet: a gateway and one container.
pub(crate) const LONGEST_PREFIX: u8 = 30;

/// Settings of the default bridge network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkConfig {
    /// The subnet to use, come what may; `None` for the first of Docker's pools that nothing
    /// on the host uses.
    pub subnet: Option<Subnet>,
    /// Largest packet; `None` for that of the host's way out, at most 1500.
    pub mtu: Option<u32>,
}

/// The subnets to choose from, those of Docker: 172.17.0.0/16 to 172.31.0.0/16, then
/// 192.168.0.0/16 in pieces of /20.
pub(crate) fn pools() -> impl Iterator<Item = Subnet> {
    let large = (17..=31).map(|second| ([172, second, 0, 0], 16));
    let small = (0..=15).map(|third| ([192, 168, third * 16, 0], 20));
    large
        .chain(small)
        .filter_map(|(address, prefix)| Subnet::of(address.into(), prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_dockers() {
        let pools: Vec<String> = pools().map(|subnet| subnet.to_string()).collect();
        assert_eq!(pools.len(), 31);
        assert_eq!(pools[0], "172.17.0.0/16");
        assert_eq!(pools[14], "172.31.0.0/16");
        assert_eq!(pools[30], "192.168.240.0/20");
    }
}
