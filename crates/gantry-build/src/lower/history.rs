//! The texts of history entries, letter for letter as BuildKit writes them.
//!
//! BuildKit formats some of them with Go's `%q` and `%v`; what these do is written out here.

use std::fmt::Write as _;

use gantry_dockerfile::argument::Scope;
use gantry_model::image::History;

/// The remark on every entry that a Dockerfile made.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// An entry of an instruction that makes no layer.
pub(super) fn metadata(text: String, epoch: Option<&str>) -> History {
    History {
        created: epoch.map(str::to_owned),
        created_by: text,
        comment: COMMENT.to_owned(),
        empty_layer: true,
        ..History::default()
    }
}

/// An entry of an instruction that makes a layer.
pub(super) fn layer(text: String, epoch: Option<&str>) -> History {
    History {
        empty_layer: false,
        ..metadata(text, epoch)
    }
}

/// `RUN |2 A=1 B=2 /bin/sh -c make # buildkit`
pub(super) fn run(arguments: &[String], scope: &Scope) -> String {
    let declared: Vec<String> = scope
        .arguments()
        .map(|(name, value)| format!("{name}={}", value.unwrap_or_default()))
        .collect();
    let mut text = String::from("RUN ");
    if !declared.is_empty() {
        let _ = write!(text, "|{} {} ", declared.len(), declared.join(" "));
    }
    text.push_str(&arguments.join(" "));
    text.push_str(" # buildkit");
    text
}

/// A list of strings as `%q` writes it: `["a" "b"]`.
pub(super) fn quoted_list(items: &[String]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", quoted.join(" "))
}

/// A string as `%q` writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            other => escape(&mut out, other),
        }
    }
    out.push('"');
    out
}

/// A number as `%q` writes it: the character of that number in single quotes.
pub(super) fn quoted_number(number: u32) -> String {
    let mut out = String::from("'");
    match char::from_u32(number) {
        Some('\'') => out.push_str("\\'"),
        Some(letter) => escape(&mut out, letter),
        None => out.push('\u{fffd}'),
    }
    out.push('\'');
    out
}

fn escape(out: &mut String, letter: char) {
    let number = u32::from(letter);
    match letter {
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        _ if is_printable(letter) => out.push(letter),
        _ if number < 0x80 => drop(write!(out, "\\x{number:02x}")),
        _ if number < 0x10000 => drop(write!(out, "\\u{number:04x}")),
        _ => drop(write!(out, "\\U{number:08x}")),
    }
}

/// Near enough to Go's `IsPrint`: no controls, no spaces but the common one, no invisible format
/// characters, nothing for private use.
fn is_printable(letter: char) -> bool {
    let invisible = matches!(u32::from(letter),
        0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e
        | 0x2060..=0x206f | 0xe000..=0xf8ff | 0xfeff | 0xfff0..=0xfffb | 0xfffe..=0xffff | 0xe0000..=0xe007f
        | 0xf0000..);
    letter == ' ' || !(letter.is_control() || letter.is_whitespace() || invisible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_as_go_does() {
        for (text, want) in [
            ("plain", r#""plain""#),
            ("a \"b\" \\", r#""a \"b\" \\""#),
            (
                "tab\tnew\nbell\u{7}esc\u{1b}",
                r#""tab\tnew\nbell\aesc\x1b""#,
            ),
            ("héllo 世界", "\"héllo 世界\""),
            ("\u{a0}\u{feff}\u{7f}", r#""\u00a0\ufeff\x7f""#),
            ("😀", "\"😀\""),
        ] {
            assert_eq!(quoted(text), want);
        }
        assert_eq!(
            quoted_list(&["sh".into(), "-c".into(), "x y".into()]),
            r#"["sh" "-c" "x y"]"#
        );
        assert_eq!(quoted_list(&[]), "[]");
    }

    #[test]
    fn numbers_as_characters() {
        for (number, want) in [
            (0, r"'\x00'"),
            (3, r"'\x03'"),
            (10, r"'\n'"),
            (39, r"'\''"),
            (65, "'A'"),
        ] {
            assert_eq!(quoted_number(number), want);
        }
    }

    #[test]
    fn run_names_the_declared_arguments() {
        let mut scope = Scope::new([("PATH".to_owned(), "/bin".to_owned())]);
        let shell = ["/bin/sh".to_owned(), "-c".to_owned(), "true".to_owned()];
        assert_eq!(run(&shell, &scope), "RUN /bin/sh -c true # buildkit");
        scope.declare_argument("A", Some("1".to_owned()));
        scope.declare_argument("B", None);
        assert_eq!(
            run(&shell, &scope),
            "RUN |2 A=1 B= /bin/sh -c true # buildkit"
        );
    }
}
