//! Where further names in `/etc/hosts` of a step lead.

use std::fmt;
use std::net::{AddrParseError, IpAddr};
use std::str::FromStr;

/// Where a further name in `/etc/hosts` leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAddress {
    /// To this address.
    Address(IpAddr),
    /// To the machine that builds, at the address where the step reaches it (`host-gateway`).
    Gateway,
}

impl HostAddress {
    /// How the machine that builds is written as long as its address is not known.
    pub const GATEWAY: &'static str = "host-gateway";
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Gateway => f.write_str(Self::GATEWAY),
        }
    }
}

impl FromStr for HostAddress {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        match text {
            Self::GATEWAY => Ok(Self::Gateway),
            text => text.parse().map(Self::Address),
        }
    }
}
