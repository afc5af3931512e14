//! What a unit is given, in the types of D-Bus.

use std::borrow::Cow;

use crate::wire::Writer;

/// A property of a unit (org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name on the bus.
    pub name: Cow<'static, str>,
    /// Its value.
    pub value: Value,
}

impl Property {
    /// A property of this name.
    pub fn new(name: impl Into<Cow<'static, str>>, value: Value) -> Property {
        Property {
            name: name.into(),
            value,
        }
    }
}

/// A value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `i`
    Integer(i32),
    /// `u`
    Unsigned(u32),
    /// `t`; `u64::MAX` is infinity.
    Number(u64),
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `au`
    Processes(Vec<u32>),
    /// `ay`: bit n of byte n / 8 stands for number n.
    Bits(Vec<u8>),
    /// `a(st)`: a device file and a number each.
    Devices(Vec<(String, u64)>),
}

impl Value {
    /// The signature of the value (D-Bus specification, "Type system").
    fn signature(&self) -> &'static str {
        match self {
            Value::Bool(_) => "b",
            Value::Integer(_) => "i",
            Value::Unsigned(_) => "u",
            Value::Number(_) => "t",
            Value::Text(_) => "s",
            Value::Texts(_) => "as",
            Value::Processes(_) => "au",
            Value::Bits(_) => "ay",
            Value::Devices(_) => "a(st)",
        }
    }

    /// Writes the value as a variant.
    fn write(&self, out: &mut Writer) {
        out.signature(self.signature());
        match self {
            Value::Bool(value) => out.u32((*value).into()),
            Value::Integer(value) => out.u32(value.cast_unsigned()),
            Value::Unsigned(value) => out.u32(*value),
            Value::Number(value) => out.u64(*value),
            Value::Text(value) => out.text(value),
            Value::Texts(values) => out.array(4, |out| values.iter().for_each(|v| out.text(v))),
            Value::Processes(values) => out.array(4, |out| values.iter().for_each(|v| out.u32(*v))),
            Value::Bits(values) => out.array(1, |out| values.iter().for_each(|v| out.byte(*v))),
            Value::Devices(values) => out.array(8, |out| {
                for (device, number) in values {
                    out.align(8);
                    out.text(device);
                    out.u64(*number);
                }
            }),
        }
    }
}

/// Writes properties as `a(sv)`.
pub(crate) fn write(out: &mut Writer, properties: &[Property]) {
    out.array(8, |out| {
        for property in properties {
            out.align(8);
            out.text(&property.name);
            property.value.write(out);
        }
    });
}
