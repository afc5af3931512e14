//! nf_tables, spoken directly: tables, chains, rules, maps and their elements.
//!
//! Everything is a [`Message`](crate::netlink::Message) for a socket of
//! [`Protocol::Netfilter`](crate::netlink::Protocol::Netfilter); many of them sent with
//! [`Socket::transact_atomically`](crate::netlink::Socket::transact_atomically) are one
//! transaction. What is observed is what a caller needs to see whether its own table still
//! stands and what others forbid. This module knows how rules are encoded, never which rules
//! there should be.

pub mod conntrack;
mod expression;
pub mod legacy;
mod matching;
mod object;
mod observe;

pub use expression::{
    Comparison, CtKey, Direction, Expression, MetaKey, PayloadBase, Register, Verdict,
};
pub use matching::{
    ct_state, ct_status_dnat, destination_network, destination_type_local, interface,
    source_network,
};
pub use object::{
    Chain, ChainKind, Datatype, Element, Family, Hook, HookPoint, Map, Policy, Rule, TableName,
    add_chain, add_elements, add_map, add_table, append_rule, delete_elements, delete_rule,
    delete_table, insert_rule,
};
pub use observe::{ChainView, RuleView, TableView, chain, chains, elements, rules, table, tables};

/// States of a connection, as bits for [`ct_state`].
pub mod state {
    /// Belongs to no connection and opens none.
    pub const INVALID: u32 = 1;
    /// Has seen packets both ways.
    pub const ESTABLISHED: u32 = 2;
    /// Opened on behalf of another one.
    pub const RELATED: u32 = 4;
    /// Its first packet.
    pub const NEW: u32 = 8;
}

#[cfg(test)]
mod tests;
