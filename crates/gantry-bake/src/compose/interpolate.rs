//! `$NAME` and `${NAME…}` in values (Compose specification, "Interpolation").

use super::yaml::{Node, NodeKind};
use crate::error::Result;
use crate::surroundings::Surroundings;

/// Most levels of `${A:-${B:-…}}`.
const DEEPEST: usize = 32;

/// A node with all its texts interpolated; names of members stay.
pub(super) fn node(node: Node, surroundings: &Surroundings) -> Result<Node> {
    let kind = match node.kind {
        NodeKind::Scalar { ref text, plain } => NodeKind::Scalar {
            text: text_of(text, surroundings, 0).map_err(|message| node.fault(message))?,
            plain,
        },
        NodeKind::Sequence(items) => NodeKind::Sequence(
            items
                .into_iter()
                .map(|item| self::node(item, surroundings))
                .collect::<Result<_>>()?,
        ),
        NodeKind::Mapping(members) => NodeKind::Mapping(
            members
                .into_iter()
                .map(|(name, member)| Ok((name, self::node(member, surroundings)?)))
                .collect::<Result<_>>()?,
        ),
    };
    Ok(Node { kind, ..node })
}

fn text_of(
    text: &str,
    surroundings: &Surroundings,
    depth: usize,
) -> std::result::Result<String, String> {
    if depth > DEEPEST {
        return Err(format!(
            "more than {DEEPEST} interpolations inside one another"
        ));
    }
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        made.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            made.push('$');
            rest = behind;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let end = closing(inside).ok_or_else(|| format!("${{ without }} in {text:?}"))?;
            made.push_str(&substitution(&inside[..end], surroundings, depth)?);
            rest = &inside[end + 1..];
        } else {
            let length = name_length(rest);
            if length == 0 {
                return Err(format!(
                    "$ is not followed by a name in {text:?}: write $$ for one"
                ));
            }
            made.push_str(
                surroundings
                    .lookup_for_compose(&rest[..length])
                    .unwrap_or_default(),
            );
            rest = &rest[length..];
        }
    }
    made.push_str(rest);
    Ok(made)
}

/// The place of the brace that closes what begins here.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        match letter {
            '{' if before == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        before = letter;
    }
    None
}

fn name_length(text: &str) -> usize {
    if text.starts_with(|letter: char| letter.is_ascii_digit()) {
        return 0;
    }
    text.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .unwrap_or(text.len())
}

/// What stands between braces: a name and perhaps `:-`, `-`, `:?`, `?`, `:+` or `+`.
fn substitution(
    inside: &str,
    surroundings: &Surroundings,
    depth: usize,
) -> std::result::Result<String, String> {
    let (name, operation) = inside.split_at(name_length(inside));
    if name.is_empty() {
        return Err(format!("${{{inside}}} does not begin with a name"));
    }
    let value = surroundings.lookup_for_compose(name);
    let (operation, value) = match operation.strip_prefix(':') {
        Some(operation) => (operation, value.filter(|value| !value.is_empty())),
        None => (operation, value),
    };
    let word = |text: &str| text_of(text, surroundings, depth + 1);
    match (operation.chars().next(), value) {
        (None, value) | (Some('-' | '?'), value @ Some(_)) => {
            Ok(value.unwrap_or_default().to_owned())
        }
        (Some('-'), None) => word(&operation[1..]),
        (Some('+'), Some(_)) => word(&operation[1..]),
        (Some('+'), None) => Ok(String::new()),
        (Some('?'), None) => {
            let reason = word(&operation[1..])?;
            Err(format!(
                "required variable {name} is missing a value: {reason}"
            ))
        }
        _ => Err(format!("${{{inside}}} is no interpolation")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let surroundings = Surroundings {
            environment: [("A", "a"), ("E", "")]
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .into(),
            ..Surroundings::default()
        };
        for (text, wanted) in [
            ("$A-${A}", "a-a"),
            ("$$A", "$A"),
            ("${X:-d}${E:-d}${E-d}", "dd"),
            ("${A:+y}${X+y}", "y"),
            ("${X:-${Y:-${A}}}", "a"),
            ("$X.", "."),
        ] {
            assert_eq!(text_of(text, &surroundings, 0).unwrap(), wanted, "{text}");
        }
        for wrong in [
            "$",
            "${",
            "${}",
            "${A",
            "${X?gone}",
            "${E:?empty}",
            "$1",
            "${A!}",
        ] {
            assert!(text_of(wrong, &surroundings, 0).is_err(), "{wrong}");
        }
        assert!(text_of(&"${A:-".repeat(100), &surroundings, 0).is_err());
        let deep = format!("{}x{}", "${X:-".repeat(100), "}".repeat(100));
        assert!(text_of(&deep, &surroundings, 0).is_err());
    }
}
