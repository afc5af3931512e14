//! The conditions rules are usually made of, as the sequences of expressions `nft` would make.

use std::net::Ipv4Addr;

use super::expression::{Comparison, CtKey, Expression, MetaKey, PayloadBase, Register};

/// `IPS_DST_NAT`
const DESTINATION_TRANSLATED: u32 = 0x20;
/// `RTN_LOCAL`
const LOCAL: u32 = 2;

const SOURCE_OFFSET: u32 = 12;
const DESTINATION_OFFSET: u32 = 16;

/// The packet's interface, by [`MetaKey::InputName`] or [`MetaKey::OutputName`], has (or has
/// not) this name.
pub fn interface(key: MetaKey, op: Comparison, name: &str) -> Vec<Expression> {
    let mut value = name.as_bytes().to_vec();
    value.resize(16, 0);
    let register = Register::FIRST;
    vec![
        Expression::Meta {
            key,
            into: register,
        },
        Expression::Compare {
            register,
            op,
            value,
        },
    ]
}

/// The source lies in this network.
pub fn source_network(network: Ipv4Addr, prefix: u8) -> Vec<Expression> {
    in_network(SOURCE_OFFSET, network, prefix)
}

/// The destination lies in this network.
pub fn destination_network(network: Ipv4Addr, prefix: u8) -> Vec<Expression> {
    in_network(DESTINATION_OFFSET, network, prefix)
}

fn in_network(offset: u32, network: Ipv4Addr, prefix: u8) -> Vec<Expression> {
    let mask = u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0);
    let octets = (u32::from(network) & mask).to_be_bytes();
    let register = Register::FIRST;
    // A whole number of bytes needs no mask: just those are loaded.
    let whole = prefix.is_multiple_of(8) && prefix > 0;
    let length = if whole { u32::from(prefix / 8) } else { 4 };
    let mut expressions = vec![Expression::Payload {
        base: PayloadBase::Network,
        offset,
        length,
        into: register,
    }];
    if !whole {
        expressions.push(Expression::Mask {
            register,
            mask: mask.to_be_bytes().to_vec(),
        });
    }
    let kept = if whole { usize::from(prefix / 8) } else { 4 };
    let value = octets[..kept].to_vec();
    expressions.push(Expression::Compare {
        register,
        op: Comparison::Equal,
        value,
    });
    expressions
}

/// The connection is in one of these states (bits of [`super::state`]).
pub fn ct_state(states: u32) -> Vec<Expression> {
    ct_bits(CtKey::State, states)
}

/// The connection's destination was translated.
pub fn ct_status_dnat() -> Vec<Expression> {
    ct_bits(CtKey::Status, DESTINATION_TRANSLATED)
}

fn ct_bits(key: CtKey, bits: u32) -> Vec<Expression> {
    let register = Register::FIRST;
    vec![
        Expression::Ct {
            key,
            direction: None,
            into: register,
        },
        Expression::Mask {
            register,
            mask: bits.to_ne_bytes().to_vec(),
        },
        Expression::Compare {
            register,
            op: Comparison::NotEqual,
            value: vec![0; 4],
        },
    ]
}

/// The destination is an address of this machine.
pub fn destination_type_local() -> Vec<Expression> {
    let register = Register::FIRST;
    vec![
        Expression::FibDestinationType { into: register },
        Expression::Compare {
            register,
            op: Comparison::Equal,
            value: LOCAL.to_ne_bytes().to_vec(),
        },
    ]
}
