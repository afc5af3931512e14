//! Fixes of BuildKit's rules. Each is made only where the text stands as it is read: without
//! variables, quotes or continued lines that the tree no longer shows.

use crate::ast::{Instruction, KeyValue, Word};
use crate::fix::{Edit, Fix};
use crate::source::{SourceFile, Span};

/// Letters that mean something else inside double quotes, or end them.
const SPECIAL: [char; 5] = ['"', '\'', '\\', '`', '\n'];

/// A word written anew.
pub(super) fn rewritten(source: &SourceFile, word: &Word, text: &str) -> Option<Fix> {
    (source.slice(word.span) == word.value).then(|| Fix::replace(word.span, text))
}

/// The option `--name` taken out; `value` is where its value stands.
pub(super) fn without_flag(source: &SourceFile, name: &str, value: Span) -> Option<Fix> {
    let flag = format!("--{name}=");
    let start = value.start.checked_sub(flag.len())?;
    if source.slice(Span::new(start, value.start)) != flag {
        return None;
    }
    let behind = source.text().get(value.end..)?;
    let blanks = behind.len() - behind.trim_start_matches([' ', '\t']).len();
    (blanks > 0).then(|| Fix::remove(Span::new(start, value.end + blanks)))
}

/// `name value` as `name=value`.
pub(super) fn with_equals_sign(source: &SourceFile, pair: &KeyValue) -> Option<Fix> {
    let value = &pair.value;
    let plain = source.slice(value.span) == value.value
        && source.slice(pair.key.span) == pair.key.value
        && pair.key.span.end <= value.span.start
        && !pair.key.value.contains(SPECIAL)
        && !value.value.contains(SPECIAL)
        && !value.value.is_empty();
    let between = Span::new(pair.key.span.end, value.span.start);
    if !plain || source.slice(between).contains(['\\', '`', '\n']) {
        return None;
    }
    let has_blank = value.value.contains(char::is_whitespace);
    let quote = if has_blank { "\"" } else { "" };
    let mut edits = vec![Edit {
        span: between,
        text: format!("={quote}"),
    }];
    if has_blank {
        edits.push(Edit {
            span: Span::new(value.span.end, value.span.end),
            text: quote.to_owned(),
        });
    }
    Some(Fix { edits })
}

/// `MAINTAINER` as the label that others look for.
pub(super) fn author_label(
    source: &SourceFile,
    instruction: &Instruction,
    name: &Word,
) -> Option<Fix> {
    let plain = source.slice(name.span) == name.value
        && !name.value.contains(SPECIAL)
        && !name.value.contains('$');
    let keyword = &instruction.keyword.value;
    let label = if *keyword == keyword.to_lowercase() {
        "label"
    } else {
        "LABEL"
    };
    plain.then(|| {
        let text = format!(
            "{label} org.opencontainers.image.authors=\"{}\"",
            name.value
        );
        Fix::replace(instruction.span.join(name.span), text)
    })
}

/// The lines of an instruction taken out whole.
pub(super) fn without_lines(source: &SourceFile, span: Span) -> Fix {
    let (first, last) = source.lines(span);
    let start = source
        .line_range(first)
        .map_or(span.start, |line| line.start);
    let end = source.line_range(last).map_or(span.end, |line| line.start);
    Fix::remove(Span::new(start, source.line_end(end)))
}
