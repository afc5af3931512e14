//! Parser directives: `# name=value` at the top of a file.

/// A comment line in the form of a directive, of whatever name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DirectiveLine<'l> {
    /// The name in lower case.
    pub(crate) name: String,
    pub(crate) value: &'l str,
    /// Where the value begins in the line.
    pub(crate) value_at: usize,
}

/// Reads `# name = value`; the line begins with `#`.
pub(crate) fn directive(line: &str) -> Option<DirectiveLine<'_>> {
    let body = line.strip_prefix('#')?.trim_start_matches(is_space);
    let name_length = body
        .find(|letter: char| !letter.is_ascii_alphanumeric())
        .unwrap_or(body.len());
    let (name, rest) = body.split_at(name_length);
    if !name.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        return None;
    }
    let value = rest
        .trim_start_matches(is_space)
        .strip_prefix('=')?
        .trim_start_matches(is_space);
    let value_at = line.len() - value.len();
    let value = value.trim_end_matches(is_space);
    (!value.is_empty()).then(|| DirectiveLine {
        name: name.to_ascii_lowercase(),
        value,
        value_at,
    })
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\u{c}' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::directive;

    #[test]
    fn forms() {
        let cases = [
            (
                "# syntax=docker/dockerfile:1",
                Some(("syntax", "docker/dockerfile:1", 9)),
            ),
            (
                "#syntax = docker/dockerfile:1  ",
                Some(("syntax", "docker/dockerfile:1", 10)),
            ),
            ("#  EsCaPe  =  `", Some(("escape", "`", 14))),
            (
                "# check=skip=all;error=true",
                Some(("check", "skip=all;error=true", 8)),
            ),
            ("# a=b = c", Some(("a", "b = c", 4))),
            ("# 1a=b", None),
            ("# two words=b", None),
            ("# a=", None),
            ("# a=  ", None),
            ("#", None),
            ("# plain comment", None),
            ("#!/bin/sh", None),
        ];
        for (line, expected) in cases {
            let found = directive(line).map(|found| (found.name, found.value, found.value_at));
            let expected = expected.map(|(name, value, at)| (name.to_owned(), value, at));
            assert_eq!(found, expected, "{line}");
        }
    }
}
