//! One line of the log, to and from JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::Stream;
use super::lines::Line;

/// One line, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry<'a> {
    /// Text; ends in a newline unless it is a part that goes on in the next entry.
    #[serde(borrow)]
    pub log: Cow<'a, str>,
    /// Where it came from.
    pub stream: Stream,
    /// What else is known of it.
    #[serde(default)]
    pub attrs: BTreeMap<String, String>,
    /// When, RFC 3339 with nanoseconds.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes entries as Docker does.
#[derive(Debug, Clone, Default)]
pub struct EntryWriter {
    /// What stands between stream and time.
    attributes: Vec<u8>,
}

impl EntryWriter {
    /// A writer of entries that all have these attributes.
    #[must_use]
    pub fn new(attributes: &BTreeMap<String, String>) -> Self {
        let mut text = Vec::new();
        for (name, value) in attributes {
            text.extend_from_slice(if text.is_empty() {
                b"\"attrs\":{\""
            } else {
                b",\""
            });
            escape(&mut text, name.as_bytes());
            text.extend_from_slice(b"\":\"");
            escape(&mut text, value.as_bytes());
            text.push(b'"');
        }
        if !text.is_empty() {
            text.extend_from_slice(b"},");
        }
        Self { attributes: text }
    }

    /// Appends an entry. What is no UTF-8 of its text becomes U+FFFD, byte by byte.
    pub(super) fn write(&self, out: &mut Vec<u8>, line: Line<'_>, time: &str) {
        out.extend_from_slice(b"{\"log\":\"");
        for chunk in line.text.utf8_chunks() {
            escape(out, chunk.valid().as_bytes());
            for _ in chunk.invalid() {
                out.extend_from_slice(b"\\ufffd");
            }
        }
        if line.whole {
            out.extend_from_slice(b"\\n");
        }
        out.extend_from_slice(match line.stream {
            Stream::Stdout => b"\",\"stream\":\"stdout\",",
            Stream::Stderr => b"\",\"stream\":\"stderr\",",
        });
        out.extend_from_slice(&self.attributes);
        out.extend_from_slice(b"\"time\":\"");
        out.extend_from_slice(time.as_bytes());
        out.extend_from_slice(b"\"}\n");
    }
}

fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let mut start = 0;
    for (at, &byte) in text.iter().enumerate() {
        let plain = byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0x7f);
        if plain {
            continue;
        }
        out.extend_from_slice(&text[start..at]);
        start = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x7f => out.push(byte),
            _ => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[high], HEX[low]]);
            }
        }
    }
    out.extend_from_slice(&text[start..]);
}
