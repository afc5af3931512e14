//! For programs: everything that is known of a complaint.

use gantry_dockerfile::Diagnostic;
use gantry_dockerfile::diagnostic::Code;
use gantry_dockerfile::lint::{Origin, Rule};
use gantry_dockerfile::{SourceFile, Span};
use serde::Serialize;

use super::Linted;
use crate::output::go_json;

#[derive(Debug, Serialize)]
struct Document<'a> {
    files: Vec<File<'a>>,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    name: &'a str,
    findings: Vec<Finding<'a>>,
}

#[derive(Debug, Serialize)]
struct Finding<'a> {
    /// `null`: the file does not parse.
    rule: Option<&'static str>,
    origin: Option<&'static str>,
    severity: &'static str,
    message: &'a str,
    hints: &'a [String],
    range: Range,
    /// `null` where it has to be mended by hand.
    fix: Option<Vec<Edit<'a>>>,
}

/// Lines and columns count from 1, columns in characters; the end is behind the last one.
/// Offsets are in bytes.
#[derive(Debug, Serialize)]
struct Range {
    start: Place,
    end: Place,
}

#[derive(Debug, Serialize)]
struct Place {
    line: usize,
    column: usize,
    offset: usize,
}

#[derive(Debug, Serialize)]
struct Edit<'a> {
    range: Range,
    text: &'a str,
}

fn range(source: &SourceFile, span: Span) -> Range {
    let place = |offset: usize| {
        let position = source.position(offset);
        Place {
            line: position.line,
            column: position.column,
            offset,
        }
    };
    Range {
        start: place(span.start),
        end: place(span.end),
    }
}

fn finding<'a>(source: &SourceFile, complaint: &'a Diagnostic) -> Finding<'a> {
    let rule = match complaint.code {
        Code::Lint(rule) => Some(rule),
        _ => None,
    };
    let edits = complaint.fix.as_ref().map(|fix| {
        let edit = |edit: &'a gantry_dockerfile::fix::Edit| Edit {
            range: range(source, edit.span),
            text: &edit.text,
        };
        fix.edits.iter().map(edit).collect()
    });
    Finding {
        rule: rule.map(Rule::name),
        origin: rule.map(|rule| match rule.origin() {
            Origin::BuildKit => "buildkit",
            Origin::Gantry => "gantry",
        }),
        severity: complaint.severity.as_str(),
        message: &complaint.message,
        hints: &complaint.hints,
        range: range(source, complaint.span),
        fix: edits,
    }
}

pub(super) fn render(files: &[Linted]) -> String {
    let files = files.iter().map(|file| {
        let findings = file.complaints.iter();
        File {
            name: &file.name,
            findings: findings.map(|one| finding(&file.source, one)).collect(),
        }
    });
    let document = Document {
        files: files.collect(),
    };
    format!("{}\n", go_json::indented_by_two(&document))
}
