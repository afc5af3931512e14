//! One line of the log, to and from JSON.

use std::borrow::Cow;

use serde::Deserialize;

use super::Stream;

/// One line, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry<'a> {
    /// Text; ends in a newline unless it is a part that goes on in the next entry.
    #[serde(borrow)]
    pub log: Cow<'a, str>,
    /// Where it came from.
    pub stream: Stream,
    /// When, RFC 3339 with nanoseconds.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends an entry as Docker writes it. `text` is bytes as they came; what is no UTF-8
/// becomes U+FFFD, byte by byte.
pub fn encode(out: &mut Vec<u8>, text: &[u8], newline: bool, stream: Stream, time: &str) {
    out.extend_from_slice(b"{\"log\":\"");
    for chunk in text.utf8_chunks() {
        escape(out, chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    if newline {
        out.extend_from_slice(b"\\n");
    }
    out.extend_from_slice(match stream {
        Stream::Stdout => b"\",\"stream\":\"stdout\",\"time\":\"",
        Stream::Stderr => b"\",\"stream\":\"stderr\",\"time\":\"",
    });
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\"}\n");
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
