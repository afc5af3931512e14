//! Requests that make and delete tables, chains, rules, maps and elements.

use crate::netlink::Message;

use super::expression::Expression;

const SUBSYSTEM: u16 = 10 << 8;
pub(super) const NEW_TABLE: u16 = SUBSYSTEM;
pub(super) const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
pub(super) const NEW_CHAIN: u16 = SUBSYSTEM | 3;
pub(super) const GET_CHAIN: u16 = SUBSYSTEM | 4;
pub(super) const NEW_RULE: u16 = SUBSYSTEM | 6;
pub(super) const GET_RULE: u16 = SUBSYSTEM | 7;
const DELETE_RULE: u16 = SUBSYSTEM | 8;
const NEW_SET: u16 = SUBSYSTEM | 9;
pub(super) const NEW_ELEMENT: u16 = SUBSYSTEM | 12;
pub(super) const GET_ELEMENT: u16 = SUBSYSTEM | 13;
const DELETE_ELEMENT: u16 = SUBSYSTEM | 14;

const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
const APPEND: u16 = 0x800;

pub(super) const LIST_ELEMENT: u16 = 1;
const SET_IS_MAP: u32 = 8;

/// Elements in one message: far below what its 16-bit length allows.
const ELEMENTS_PER_MESSAGE: usize = 256;

/// The kind of packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
}

impl Family {
    pub(super) fn header(self) -> [u8; 4] {
        let family = match self {
            Family::Inet => 1,
            Family::Ip => 2,
            Family::Ip6 => 10,
        };
        [family, 0, 0, 0]
    }
}

/// A table's full name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TableName<'a> {
    /// What it sees.
    pub family: Family,
    /// Its name.
    pub name: &'a str,
}

/// What a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Let pass or not.
    Filter,
    /// Translate addresses; sees only the first packet of a connection.
    Nat,
}

/// Where on its way a packet meets a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPoint {
    /// Before it is routed.
    Prerouting,
    /// When it is for this machine.
    Input,
    /// When it is for another.
    Forward,
    /// When this machine made it.
    Output,
    /// Before it leaves.
    Postrouting,
}

impl HookPoint {
    pub(super) fn number(self) -> u32 {
        match self {
            HookPoint::Prerouting => 0,
            HookPoint::Input => 1,
            HookPoint::Forward => 2,
            HookPoint::Output => 3,
            HookPoint::Postrouting => 4,
        }
    }
}

/// What becomes of packets that no rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// They pass.
    Accept,
    /// They are gone.
    Drop,
}

/// What makes a chain a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// What it may do.
    pub kind: ChainKind,
    /// Where.
    pub point: HookPoint,
    /// The lower, the earlier.
    pub priority: i32,
    /// For undecided packets.
    pub policy: Policy,
}

/// A chain to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain<'a> {
    /// Its table.
    pub table: TableName<'a>,
    /// Its name.
    pub name: &'a str,
    /// Where it is hooked in; `None` for one that is only jumped to.
    pub hook: Option<Hook>,
}

/// A rule to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule<'a> {
    /// Its table.
    pub table: TableName<'a>,
    /// Its chain.
    pub chain: &'a str,
    /// What it does.
    pub expressions: Vec<Expression>,
    /// A note that `nft` shows.
    pub comment: Option<&'a str>,
}

/// Types of the parts of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datatype {
    /// An IPv4 address.
    Ipv4Address,
    /// A transport protocol.
    InternetProtocol,
    /// A port.
    InternetService,
}

impl Datatype {
    /// `nft`'s number of the type, which it needs to print elements.
    fn code(self) -> u32 {
        match self {
            Datatype::Ipv4Address => 7,
            Datatype::InternetProtocol => 12,
            Datatype::InternetService => 13,
        }
    }

    fn join(parts: &[Datatype]) -> u32 {
        parts
            .iter()
            .fold(0, |joined, part| joined << 6 | part.code())
    }

    /// Each part takes a whole register.
    fn length(parts: &[Datatype]) -> u32 {
        4 * u32::try_from(parts.len()).unwrap_or(u32::MAX / 4)
    }
}

/// A map to be: from keys to values, each of several parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map<'a> {
    /// Its table.
    pub table: TableName<'a>,
    /// Its name.
    pub name: &'a str,
    /// Parts of the key.
    pub key: &'a [Datatype],
    /// Parts of the value.
    pub value: &'a [Datatype],
}

/// An element of a map; each part in network byte order, padded to four bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Element {
    /// The key.
    pub key: Vec<u8>,
    /// The value; not needed to delete it.
    pub value: Vec<u8>,
}

/// A comment as `nft` stores it, which leaves room for 253 bytes.
fn comment(text: &str) -> Vec<u8> {
    let mut end = text.len().min(253);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut bytes = vec![0, u8::try_from(end + 1).unwrap_or(u8::MAX)];
    bytes.extend(&text.as_bytes()[..end]);
    bytes.push(0);
    bytes
}

/// The text of a comment that `nft` or we stored.
pub(super) fn comment_text(mut bytes: &[u8]) -> Option<String> {
    while let Some((&[kind, length], rest)) = bytes.split_first_chunk::<2>() {
        let value = rest.get(..usize::from(length))?;
        if kind == 0 {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return String::from_utf8(text.to_vec()).ok();
        }
        bytes = &rest[usize::from(length)..];
    }
    None
}

/// Makes a table, with a note that [`super::table`] gives back.
pub fn add_table(table: TableName<'_>, note: &str) -> Message {
    let purpose = format!("create nf_tables table {}", table.name);
    Message::new(
        NEW_TABLE,
        CREATE | EXCLUSIVE,
        &table.family.header(),
        purpose,
    )
    .text(1, table.name)
    .be32(2, 0)
    .bytes(6, &comment(note))
}

/// Deletes a table with everything in it.
pub fn delete_table(table: TableName<'_>) -> Message {
    let purpose = format!("delete nf_tables table {}", table.name);
    Message::new(DELETE_TABLE, 0, &table.family.header(), purpose).text(1, table.name)
}

/// Makes a chain.
pub fn add_chain(chain: &Chain<'_>) -> Message {
    let purpose = format!("create nf_tables chain {}", chain.name);
    let message = Message::new(NEW_CHAIN, CREATE, &chain.table.family.header(), purpose)
        .text(1, chain.table.name)
        .text(3, chain.name);
    let Some(hook) = chain.hook else {
        return message;
    };
    let policy = match hook.policy {
        Policy::Drop => 0,
        Policy::Accept => 1,
    };
    let kind = match hook.kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
    };
    let priority = u32::from_ne_bytes(hook.priority.to_ne_bytes());
    message
        .nest(4, |nested| {
            nested.be32(1, hook.point.number()).be32(2, priority)
        })
        .be32(5, policy)
        .text(7, kind)
}

fn add_rule(rule: &Rule<'_>, flags: u16) -> Message {
    let purpose = format!("add a rule to nf_tables chain {}", rule.chain);
    let message = Message::new(
        NEW_RULE,
        CREATE | flags,
        &rule.table.family.header(),
        purpose,
    )
    .text(1, rule.table.name)
    .text(2, rule.chain)
    .nest(4, |list| {
        rule.expressions.iter().fold(list, |list, expression| {
            list.nest(LIST_ELEMENT, |message| expression.encode(message))
        })
    });
    match rule.comment {
        Some(text) => message.bytes(7, &comment(text)),
        None => message,
    }
}

/// Adds a rule behind the others of its chain.
pub fn append_rule(rule: &Rule<'_>) -> Message {
    add_rule(rule, APPEND)
}

/// Adds a rule before the others of its chain.
pub fn insert_rule(rule: &Rule<'_>) -> Message {
    add_rule(rule, 0)
}

/// Deletes the rule with this handle.
pub fn delete_rule(table: TableName<'_>, chain: &str, handle: u64) -> Message {
    let purpose = format!("delete a rule of nf_tables chain {chain}");
    Message::new(DELETE_RULE, 0, &table.family.header(), purpose)
        .text(1, table.name)
        .text(2, chain)
        .bytes(3, &handle.to_be_bytes())
}

/// Makes a map. `id` tells apart the maps of one transaction.
pub fn add_map(map: &Map<'_>, id: u32) -> Message {
    let purpose = format!("create nf_tables map {}", map.name);
    Message::new(NEW_SET, CREATE, &map.table.family.header(), purpose)
        .text(1, map.table.name)
        .text(2, map.name)
        .be32(3, SET_IS_MAP)
        .be32(4, Datatype::join(map.key))
        .be32(5, Datatype::length(map.key))
        .be32(6, Datatype::join(map.value))
        .be32(7, Datatype::length(map.value))
        .be32(10, id)
}

fn element_messages(
    kind: u16,
    flags: u16,
    table: TableName<'_>,
    set: &str,
    elements: &[Element],
    with_value: bool,
) -> Vec<Message> {
    let verb = if with_value { "add to" } else { "delete from" };
    let one = |list: Message, element: &Element| {
        list.nest(LIST_ELEMENT, |item| {
            let item = item.nest(1, |key| key.bytes(1, &element.key));
            if with_value {
                item.nest(2, |value| value.bytes(1, &element.value))
            } else {
                item
            }
        })
    };
    let chunks = elements.chunks(ELEMENTS_PER_MESSAGE);
    chunks
        .map(|chunk| {
            let purpose = format!("{verb} nf_tables map {set}");
            Message::new(kind, flags, &table.family.header(), purpose)
                .text(1, table.name)
                .text(2, set)
                .nest(3, |list| chunk.iter().fold(list, one))
        })
        .collect()
}

/// Adds elements; one that exists with another value is refused with `EEXIST`.
pub fn add_elements(table: TableName<'_>, map: &str, elements: &[Element]) -> Vec<Message> {
    element_messages(NEW_ELEMENT, CREATE, table, map, elements, true)
}

/// Deletes elements; one that does not exist is refused with `ENOENT`.
pub fn delete_elements(table: TableName<'_>, map: &str, elements: &[Element]) -> Vec<Message> {
    element_messages(DELETE_ELEMENT, 0, table, map, elements, false)
}
