//! Changes of the text that end a complaint.

use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// One stretch of the text and what takes its place; an empty span inserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced.
    pub span: Span,
    /// By what.
    pub text: String,
}

/// Edits that belong together, none of which overlaps another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// The edits, in the order of the file.
    pub edits: Vec<Edit>,
}

impl Fix {
    /// One stretch replaced.
    pub(crate) fn replace(span: Span, text: impl Into<String>) -> Self {
        Self {
            edits: vec![Edit {
                span,
                text: text.into(),
            }],
        }
    }

    /// Text put in at a place.
    pub(crate) fn insert(at: usize, text: impl Into<String>) -> Self {
        Self::replace(Span::new(at, at), text)
    }

    /// One stretch taken away.
    pub(crate) fn remove(span: Span) -> Self {
        Self::replace(span, "")
    }
}

/// The text with the fixes of `complaints` made, and how many were. Of two that touch the same
/// place the first is made; the other is left for another round.
pub fn apply<'d>(
    text: &str,
    complaints: impl IntoIterator<Item = &'d Diagnostic>,
) -> (String, usize) {
    let mut edits: Vec<&Edit> = Vec::new();
    let mut made = 0;
    for fix in complaints.into_iter().filter_map(|one| one.fix.as_ref()) {
        let possible = fix.edits.iter().all(|edit| {
            text.get(edit.span.start..edit.span.end).is_some()
                && !edits.iter().any(|other| touches(edit.span, other.span))
        });
        if possible {
            edits.extend(&fix.edits);
            made += 1;
        }
    }
    edits.sort_by_key(|edit| edit.span);
    let mut out = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for edit in edits {
        out.push_str(text.get(at..edit.span.start).unwrap_or_default());
        out.push_str(&edit.text);
        at = edit.span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    (out, made)
}

/// Whether two edits share a byte or an edge.
fn touches(one: Span, other: Span) -> bool {
    one.start <= other.end && other.start <= one.end
}

#[cfg(test)]
mod tests {
    use super::{Fix, apply};
    use crate::diagnostic::{Code, Diagnostic};
    use crate::source::Span;

    #[test]
    fn edits_are_made_and_those_that_touch_wait() {
        let complaint =
            |fix| Diagnostic::warning(Code::Arguments, "", Span::default()).with_fix(Some(fix));
        let complaints = [
            complaint(Fix::insert(6, "-")),
            complaint(Fix::replace(Span::new(0, 3), "ABC")),
            complaint(Fix::remove(Span::new(3, 5))),
            complaint(Fix::remove(Span::new(100, 101))),
        ];
        assert_eq!(apply("abc def", &complaints), ("ABC de-f".to_owned(), 2));
        assert_eq!(apply("", &complaints[1..2]), (String::new(), 0));
    }
}
