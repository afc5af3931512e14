//! JSON written as Go's `encoding/json` writes it, so that scripts see the bytes they know:
//! `<`, `>`, `&` and the two line separators are escaped.

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};
use std::io;

/// One line.
pub(crate) fn compact(value: &impl Serialize) -> String {
    write(value, Escaping(CompactFormatter))
}

/// Indented by four spaces, as `inspect` prints it.
pub(crate) fn indented(value: &impl Serialize) -> String {
    write(value, Escaping(PrettyFormatter::with_indent(b"    ")))
}

/// Indented by two spaces, as the build tools print it.
pub(crate) fn indented_by_two(value: &impl Serialize) -> String {
    write(value, Escaping(PrettyFormatter::with_indent(b"  ")))
}

fn write(value: &impl Serialize, formatter: impl Formatter) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(error) => format!(
            "{{\"error\":{}}}",
            serde_json::Value::from(error.to_string())
        ),
    }
}

/// Escapes inside strings what Go escapes; everything else is the inner formatter's.
struct Escaping<F>(F);

impl<F: Formatter> Formatter for Escaping<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let Some(special) = rest[at..].chars().next() else {
                break;
            };
            write!(writer, "\\u{:04x}", u32::from(special))?;
            rest = &rest[at + special.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_characters_are_escaped() {
        let value = serde_json::json!({"a": "<none> & \u{2028}é", "b": []});
        assert_eq!(
            compact(&value),
            r#"{"a":"\u003cnone\u003e \u0026 \u2028é","b":[]}"#
        );
        assert_eq!(
            indented(&value),
            "{\n    \"a\": \"\\u003cnone\\u003e \\u0026 \\u2028é\",\n    \"b\": []\n}"
        );
    }
}
