//! Base64 and URLs.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Answer, Function, Parameter, Problem, text};
use crate::surroundings::Surroundings;
use crate::value::Value;

const STR: Parameter = Parameter::text("str");

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "base64decode",
        parameters: &[STR],
        rest: None,
        run: decode,
    },
    Function {
        name: "base64encode",
        parameters: &[STR],
        rest: None,
        run: |_, a| Ok(Value::from(STANDARD.encode(text(a, 0)))),
    },
    Function {
        name: "urlencode",
        parameters: &[STR],
        rest: None,
        run: |_, a| Ok(Value::from(url_encode(text(a, 0)))),
    },
];

fn decode(_: &Surroundings, arguments: &[Value]) -> Answer {
    let bytes = STANDARD
        .decode(text(arguments, 0))
        .map_err(|error| Problem::at(0, format!("the text is no base64: {error}")))?;
    let decoded = String::from_utf8(bytes);
    decoded
        .map(Value::from)
        .map_err(|_| Problem::at(0, "what is encoded is no text"))
}

/// As in the query of a URL: a space becomes `+`.
fn url_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => {
                let _written = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
