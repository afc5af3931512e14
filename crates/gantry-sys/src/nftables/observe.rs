//! Reading back what stands: our own tables, and chains of others that may be in the way.

use crate::netlink::{Message, NetlinkError, Reply, Socket};

use super::object::{
    ChainKind, Element, Family, GET_CHAIN, GET_ELEMENT, GET_RULE, GET_TABLE, Hook, HookPoint,
    LIST_ELEMENT, NEW_CHAIN, NEW_ELEMENT, NEW_RULE, NEW_TABLE, Policy, TableName, comment_text,
};

/// Length of `struct nfgenmsg`.
const HEADER: usize = 4;

/// A table that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableView {
    /// Its name.
    pub name: String,
    /// The note it was made with.
    pub note: Option<String>,
}

/// A chain that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainView {
    /// The table it belongs to.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where it is hooked in, if it is; `None` also for places we have no name for.
    pub hook: Option<Hook>,
}

/// A rule that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleView {
    /// Its number in the table.
    pub handle: u64,
    /// Its note.
    pub comment: Option<String>,
}

/// The table of this name, if there is one.
pub fn table(socket: &mut Socket, name: TableName<'_>) -> Result<Option<TableView>, NetlinkError> {
    let purpose = format!("look up nf_tables table {}", name.name);
    let request = Message::new(GET_TABLE, 0, &name.family.header(), purpose).text(1, name.name);
    Ok(socket.get(&request)?.as_ref().and_then(parse_table))
}

/// All tables of a family.
pub fn tables(socket: &mut Socket, family: Family) -> Result<Vec<TableView>, NetlinkError> {
    let request = Message::new(GET_TABLE, 0, &family.header(), "list nf_tables tables");
    Ok(socket
        .dump(&request)?
        .iter()
        .filter_map(parse_table)
        .collect())
}

fn parse_table(reply: &Reply) -> Option<TableView> {
    if reply.kind != NEW_TABLE {
        return None;
    }
    let attributes = reply.attributes(HEADER);
    let note = attributes
        .attribute(6)
        .and_then(|userdata| comment_text(userdata.value));
    Some(TableView {
        name: attributes.attribute(1)?.text()?.to_owned(),
        note,
    })
}

/// The chain of this name, if there is one.
pub fn chain(
    socket: &mut Socket,
    table: TableName<'_>,
    name: &str,
) -> Result<Option<ChainView>, NetlinkError> {
    let purpose = format!("look up nf_tables chain {name}");
    let request = Message::new(GET_CHAIN, 0, &table.family.header(), purpose)
        .text(1, table.name)
        .text(3, name);
    Ok(socket.get(&request)?.as_ref().and_then(parse_chain))
}

/// All chains of a family.
pub fn chains(socket: &mut Socket, family: Family) -> Result<Vec<ChainView>, NetlinkError> {
    let request = Message::new(GET_CHAIN, 0, &family.header(), "list nf_tables chains");
    Ok(socket
        .dump(&request)?
        .iter()
        .filter_map(parse_chain)
        .collect())
}

fn parse_chain(reply: &Reply) -> Option<ChainView> {
    if reply.kind != NEW_CHAIN {
        return None;
    }
    let attributes = reply.attributes(HEADER);
    let text = |kind: u16| {
        attributes
            .attribute(kind)
            .and_then(|attribute| attribute.text())
    };
    let hook = || {
        let hook = attributes.attribute(4)?.nested();
        let point = match hook.attribute(1)?.be32()? {
            0 => HookPoint::Prerouting,
            1 => HookPoint::Input,
            2 => HookPoint::Forward,
            3 => HookPoint::Output,
            4 => HookPoint::Postrouting,
            _ => return None,
        };
        let kind = match text(7)? {
            "filter" => ChainKind::Filter,
            "nat" => ChainKind::Nat,
            _ => return None,
        };
        let policy = match attributes.attribute(5)?.be32()? {
            0 => Policy::Drop,
            _ => Policy::Accept,
        };
        let priority = i32::from_ne_bytes(hook.attribute(2)?.be32()?.to_ne_bytes());
        Some(Hook {
            kind,
            point,
            priority,
            policy,
        })
    };
    Some(ChainView {
        table: text(1)?.to_owned(),
        name: text(3)?.to_owned(),
        hook: hook(),
    })
}

/// The rules of a chain, in order.
pub fn rules(
    socket: &mut Socket,
    table: TableName<'_>,
    chain: &str,
) -> Result<Vec<RuleView>, NetlinkError> {
    let request = Message::new(GET_RULE, 0, &table.family.header(), "list nf_tables rules")
        .text(1, table.name)
        .text(2, chain);
    Ok(socket
        .dump(&request)?
        .iter()
        .filter_map(parse_rule)
        .collect())
}

fn parse_rule(reply: &Reply) -> Option<RuleView> {
    if reply.kind != NEW_RULE {
        return None;
    }
    let attributes = reply.attributes(HEADER);
    let handle = u64::from_be_bytes(attributes.attribute(3)?.value.try_into().ok()?);
    let comment = attributes
        .attribute(7)
        .and_then(|userdata| comment_text(userdata.value));
    Some(RuleView { handle, comment })
}

/// The elements of a map; `ENOENT` is an error of the table or map.
pub fn elements(
    socket: &mut Socket,
    table: TableName<'_>,
    map: &str,
) -> Result<Vec<Element>, NetlinkError> {
    let purpose = format!("list nf_tables map {map}");
    let request = Message::new(GET_ELEMENT, 0, &table.family.header(), purpose)
        .text(1, table.name)
        .text(2, map);
    let mut elements = Vec::new();
    for reply in socket
        .dump(&request)?
        .iter()
        .filter(|reply| reply.kind == NEW_ELEMENT)
    {
        let Some(list) = reply.attributes(HEADER).attribute(3) else {
            continue;
        };
        for item in list.nested().filter(|item| item.kind == LIST_ELEMENT) {
            let value = |kind: u16| {
                let data = item.nested().attribute(kind)?.nested().attribute(1)?;
                Some(data.value.to_vec())
            };
            let Some(key) = value(1) else { continue };
            elements.push(Element {
                key,
                value: value(2).unwrap_or_default(),
            });
        }
    }
    Ok(elements)
}
