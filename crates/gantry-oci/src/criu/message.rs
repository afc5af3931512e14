//! The form of criu's messages: Protocol Buffers, of which they use numbers and byte strings.

/// A message that is being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

const NUMBER: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const BYTES: u64 = 2;
const FOUR_BYTES: u64 = 5;

impl Message {
    /// A number, a truth value or the number of an enumeration.
    pub(super) fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3 | NUMBER);
        self.varint(value);
    }

    /// Text or a message of its own.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    /// The message as it is sent.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

/// What one field of a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number.
    Number(u64),
    /// Text or a message of its own.
    Bytes(&'a [u8]),
}

/// The fields of a received message in their order; `None` when it is damaged.
pub(super) fn fields(mut bytes: &[u8]) -> Option<Vec<(u32, Value<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let field = u32::try_from(key >> 3).ok()?;
        let length = match key & 7 {
            NUMBER => {
                fields.push((field, Value::Number(take_varint(&mut bytes)?)));
                continue;
            }
            BYTES => usize::try_from(take_varint(&mut bytes)?).ok()?,
            EIGHT_BYTES => 8,
            FOUR_BYTES => 4,
            _ => return None,
        };
        let (value, rest) = bytes.split_at_checked(length)?;
        fields.push((field, Value::Bytes(value)));
        bytes = rest;
    }
    Some(fields)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_through() {
        let mut message = Message::default();
        for (field, value) in [(1, 0), (2, 127), (50, 128), (300, u64::MAX)] {
            message.number(field, value);
        }
        message.bytes(13, b"/root");
        let read = fields(message.as_bytes()).unwrap();
        let want = [
            (1, Value::Number(0)),
            (2, Value::Number(127)),
            (50, Value::Number(128)),
            (300, Value::Number(u64::MAX)),
            (13, Value::Bytes(b"/root")),
        ];
        assert_eq!(read, want);
        // As the specification of the form has it: field 1, 150.
        assert_eq!(
            fields(&[0x08, 0x96, 0x01]).unwrap(),
            [(1, Value::Number(150))]
        );
    }

    #[test]
    fn damaged_messages_are_refused() {
        let mut message = Message::default();
        message.bytes(13, b"/root");
        for length in 1..message.as_bytes().len() {
            assert_eq!(fields(&message.as_bytes()[..length]), None, "{length}");
        }
        assert_eq!(fields(&[0x08, 0xff, 0xff, 0xff]), None);
        assert_eq!(fields(&[0x0b]), None);
    }
}
