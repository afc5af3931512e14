//! Networks of IP addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Answer, Function, Parameter, Problem, number, text, whole};
use crate::surroundings::Surroundings;
use crate::value::Value;

const PREFIX: Parameter = Parameter::text("prefix");

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "cidrhost",
        parameters: &[PREFIX, Parameter::number("hostnum")],
        rest: None,
        run: host,
    },
    Function {
        name: "cidrnetmask",
        parameters: &[PREFIX],
        rest: None,
        run: |_, a| {
            let network = Network::parse(a)?;
            if network.width != 32 {
                return Err(Problem::at(0, "only networks of IPv4 have a mask"));
            }
            let mask = !network.hosts();
            Ok(Value::from(network.address(mask).to_string()))
        },
    },
    Function {
        name: "cidrsubnet",
        parameters: &[
            PREFIX,
            Parameter::number("newbits"),
            Parameter::number("netnum"),
        ],
        rest: None,
        run: subnet,
    },
    Function {
        name: "cidrsubnets",
        parameters: &[PREFIX],
        rest: Some(Parameter::number("newbits")),
        run: subnets,
    },
];

/// A network: the first address and the length of the prefix.
#[derive(Debug, Clone, Copy)]
struct Network {
    first: u128,
    prefix: u32,
    /// 32 or 128.
    width: u32,
}

impl Network {
    fn parse(arguments: &[Value]) -> Result<Self, Problem> {
        let written = text(arguments, 0);
        let wrong = || Problem::at(0, format!("{written:?} is no network as 10.0.0.0/8"));
        let (address, prefix) = written.split_once('/').ok_or_else(wrong)?;
        let (bits, width) = match address.parse().map_err(|_| wrong())? {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let prefix = prefix
            .parse()
            .ok()
            .filter(|prefix| *prefix <= width)
            .ok_or_else(wrong)?;
        let network = Self {
            first: bits,
            prefix,
            width,
        };
        Ok(Self {
            first: bits & !network.hosts(),
            ..network
        })
    }

    /// The bits that tell hosts apart.
    fn hosts(self) -> u128 {
        let bits = self.width - self.prefix;
        1_u128
            .checked_shl(bits)
            .map_or(u128::MAX, |beyond| beyond - 1)
    }

    fn address(self, bits: u128) -> IpAddr {
        match u32::try_from(bits & u128::from(u32::MAX)) {
            Ok(bits) if self.width == 32 => IpAddr::V4(Ipv4Addr::from(bits)),
            _ => IpAddr::V6(Ipv6Addr::from(bits)),
        }
    }

    /// The network of that number among those with `more` bits of prefix.
    fn part(self, more: u32, number: u128) -> Option<Self> {
        let prefix = self
            .prefix
            .checked_add(more)
            .filter(|prefix| *prefix <= self.width)?;
        if more < 128 && number >> more != 0 {
            return None;
        }
        let shifted = number.checked_shl(self.width - prefix).unwrap_or(0);
        Some(Self {
            first: self.first | shifted,
            prefix,
            width: self.width,
        })
    }

    fn written(self) -> String {
        format!("{}/{}", self.address(self.first), self.prefix)
    }
}

/// A negative number counts from the end.
fn host(_: &Surroundings, arguments: &[Value]) -> Answer {
    let network = Network::parse(arguments)?;
    let number = number(arguments, 1).to_integer();
    let number = number.and_then(|number| i128::try_from(number).ok());
    let number = number.ok_or_else(|| Problem::at(1, "a whole number is required"))?;
    let offset = if number < 0 {
        network.hosts().checked_sub(number.unsigned_abs() - 1)
    } else {
        Some(number.unsigned_abs()).filter(|offset| *offset <= network.hosts())
    };
    let beyond = || Problem::at(1, format!("the network has no host {number}"));
    let offset = offset.ok_or_else(beyond)?;
    Ok(Value::from(
        network.address(network.first | offset).to_string(),
    ))
}

fn bits(arguments: &[Value], at: usize) -> Result<u32, Problem> {
    let bits = u32::try_from(whole(arguments, at)?).ok();
    bits.ok_or_else(|| Problem::at(at, "a number of bits is required"))
}

fn subnet(_: &Surroundings, arguments: &[Value]) -> Answer {
    let network = Network::parse(arguments)?;
    let number = number(arguments, 2).to_integer();
    let part = number
        .and_then(|number| u128::try_from(number).ok())
        .zip(Some(bits(arguments, 1)?))
        .and_then(|(number, more)| network.part(more, number));
    let part = part.ok_or_else(|| Problem::new("the network has no such part"))?;
    Ok(Value::from(part.written()))
}

/// Parts one behind the other, each at the next place that its size allows.
fn subnets(_: &Surroundings, arguments: &[Value]) -> Answer {
    let network = Network::parse(arguments)?;
    let full = |at: usize| Problem::at(at, "there is no room left for this part");
    let mut next = Some(network.first);
    let mut parts = Vec::new();
    for at in 1..arguments.len() {
        let more = bits(arguments, at)?;
        if more == 0 {
            return Err(Problem::at(at, "at least one bit is required"));
        }
        let part = network.part(more, 0).ok_or_else(|| full(at))?;
        let size = part.hosts();
        let first = next
            .and_then(|next| next.checked_add(size))
            .map(|beyond| beyond & !size);
        let first = first.filter(|first| first & !network.hosts() == network.first);
        let part = Network {
            first: first.ok_or_else(|| full(at))?,
            ..part
        };
        next = (part.first | size).checked_add(1);
        parts.push(part.written());
    }
    Ok(Value::strings(parts))
}
