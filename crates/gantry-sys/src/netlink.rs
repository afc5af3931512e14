//! Route netlink, spoken directly: links, addresses and routes.
//!
//! Everything here is synchronous and small: build some [`Message`]s, send them in one batch
//! with [`Socket::transact`], learn which of them was refused and why. Nothing decides: names,
//! addresses and order are the caller's. The same socket and messages carry nf_tables
//! ([`crate::nftables`]).

mod address;
mod link;
mod message;
mod namespace;
mod route;
mod socket;

pub use address::{Address, AddressFlags, add_address, addresses, delete_address};
pub use link::{
    Link, LinkChange, LinkName, Mac, MacError, VethEnd, create_bridge, create_veth, delete_link,
    link, links, set_link,
};
pub use message::{Attribute, Attributes, Message};
pub use namespace::within;
pub use route::{Route, add_route, delete_route, route_to, routes};
pub use socket::{NetlinkError, Protocol, Reply, Socket};

/// Longest name of a network interface, in bytes.
pub const MAX_LINK_NAME: usize = 15;

#[cfg(test)]
mod tests;
