//! The same as JSON: BuildKit's names, in its order, and left out where it leaves out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_build::{Check, Examination};
use gantry_dockerfile::diagnostic::Code;
use gantry_dockerfile::lint;
use gantry_dockerfile::{Diagnostic, SourceFile, Span, outline};
use serde::Serialize;

/// `check`.
#[derive(Debug, Serialize)]
pub(super) struct CheckDocument {
    /// `null` where there are none.
    warnings: Option<Vec<Complaint>>,
    /// Gantry's own; BuildKit's tools know none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    advice: Vec<Complaint>,
    sources: [CheckSource; 1],
    #[serde(rename = "buildError", skip_serializing_if = "Option::is_none")]
    build_error: Option<BuildErrorDocument>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    detail: String,
    location: Location,
}

#[derive(Debug, Serialize)]
struct CheckSource {
    filename: String,
    data: String,
    language: &'static str,
}

#[derive(Debug, Serialize)]
struct BuildErrorDocument {
    message: String,
    location: Location,
}

#[derive(Debug, Default, Serialize)]
struct Location {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<Range>,
}

#[derive(Debug, Serialize)]
struct Range {
    start: Line,
    end: Line,
}

#[derive(Debug, Serialize)]
struct Line {
    line: usize,
}

impl Location {
    fn of((first, last): (usize, usize)) -> Self {
        let (start, end) = (Line { line: first }, Line { line: last });
        Self {
            ranges: vec![Range { start, end }],
        }
    }

    fn at(source: &SourceFile, span: Span) -> Self {
        Self::of(source.lines(span))
    }
}

impl CheckDocument {
    pub(super) fn new(check: &Check, examination: &Examination) -> Self {
        let source = &examination.source;
        let all = |complaints: &[Diagnostic]| -> Vec<Complaint> {
            let each = complaints.iter();
            each.map(|one| Complaint::new(one, examination)).collect()
        };
        Self {
            warnings: Some(all(&check.warnings)).filter(|all| !all.is_empty()),
            advice: all(&check.advice),
            sources: [CheckSource {
                filename: source.name().to_owned(),
                data: STANDARD.encode(source.text()),
                language: "Dockerfile",
            }],
            build_error: check.error.as_ref().map(|error| BuildErrorDocument {
                message: error.message.clone(),
                location: error.lines.map(Location::of).unwrap_or_default(),
            }),
        }
    }
}

impl Complaint {
    fn new(complaint: &Diagnostic, examination: &Examination) -> Self {
        let source = &examination.source;
        let rule = match complaint.code {
            Code::Lint(rule) => Some(rule),
            _ => None,
        };
        let lines = match &examination.parsed {
            Ok(file) => lint::lines(file, source, complaint),
            Err(_) => source.lines(complaint.span),
        };
        Self {
            rule_name: rule.map(lint::Rule::name),
            description: rule.map(lint::Rule::summary),
            url: rule.and_then(lint::Rule::url),
            detail: complaint.message.clone(),
            location: Location::of(lines),
        }
    }
}

/// `outline`.
#[derive(Debug, Serialize)]
pub(super) struct OutlineDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Argument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Lent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ssh: Vec<Lent>,
    sources: [String; 1],
}

#[derive(Debug, Serialize)]
struct Argument {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    location: Location,
}

#[derive(Debug, Serialize)]
struct Lent {
    name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    location: Location,
}

impl OutlineDocument {
    pub(super) fn new(outline: &outline::Outline, source: &SourceFile) -> Self {
        let argument = |argument: &outline::Argument| Argument {
            name: argument.name.clone(),
            description: argument.description.clone(),
            value: argument.value.clone().filter(|value| !value.is_empty()),
            location: Location::at(source, argument.span),
        };
        let lent = |all: &[outline::Lent]| {
            let one = |lent: &outline::Lent| Lent {
                name: lent.name.clone(),
                required: lent.required,
                location: Location::at(source, lent.span),
            };
            all.iter().map(one).collect()
        };
        Self {
            name: outline.name.clone(),
            description: outline.description.clone(),
            args: outline.arguments.iter().map(argument).collect(),
            secrets: lent(&outline.secrets),
            ssh: lent(&outline.agents),
            sources: [STANDARD.encode(source.text())],
        }
    }
}

/// `targets`.
#[derive(Debug, Serialize)]
pub(super) struct TargetsDocument {
    targets: Vec<Target>,
    sources: [String; 1],
}

#[derive(Debug, Serialize)]
struct Target {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(rename = "default", skip_serializing_if = "std::ops::Not::not")]
    is_default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    base: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    location: Location,
}

impl TargetsDocument {
    pub(super) fn new(targets: &[outline::Target], source: &SourceFile) -> Self {
        let target = |target: &outline::Target| Target {
            name: target.name.clone(),
            is_default: target.is_default,
            description: target.description.clone(),
            base: target.base.clone(),
            platform: target.platform.clone(),
            location: Location::at(source, target.span),
        };
        Self {
            targets: targets.iter().map(target).collect(),
            sources: [STANDARD.encode(source.text())],
        }
    }
}
