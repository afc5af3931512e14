//! The instructions a rule is made of.

use crate::netlink::Message;

const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const REGISTER_VERDICT: u32 = 0;
const NFPROTO_IPV4: u32 = 2;

/// A register of the rule's little machine: 16 words of 4 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Register(u32);

impl Register {
    /// The first word; also where values wider than a word begin.
    pub const FIRST: Register = Register(1);

    /// The word at `index` (0 to 15), the next part of a key that is put together.
    pub const fn word(index: u32) -> Register {
        if index == 0 {
            Register::FIRST
        } else {
            Register(8 + index)
        }
    }
}

/// What is known about a packet beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaKey {
    /// Number of the interface it came in through.
    InputIndex,
    /// Number of the interface it leaves through.
    OutputIndex,
    /// Name of the interface it came in through.
    InputName,
    /// Name of the interface it leaves through.
    OutputName,
    /// Transport protocol.
    TransportProtocol,
}

/// What is known about a packet's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CtKey {
    /// See [`super::state`].
    State,
    /// Bits such as "its destination was translated".
    Status,
    /// IPv4 destination; needs a direction.
    DestinationAddress,
    /// Destination port; needs a direction.
    DestinationPort,
}

/// The two ways of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// As its first packet.
    Original,
    /// As the answers.
    Reply,
}

/// Where the offset into a packet counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadBase {
    /// The IP header.
    Network,
    /// The TCP or UDP header.
    Transport,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Is.
    Equal,
    /// Is not.
    NotEqual,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This chain lets it pass.
    Accept,
    /// It is gone, whatever other tables say.
    Drop,
    /// Back to the calling chain, or the policy.
    Return,
    /// On with another chain, then here again.
    Jump(String),
}

/// One instruction. A comparison that fails ends its rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads something about the packet.
    Meta {
        /// What.
        key: MetaKey,
        /// Where to.
        into: Register,
    },
    /// Loads bytes of the packet.
    Payload {
        /// From where the offset counts.
        base: PayloadBase,
        /// First byte.
        offset: u32,
        /// How many bytes.
        length: u32,
        /// Where to.
        into: Register,
    },
    /// Loads something about the connection.
    Ct {
        /// What.
        key: CtKey,
        /// Of which direction, for keys that have two.
        direction: Option<Direction>,
        /// Where to.
        into: Register,
    },
    /// Loads the kind of the destination address (local, broadcast, ...).
    FibDestinationType {
        /// Where to.
        into: Register,
    },
    /// Loads a constant.
    Load {
        /// The constant, in network byte order where the packet would have it so.
        value: Vec<u8>,
        /// Where to.
        into: Register,
    },
    /// Compares a register with a value.
    Compare {
        /// Which register.
        register: Register,
        /// How.
        op: Comparison,
        /// The value, in network byte order where the packet has it so.
        value: Vec<u8>,
    },
    /// Keeps the bits of a mask.
    Mask {
        /// Which register.
        register: Register,
        /// The mask.
        mask: Vec<u8>,
    },
    /// Looks a key up; a key that is absent ends the rule.
    Lookup {
        /// Name of the set or map.
        set: String,
        /// Where the key begins.
        key: Register,
        /// Where a map's value goes.
        into: Option<Register>,
    },
    /// Decides.
    Verdict(Verdict),
    /// Counts packets and bytes.
    Counter,
    /// Translates the destination to an IPv4 address and perhaps a port.
    DestinationNat {
        /// Where the address is.
        address: Register,
        /// Where the port is.
        port: Option<Register>,
    },
    /// Translates the source to the address of the interface the packet leaves through.
    Masquerade,
}

impl Expression {
    fn name(&self) -> &'static str {
        match self {
            Expression::Meta { .. } => "meta",
            Expression::Payload { .. } => "payload",
            Expression::Ct { .. } => "ct",
            Expression::FibDestinationType { .. } => "fib",
            Expression::Compare { .. } => "cmp",
            Expression::Mask { .. } => "bitwise",
            Expression::Lookup { .. } => "lookup",
            Expression::Load { .. } | Expression::Verdict(_) => "immediate",
            Expression::Counter => "counter",
            Expression::DestinationNat { .. } => "nat",
            Expression::Masquerade => "masq",
        }
    }

    /// Adds the expression's name and data.
    pub(super) fn encode(&self, message: Message) -> Message {
        message
            .text(EXPRESSION_NAME, self.name())
            .nest(EXPRESSION_DATA, |data| self.encode_data(data))
    }

    fn encode_data(&self, data: Message) -> Message {
        match self {
            Expression::Meta { key, into } => data.be32(2, key.code()).be32(1, into.0),
            Expression::Payload {
                base,
                offset,
                length,
                into,
            } => data
                .be32(1, into.0)
                .be32(
                    2,
                    match base {
                        PayloadBase::Network => 1,
                        PayloadBase::Transport => 2,
                    },
                )
                .be32(3, *offset)
                .be32(4, *length),
            Expression::Ct {
                key,
                direction,
                into,
            } => {
                let data = data.be32(1, into.0).be32(2, key.code());
                match direction {
                    Some(Direction::Original) => data.bytes(3, &[0]),
                    Some(Direction::Reply) => data.bytes(3, &[1]),
                    None => data,
                }
            }
            // Result "address type" of the destination.
            Expression::FibDestinationType { into } => data.be32(1, into.0).be32(2, 3).be32(3, 2),
            Expression::Load { value, into } => data
                .be32(1, into.0)
                .nest(2, |nested| nested.bytes(DATA_VALUE, value)),
            Expression::Compare {
                register,
                op,
                value,
            } => data
                .be32(1, register.0)
                .be32(
                    2,
                    match op {
                        Comparison::Equal => 0,
                        Comparison::NotEqual => 1,
                    },
                )
                .nest(3, |nested| nested.bytes(DATA_VALUE, value)),
            Expression::Mask { register, mask } => {
                let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
                let zero = vec![0; mask.len()];
                data.be32(1, register.0)
                    .be32(2, register.0)
                    .be32(3, length)
                    .nest(4, |nested| nested.bytes(DATA_VALUE, mask))
                    .nest(5, |nested| nested.bytes(DATA_VALUE, &zero))
            }
            Expression::Lookup { set, key, into } => {
                let data = data.text(1, set).be32(2, key.0);
                match into {
                    Some(into) => data.be32(3, into.0),
                    None => data,
                }
            }
            Expression::Verdict(verdict) => data.be32(1, REGISTER_VERDICT).nest(2, |nested| {
                nested.nest(DATA_VERDICT, |data| verdict.encode(data))
            }),
            Expression::Counter => data.bytes(1, &[0; 8]).bytes(2, &[0; 8]),
            Expression::DestinationNat { address, port } => {
                let data = data.be32(1, 1).be32(2, NFPROTO_IPV4).be32(3, address.0);
                match port {
                    Some(port) => data.be32(5, port.0),
                    None => data,
                }
            }
            Expression::Masquerade => data,
        }
    }
}

impl Verdict {
    fn encode(&self, data: Message) -> Message {
        let code = |code: i32| u32::from_ne_bytes(code.to_ne_bytes());
        match self {
            Verdict::Drop => data.be32(VERDICT_CODE, 0),
            Verdict::Accept => data.be32(VERDICT_CODE, 1),
            Verdict::Return => data.be32(VERDICT_CODE, code(-5)),
            Verdict::Jump(chain) => data.be32(VERDICT_CODE, code(-3)).text(VERDICT_CHAIN, chain),
        }
    }
}

impl MetaKey {
    fn code(self) -> u32 {
        match self {
            MetaKey::InputIndex => 4,
            MetaKey::OutputIndex => 5,
            MetaKey::InputName => 6,
            MetaKey::OutputName => 7,
            MetaKey::TransportProtocol => 16,
        }
    }
}

impl CtKey {
    fn code(self) -> u32 {
        match self {
            CtKey::State => 0,
            CtKey::Status => 2,
            CtKey::DestinationPort => 12,
            CtKey::DestinationAddress => 20,
        }
    }
}
