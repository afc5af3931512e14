//! `COPY` and `ADD`.

use std::collections::HashMap;

use super::flag::MOST_ERRORS;
use super::heredoc::marker;
use super::instruction::{Parts, Refusal};
use crate::ast::{Add, Copy, CopySource, Heredoc, InstructionKind, Word};
use crate::diagnostic::{Code, Diagnostic};

/// `COPY [flags] source… destination`
pub(crate) fn copy(parts: &mut Parts<'_>) -> Result<InstructionKind, Refusal> {
    // An empty one is as good as none: the context.
    let from = parts.flags.string("from");
    let from = from.filter(|from| !from.value.is_empty());
    let chown = parts.flags.string("chown");
    let chmod = parts.flags.string("chmod");
    let link = parts.flags.switch("link").unwrap_or(false);
    let parents = parts.flags.switch("parents").unwrap_or(false);
    let exclude = parts.flags.strings("exclude");
    parts.finish_flags(&["from", "chown", "chmod", "link", "parents", "exclude"])?;
    if let Some(from) = from.as_ref().filter(|from| has_variable(&from.value)) {
        let message = "variable expansion is not supported for --from";
        let hint = format!(
            "add `FROM {} AS <name>` above and copy with --from=<name>",
            from.value
        );
        return Err(vec![
            Diagnostic::error(Code::Flag, message, from.span).with_hint(hint),
        ]);
    }
    let (sources, destination) = sources_and_destination(parts)?;
    Ok(InstructionKind::Copy(Copy {
        sources,
        destination,
        from,
        chown,
        chmod,
        link,
        parents,
        exclude,
    }))
}

/// `ADD [flags] source… destination`
pub(crate) fn add(parts: &mut Parts<'_>) -> Result<InstructionKind, Refusal> {
    let chown = parts.flags.string("chown");
    let chmod = parts.flags.string("chmod");
    let link = parts.flags.switch("link").unwrap_or(false);
    let exclude = parts.flags.strings("exclude");
    let keep_git_dir = parts.flags.switch("keep-git-dir");
    let checksum = parts.flags.string("checksum");
    let unpack = parts.flags.switch("unpack");
    parts.finish_flags(&[
        "chown",
        "chmod",
        "link",
        "exclude",
        "keep-git-dir",
        "checksum",
        "unpack",
    ])?;
    let (sources, destination) = sources_and_destination(parts)?;
    Ok(InstructionKind::Add(Add {
        sources,
        destination,
        chown,
        chmod,
        link,
        exclude,
        keep_git_dir,
        checksum,
        unpack,
    }))
}

/// Whether a text holds a variable: a `$` that something follows.
pub(crate) fn has_variable(text: &str) -> bool {
    text.find('$').is_some_and(|at| at + 1 < text.len())
}

fn sources_and_destination(parts: &mut Parts<'_>) -> Result<(Vec<CopySource>, Word), Refusal> {
    let name = parts.keyword.name();
    let mut words = parts.list()?;
    let destination = words.pop();
    let (Some(destination), false) = (destination, words.is_empty()) else {
        let message = format!(
            "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
        );
        let error = Diagnostic::error(Code::Arguments, message, parts.span);
        return Err(vec![
            error.with_hint(format!("write {name} <source>... <destination>")),
        ]);
    };
    if marker(&destination.value).is_some() {
        let message = format!("{name} cannot accept a heredoc as a destination");
        return Err(vec![Diagnostic::error(
            Code::Heredoc,
            message,
            destination.span,
        )]);
    }
    // Where two heredocs share a name, the last one's body counts for both.
    let bodies: HashMap<String, Heredoc> = std::mem::take(&mut parts.heredocs)
        .into_iter()
        .map(|heredoc| (heredoc.name.clone(), heredoc))
        .collect();
    let sources: Vec<CopySource> = words
        .into_iter()
        .map(|word| source(word, &bodies))
        .collect();
    all_used(name, &sources, bodies)?;
    Ok((sources, destination))
}

/// A heredoc that is no source: `COPY << EOF` has two words where one is meant.
fn all_used(
    name: &str,
    sources: &[CopySource],
    mut bodies: HashMap<String, Heredoc>,
) -> Result<(), Refusal> {
    for source in sources {
        if let CopySource::Inline(heredoc) = source {
            bodies.remove(&heredoc.name);
        }
    }
    let mut unused: Vec<Heredoc> = bodies.into_values().collect();
    unused.sort_by_key(|heredoc| heredoc.span);
    let refuse = |heredoc: Heredoc| {
        let message = format!("heredoc {} is not a source of {name}", heredoc.name);
        let hint = "write <<NAME without white space, and with a name without any";
        Diagnostic::error(Code::Heredoc, message, heredoc.span).with_hint(hint)
    };
    let refused: Refusal = unused.into_iter().take(MOST_ERRORS).map(refuse).collect();
    if refused.is_empty() {
        Ok(())
    } else {
        Err(refused)
    }
}

/// A source: a heredoc, where its word is a marker that has a body, else a path.
fn source(word: Word, bodies: &HashMap<String, Heredoc>) -> CopySource {
    let Some(marker) = marker(&word.value) else {
        return CopySource::Path(word);
    };
    match bodies.get(&marker.name) {
        Some(body) => CopySource::Inline(Heredoc {
            descriptor: marker.descriptor,
            strip_tabs: marker.strip_tabs,
            expand: marker.expand,
            span: word.span,
            ..body.clone()
        }),
        None => CopySource::Path(word),
    }
}
