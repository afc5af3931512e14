//! Building and reading netlink messages and their attributes.

use std::borrow::Cow;

/// Marks an attribute as holding attributes.
const NESTED: u16 = 0x8000;
/// The type of an attribute without its two flag bits.
const TYPE_MASK: u16 = 0x3fff;
/// Length of a netlink message header.
pub(super) const HEADER: usize = 16;

/// One request, without its netlink header: sequence numbers are given when it is sent.
#[derive(Debug, Clone)]
pub struct Message {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) payload: Vec<u8>,
    pub(super) purpose: Cow<'static, str>,
    pub(super) tolerated: &'static [i32],
    /// An attribute was longer than its 16-bit length can say.
    pub(super) overflowed: bool,
}

impl Message {
    /// A message of a type with flags, starting with its family's fixed header. `purpose`
    /// finishes the sentence "cannot ..." should the kernel refuse.
    pub fn new(
        kind: u16,
        flags: u16,
        header: &[u8],
        purpose: impl Into<Cow<'static, str>>,
    ) -> Message {
        Message {
            kind,
            flags,
            payload: header.to_vec(),
            purpose: purpose.into(),
            tolerated: &[],
            overflowed: false,
        }
    }

    /// The same message, for which these error numbers count as success.
    #[must_use]
    pub fn tolerating(mut self, errnos: &'static [i32]) -> Message {
        self.tolerated = errnos;
        self
    }

    /// Adds an attribute with these bytes.
    #[must_use]
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Message {
        let start = self.open(kind);
        self.payload.extend(value);
        self.close(start);
        self
    }

    /// Adds an attribute with a text and its terminating NUL.
    #[must_use]
    pub fn text(mut self, kind: u16, value: &str) -> Message {
        let start = self.open(kind);
        self.payload.extend(value.as_bytes());
        self.payload.push(0);
        self.close(start);
        self
    }

    /// Adds a number in the machine's byte order.
    #[must_use]
    pub fn u32(self, kind: u16, value: u32) -> Message {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Adds a number in network byte order.
    #[must_use]
    pub fn be32(self, kind: u16, value: u32) -> Message {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Adds an attribute that holds what `fill` adds.
    #[must_use]
    pub fn nest(mut self, kind: u16, fill: impl FnOnce(Message) -> Message) -> Message {
        let start = self.open(kind | NESTED);
        self = fill(self);
        self.close(start);
        self
    }

    /// Adds bytes that are no attribute: the fixed header of a nested message.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Message {
        self.payload.extend(bytes);
        self
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.payload.len();
        self.payload.extend(0_u16.to_ne_bytes());
        self.payload.extend(kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        match u16::try_from(self.payload.len() - start) {
            Ok(length) => self.payload[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.overflowed = true,
        }
        let padding = self.payload.len().next_multiple_of(4) - self.payload.len();
        self.payload.extend(&[0; 3][..padding]);
    }

    /// Appends the message with its header to `buffer`.
    pub(super) fn write(&self, buffer: &mut Vec<u8>, flags: u16, sequence: u32) {
        let length = u32::try_from(HEADER + self.payload.len()).unwrap_or(u32::MAX);
        buffer.extend(length.to_ne_bytes());
        buffer.extend(self.kind.to_ne_bytes());
        buffer.extend((self.flags | flags).to_ne_bytes());
        buffer.extend(sequence.to_ne_bytes());
        buffer.extend(0_u32.to_ne_bytes());
        buffer.extend(&self.payload);
        buffer.resize(buffer.len().next_multiple_of(4), 0);
    }
}

/// One attribute of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type, without flag bits.
    pub kind: u16,
    /// Its content.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// A byte.
    pub fn u8(&self) -> Option<u8> {
        self.value.first().copied()
    }

    /// A number in the machine's byte order.
    pub fn u32(&self) -> Option<u32> {
        self.value
            .first_chunk()
            .map(|bytes| u32::from_ne_bytes(*bytes))
    }

    /// A number in network byte order.
    pub fn be32(&self) -> Option<u32> {
        self.value
            .first_chunk()
            .map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// A text, up to its NUL, if it is UTF-8.
    pub fn text(&self) -> Option<&'a str> {
        let end = self
            .value
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(self.value.len());
        std::str::from_utf8(&self.value[..end]).ok()
    }

    /// The attributes inside.
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.value)
    }
}

/// Goes through attributes. One that does not fit its bounds ends the iteration.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes in these bytes.
    pub fn new(bytes: &'a [u8]) -> Attributes<'a> {
        Attributes { rest: bytes }
    }

    /// The first attribute of this type.
    pub fn attribute(&self, kind: u16) -> Option<Attribute<'a>> {
        self.clone().find(|attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (&[l0, l1, k0, k1], _) = self.rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let Some(value) = self.rest.get(4..length) else {
            self.rest = &[];
            return None;
        };
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Attribute {
            kind: u16::from_ne_bytes([k0, k1]) & TYPE_MASK,
            value,
        })
    }
}

/// One message of an answer: type, flags, sequence number, payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incoming<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
}

/// Goes through the messages of one datagram; `Err` for one that breaks its bounds.
pub(super) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    pub(super) fn new(datagram: &'a [u8]) -> Messages<'a> {
        Messages { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Incoming<'a>, ()>;

    fn next(&mut self) -> Option<Result<Incoming<'a>, ()>> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest);
        let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else {
            return Some(Err(()));
        };
        let &[l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let Some(payload) = bytes.get(HEADER..length) else {
            return Some(Err(()));
        };
        self.rest = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Ok(Incoming {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            payload,
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_are_padded_nested_and_read_back() {
        let message = Message::new(16, 0, &[9; 4], "test")
            .text(3, "lo")
            .u32(4, 77)
            .nest(18, |inner| {
                inner
                    .text(1, "veth")
                    .be32(2, 5)
                    .nest(3, |deep| deep.bytes(1, &[7]))
            });
        assert_eq!(message.payload.len() % 4, 0);
        let attributes = Attributes::new(&message.payload[4..]);
        assert_eq!(attributes.attribute(3).unwrap().text(), Some("lo"));
        assert_eq!(attributes.attribute(4).unwrap().u32(), Some(77));
        let inner = attributes.attribute(18).unwrap().nested();
        assert_eq!(inner.attribute(1).unwrap().text(), Some("veth"));
        assert_eq!(inner.attribute(2).unwrap().be32(), Some(5));
        assert_eq!(
            inner
                .attribute(3)
                .unwrap()
                .nested()
                .attribute(1)
                .unwrap()
                .u8(),
            Some(7)
        );
        assert_eq!(attributes.count(), 3);
        assert!(!message.overflowed);
    }

    #[test]
    fn an_attribute_too_long_is_noticed() {
        assert!(
            Message::new(1, 0, &[], "test")
                .bytes(1, &[0; 70_000])
                .overflowed
        );
    }

    #[test]
    fn messages_are_written_and_read_back() {
        let mut buffer = Vec::new();
        Message::new(16, 2, &[1, 2, 3], "one").write(&mut buffer, 1, 7);
        Message::new(17, 0, &[4], "two").write(&mut buffer, 4, 8);
        let messages: Vec<_> = Messages::new(&buffer).map(Result::unwrap).collect();
        assert_eq!(messages[0].kind, 16);
        assert_eq!(messages[0].flags, 3);
        assert_eq!(messages[0].payload, [1, 2, 3]);
        assert_eq!(messages[1].sequence, 8);
        assert_eq!(messages.len(), 2);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_readers(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for attribute in Attributes::new(&bytes) {
                let _ = (attribute.text(), attribute.u32(), attribute.nested().count());
            }
            prop_assert!(Messages::new(&bytes).count() <= bytes.len());
        }
    }
}
