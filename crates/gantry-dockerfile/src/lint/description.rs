//! Comments above stages and arguments.

use super::Rule;
use crate::ast::{Dockerfile, InstructionKind};
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// A comment directly above a stage or an argument begins with its name.
pub(super) fn check(file: &Dockerfile, warnings: &mut Vec<Diagnostic>) {
    let inside = file.stages.iter().flat_map(|stage| &stage.instructions);
    for instruction in file.meta_args.iter().chain(inside) {
        if let InstructionKind::Arg(declarations) = &instruction.kind {
            let names: Vec<&str> = declarations.iter().map(|one| one.name.as_str()).collect();
            described(
                "ARG",
                &names,
                &instruction.comments,
                instruction.span,
                warnings,
            );
        }
    }
    for stage in &file.stages {
        let name = stage.normal_name();
        let names: Vec<&str> = name.as_deref().into_iter().collect();
        described("FROM", &names, &stage.comments, stage.span, warnings);
    }
}

fn described(
    instruction: &str,
    names: &[&str],
    comments: &[String],
    span: Span,
    warnings: &mut Vec<Diagnostic>,
) {
    let (Some(comment), Some(first)) = (comments.last(), names.first()) else {
        return;
    };
    let word = comment.split(' ').next().unwrap_or_default();
    if names.contains(&word) {
        return;
    }
    let example = if names.len() > 1 { "<arg_key>" } else { first };
    let message =
        format!("Comment for {instruction} should follow the format: `# {example} <description>`");
    warnings.push(Rule::InvalidDefinitionDescription.at(message, span));
}
