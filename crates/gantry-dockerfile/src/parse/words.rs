//! Arguments of an instruction: quoted words, and the JSON form.

use super::line::Text;
use crate::ast::{Escape, Word};

/// Splits at white space outside quotes. Quotes and escapes stay in the words; expansion takes
/// them away.
pub(crate) fn quoted_words(text: Text<'_>, escape: Escape) -> Vec<Text<'_>> {
    let escape = escape.char();
    let whole = text.as_str();
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut letters = whole.char_indices().peekable();
    let mut end = whole.len();
    while let Some((at, letter)) = letters.next() {
        if start.is_none() {
            if letter.is_whitespace() {
                continue;
            }
            start = Some(at);
        }
        // Nothing can be escaped between single quotes.
        if letter == escape && quote != Some('\'') {
            if letters.next().is_none() {
                // An escape character at the very end escapes nothing and is dropped.
                end = at;
            }
            continue;
        }
        match quote {
            Some(open) if letter == open => quote = None,
            Some(_) => {}
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            None if letter.is_whitespace() => {
                words.extend(start.take().map(|start| text.part(start..at)));
            }
            None => {}
        }
    }
    words.extend(
        start
            .map(|start| text.part(start..end))
            .filter(|word| !word.is_empty()),
    );
    words
}

/// What a text that could be a JSON array is.
#[derive(Debug)]
pub(crate) enum JsonForm {
    /// Not JSON: the shell form.
    Not,
    /// An array of strings.
    Strings(Vec<Word>),
    /// An array that holds something else, which is refused.
    Mixed,
}

/// Reads the exec form. Anything that is not a JSON array as a whole is the shell form.
pub(crate) fn json_form(text: Text<'_>) -> JsonForm {
    let whole = text.as_str();
    if !whole.trim_start().starts_with('[') {
        return JsonForm::Not;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(whole) else {
        return JsonForm::Not;
    };
    let mut ranges = json_string_ranges(whole).into_iter();
    let mut words = Vec::with_capacity(values.len());
    for value in values {
        let serde_json::Value::String(value) = value else {
            return JsonForm::Mixed;
        };
        let range = ranges.next().unwrap_or(0..0);
        words.push(Word::new(value, text.part(range).span()));
    }
    JsonForm::Strings(words)
}

/// Where the strings of a valid JSON array of strings stand, quotes included.
fn json_string_ranges(array: &str) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = None;
    let mut escaped = false;
    for (at, byte) in array.bytes().enumerate() {
        match start {
            None if byte == b'"' => start = Some(at),
            None => {}
            Some(_) if escaped => escaped = false,
            Some(_) if byte == b'\\' => escaped = true,
            Some(from) if byte == b'"' => {
                ranges.push(from..at + 1);
                start = None;
            }
            Some(_) => {}
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::super::line::LogicalLine;
    use super::{JsonForm, json_form, quoted_words};
    use crate::ast::Escape;

    #[test]
    fn words() {
        let cases: [(&str, &[&str]); 14] = [
            ("", &[]),
            ("  ", &[]),
            ("a b", &["a", "b"]),
            ("a=\"b c\" d", &["a=\"b c\"", "d"]),
            ("a='b c' d", &["a='b c'", "d"]),
            ("a=b\\ c d", &["a=b\\ c", "d"]),
            ("a='b\\' c", &["a='b\\'", "c"]),
            ("a=\"b\\\" c\" d", &["a=\"b\\\" c\"", "d"]),
            ("a=\"unfinished b", &["a=\"unfinished b"]),
            ("\"\" b", &["\"\"", "b"]),
            ("a\\", &["a"]),
            ("a \\", &["a"]),
            ("a=\"b'c\" d='e\"f'", &["a=\"b'c\"", "d='e\"f'"]),
            ("한국어=b \u{a0} x", &["한국어=b", "x"]),
        ];
        for (text, expected) in cases {
            let mut line = LogicalLine::default();
            line.push(text, 0);
            let words: Vec<&str> = quoted_words(line.whole(), Escape::Backslash)
                .iter()
                .map(|word| word.as_str())
                .collect();
            assert_eq!(words, expected, "{text}");
        }
    }

    #[test]
    fn windows_paths() {
        let mut line = LogicalLine::default();
        line.push("a=C:\\x\\ b=c` d", 0);
        let words: Vec<&str> = quoted_words(line.whole(), Escape::Backtick)
            .iter()
            .map(|word| word.as_str())
            .collect();
        assert_eq!(words, ["a=C:\\x\\", "b=c` d"]);
    }

    #[test]
    fn json() {
        let cases = [
            ("[\"a\", \"b c\"]", Some(vec!["a", "b c"])),
            ("  [ \"\\\"x\\u00e9\\n\" ]  ", Some(vec!["\"xé\n"])),
            ("[]", Some(vec![])),
            ("[\"a\"] b", None),
            ("['a']", None),
            ("[ -f x ]", None),
            ("\"a\"", None),
            ("[\"a\",]", None),
        ];
        for (text, expected) in cases {
            let mut line = LogicalLine::default();
            line.push(text, 0);
            match (json_form(line.whole()), expected) {
                (JsonForm::Strings(words), Some(expected)) => {
                    let words: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
                    assert_eq!(words, expected, "{text}");
                }
                (JsonForm::Not, None) => {}
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
        for text in ["[1]", "[\"a\", null]", "[[\"a\"]]", "[\"a\", {}]"] {
            let mut line = LogicalLine::default();
            line.push(text, 0);
            assert!(matches!(json_form(line.whole()), JsonForm::Mixed), "{text}");
        }
    }

    #[test]
    fn json_spans() {
        let mut line = LogicalLine::default();
        line.push("[\"a\\\"]\",", 10);
        line.push(" \"b\"]", 100);
        let JsonForm::Strings(words) = json_form(line.whole()) else {
            panic!("not JSON")
        };
        assert_eq!((words[0].span.start, words[0].span.end), (11, 17));
        assert_eq!((words[1].span.start, words[1].span.end), (101, 104));
    }
}
