//! Messages as they are on the wire (D-Bus specification, "Message protocol").

use crate::error::SystemdError;

/// The longest message that is read: the specification's 128 MiB would be for others.
const LONGEST: usize = 1 << 20;
/// The fixed part of a header, with the length of its fields.
pub(crate) const FIXED: usize = 16;

/// The byte that tells the order of the others.
const LITTLE: u8 = b'l';
const VERSION: u8 = 1;

/// Kinds of messages.
pub(crate) const CALL: u8 = 1;
pub(crate) const REPLY: u8 = 2;
pub(crate) const ERROR: u8 = 3;
pub(crate) const SIGNAL: u8 = 4;

/// Fields of a header.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Writes values, each at its alignment from the beginning.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.align(8);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.u32(length(value.len()));
        self.bytes.extend(value.as_bytes());
        self.byte(0);
    }

    pub(crate) fn signature(&mut self, value: &str) {
        self.byte(u8::try_from(value.len()).unwrap_or(u8::MAX));
        self.bytes.extend(value.as_bytes());
        self.byte(0);
    }

    /// An array whose elements are aligned so.
    pub(crate) fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Writer)) {
        self.u32(0);
        let counted = self.bytes.len();
        self.align(alignment);
        let begin = self.bytes.len();
        elements(self);
        let size = length(self.bytes.len() - begin);
        self.bytes[counted - 4..counted].copy_from_slice(&size.to_le_bytes());
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A method to call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) destination: &'static str,
    pub(crate) path: &'a str,
    pub(crate) interface: &'static str,
    pub(crate) method: &'static str,
    /// The signature of the arguments.
    pub(crate) signature: &'static str,
    pub(crate) arguments: Writer,
}

impl Call<'_> {
    /// The whole message.
    pub(crate) fn message(&self, serial: u32) -> Vec<u8> {
        let fields = [
            (PATH, "o", self.path),
            (DESTINATION, "s", self.destination),
            (INTERFACE, "s", self.interface),
            (MEMBER, "s", self.method),
            (SIGNATURE, "g", self.signature),
        ];
        message(CALL, serial, None, &fields, &self.arguments)
    }
}

/// A whole message with fields of these types.
fn message(
    kind: u8,
    serial: u32,
    answers: Option<u32>,
    fields: &[(u8, &str, &str)],
    body: &Writer,
) -> Vec<u8> {
    let mut out = Writer::default();
    for byte in [LITTLE, kind, 0, VERSION] {
        out.byte(byte);
    }
    out.u32(length(body.bytes.len()));
    out.u32(serial);
    out.array(8, |out| {
        if let Some(answers) = answers {
            out.align(8);
            out.byte(REPLY_SERIAL);
            out.signature("u");
            out.u32(answers);
        }
        for (field, kind, value) in fields {
            out.align(8);
            out.byte(*field);
            out.signature(kind);
            match *kind {
                "g" => out.signature(value),
                _ => out.text(value),
            }
        }
    });
    out.align(8);
    out.bytes.extend(&body.bytes);
    out.bytes
}

/// A message of the other side.
#[cfg(test)]
pub(crate) fn played(
    kind: u8,
    answers: u32,
    field: Option<(u8, &str)>,
    signature: &str,
    body: &Writer,
) -> Vec<u8> {
    let mut fields = vec![(SIGNATURE, "g", signature)];
    fields.extend(field.map(|(field, text)| (field, "s", text)));
    message(kind, 1, Some(answers), &fields, body)
}

/// Reads values, each at its alignment from the beginning.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], SystemdError> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        self.at = self.at.saturating_add(count);
        taken.ok_or_else(|| malformed("it ends too early"))
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn byte(&mut self) -> Result<u8, SystemdError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, SystemdError> {
        self.align(4);
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, SystemdError> {
        let length = self.u32()? as usize;
        self.terminated(length)
    }

    pub(crate) fn signature(&mut self) -> Result<&'a str, SystemdError> {
        let length = self.byte()?.into();
        self.terminated(length)
    }

    fn terminated(&mut self, length: usize) -> Result<&'a str, SystemdError> {
        let text = self.take(length)?;
        self.take(1)?;
        std::str::from_utf8(text).map_err(|_| malformed("a text is not UTF-8"))
    }
}

pub(crate) fn malformed(reason: &'static str) -> SystemdError {
    SystemdError::Malformed { reason }
}

/// How long the message is that begins so.
pub(crate) fn message_length(fixed: &[u8; FIXED]) -> Result<usize, SystemdError> {
    if fixed[0] != LITTLE || fixed[3] != VERSION {
        return Err(malformed("another byte order or version"));
    }
    let mut reader = Reader {
        bytes: fixed,
        at: 4,
    };
    let body = reader.u32()? as usize;
    reader.u32()?;
    let fields = reader.u32()? as usize;
    let length = FIXED
        .saturating_add(fields)
        .next_multiple_of(8)
        .saturating_add(body);
    if length > LONGEST {
        return Err(malformed("a message of more than a megabyte"));
    }
    Ok(length)
}

/// A message that was received.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    /// The serial of the call that it answers.
    pub(crate) answers: u32,
    /// The method or signal.
    pub(crate) member: String,
    pub(crate) error_name: String,
    /// The signature of the body.
    pub(crate) signature: String,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// From all of its bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Message, SystemdError> {
        let mut message = Message {
            kind: *bytes.get(1).ok_or_else(|| malformed("it is empty"))?,
            ..Message::default()
        };
        let mut reader = Reader { bytes, at: 12 };
        let size = reader.u32()? as usize;
        let end = FIXED.saturating_add(size);
        while reader.at < end {
            reader.align(8);
            let field = reader.byte()?;
            match reader.signature()? {
                "u" => {
                    let number = reader.u32()?;
                    if field == REPLY_SERIAL {
                        message.answers = number;
                    }
                }
                "g" => {
                    let text = reader.signature()?;
                    if field == SIGNATURE {
                        text.clone_into(&mut message.signature);
                    }
                }
                "s" | "o" => {
                    let text = reader.text()?;
                    match field {
                        MEMBER => text.clone_into(&mut message.member),
                        ERROR_NAME => text.clone_into(&mut message.error_name),
                        _ => {}
                    }
                }
                _ => return Err(malformed("a field of an unknown type")),
            }
        }
        reader.align(8);
        let body = bytes.get(reader.at..);
        body.unwrap_or_default().clone_into(&mut message.body);
        Ok(message)
    }

    /// The body, when it begins with values of these types.
    pub(crate) fn body(&self, signature: &str) -> Result<Reader<'_>, SystemdError> {
        match self.signature.starts_with(signature) {
            true => Ok(Reader::new(&self.body)),
            false => Err(malformed("an answer of other types")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(arguments: Writer) -> Vec<u8> {
        let call = Call {
            destination: "org.example",
            path: "/a/b",
            interface: "org.example.I",
            method: "Do",
            signature: "sas",
            arguments,
        };
        call.message(7)
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let mut arguments = Writer::default();
        arguments.text("x");
        arguments.array(4, |out| {
            ["one", "two"].iter().for_each(|text| out.text(text))
        });
        let bytes = call(arguments);
        let fixed = bytes[..FIXED].try_into().unwrap();
        assert_eq!(message_length(&fixed).unwrap(), bytes.len());
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.kind, message.member.as_str()), (CALL, "Do"));
        let mut body = message.body("sas").unwrap();
        assert_eq!(body.text().unwrap(), "x");
        assert_eq!(body.u32().unwrap(), 16);
        assert_eq!(body.text().unwrap(), "one");
        assert_eq!(body.text().unwrap(), "two");
        assert!(message.body("o").is_err());
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let mut out = Writer::default();
        out.byte(5);
        out.array(8, |out| {
            out.align(8);
            out.text("ab");
            out.u64(1);
        });
        assert_eq!(
            out.bytes,
            [
                5, 0, 0, 0, 16, 0, 0, 0, // the length is that of the elements
                2, 0, 0, 0, b'a', b'b', 0, 0, 1, 0, 0, 0, 0, 0, 0, 0
            ]
        );
    }

    #[test]
    fn an_array_of_nothing_is_aligned_too() {
        let mut out = Writer::default();
        out.array(8, |_| {});
        assert_eq!(out.bytes, [0; 8]);
    }

    #[test]
    fn long_and_foreign_messages_are_refused() {
        let mut fixed: [u8; FIXED] = call(Writer::default())[..FIXED].try_into().unwrap();
        fixed[7] = 0x7f;
        assert!(message_length(&fixed).is_err());
        fixed[0] = b'B';
        assert!(message_length(&fixed).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = Message::parse(&bytes)
                && let Ok(mut body) = message.body("") {
                body.text().ok();
                body.signature().ok();
            }
        }

        #[test]
        fn cut_messages_are_errors_or_shorter(cut in 0_usize..120) {
            let mut arguments = Writer::default();
            arguments.text("argument");
            let bytes = call(arguments);
            Message::parse(&bytes[..cut.min(bytes.len())]).ok();
        }
    }
}
