//! `FROM`.

use super::instruction::{Parts, Refusal};
use crate::ast::Stage;
use crate::diagnostic::{Code, Diagnostic};

/// `FROM [--platform=…] image [AS name]`
pub(crate) fn from(mut parts: Parts<'_>) -> Result<Stage, Refusal> {
    // An empty one is as good as none.
    let platform = parts.flags.string("platform");
    let platform = platform.filter(|platform| !platform.value.is_empty());
    parts.finish_flags(&["platform"])?;
    let words = parts.arguments.blank_separated();
    let (base, alias) = match words.as_slice() {
        [base] => (base, None),
        [base, keyword, name] if keyword.as_str().eq_ignore_ascii_case("as") => {
            (base, Some((keyword, name)))
        }
        _ => {
            let error = Diagnostic::error(
                Code::Arguments,
                "FROM requires either one or three arguments",
                parts.span,
            );
            return Err(vec![error.with_hint("write FROM <image> [AS <name>]")]);
        }
    };
    if let Some((_, name)) = alias.filter(|(_, name)| !is_stage_name(name.as_str())) {
        let message = format!(
            "invalid name for build stage: \"{}\", name can't start with a number or contain symbols",
            name.as_str()
        );
        return Err(vec![Diagnostic::error(
            Code::StageName,
            message,
            name.span(),
        )]);
    }
    Ok(Stage {
        name: alias.map(|(_, name)| name.word()),
        base: base.word(),
        platform,
        text: parts.text,
        keyword: parts.written,
        as_keyword: alias.map(|(keyword, _)| keyword.word()),
        instructions: Vec::new(),
        span: parts.span,
        comments: parts.comments,
    })
}

/// Whether a stage may have that name: a letter, then letters, digits, `-`, `_` and `.`.
fn is_stage_name(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'))
}
