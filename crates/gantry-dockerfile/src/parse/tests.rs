mod any;
mod instructions;
mod lines;
mod mistakes;

use super::{parse, parse_trigger};
use crate::ast::{
    CacheSharing, CommandLine, CopySource, Dockerfile, Escape, Healthcheck, Instruction,
    InstructionKind, MountSpec, Network, Run, RunProgram, Security,
};
use crate::diagnostic::Diagnostic;
use crate::source::SourceFile;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::time::Duration;

fn source(text: &str) -> SourceFile {
    SourceFile::new("Dockerfile", text)
}

fn parsed(text: &str) -> Dockerfile {
    let source = source(text);
    match parse(&source) {
        Ok(file) => file,
        Err(errors) => panic!("{}", crate::diagnostic::render_all(&errors, &source)),
    }
}

/// The only instruction behind `FROM x`.
fn instruction(text: &str) -> Instruction {
    let mut file = parsed(&format!("FROM x\n{text}\n"));
    assert_eq!(file.stages[0].instructions.len(), 1, "{text}");
    file.stages[0].instructions.remove(0)
}

fn kind(text: &str) -> InstructionKind {
    instruction(text).kind
}

fn run(text: &str) -> Run {
    match kind(text) {
        InstructionKind::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

/// `line: message [text under the marker]` of every error.
fn errors(text: &str) -> String {
    let source = source(text);
    let errors = parse(&source).map_or_else(|errors| errors, |_| Vec::new());
    let show = |error: &Diagnostic| {
        format!(
            "{}: {} [{}]",
            source.position(error.span.start).line,
            error.message,
            source.slice(error.span)
        )
    };
    errors.iter().map(show).collect::<Vec<_>>().join("\n")
}
