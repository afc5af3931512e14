//! SARIF 2.1.0 (OASIS), which code hosts show beside the lines.

use gantry_dockerfile::diagnostic::{Code, Severity};
use gantry_dockerfile::lint::Rule;
use gantry_dockerfile::{Diagnostic, SourceFile, Span};
use serde::Serialize;

use super::Linted;
use crate::output::go_json;

/// The identifier of complaints of the parser, which are no rule's.
const PARSE: &str = "Parse";

#[derive(Debug, Serialize)]
struct Log<'a> {
    version: &'static str,
    #[serde(rename = "$schema")]
    schema: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool,
    column_kind: &'static str,
    results: Vec<Finding<'a>>,
}

#[derive(Debug, Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Debug, Serialize)]
struct Driver {
    name: &'static str,
    version: &'static str,
    rules: Vec<RuleDescriptor>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleDescriptor {
    id: &'static str,
    short_description: Text<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<Help>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help_uri: Option<String>,
    default_configuration: Configuration,
}

#[derive(Debug, Serialize)]
struct Text<T> {
    text: T,
}

#[derive(Debug, Serialize)]
struct Help {
    text: String,
    markdown: String,
}

#[derive(Debug, Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding<'a> {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Text<&'a str>,
    locations: [Location; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<Fix<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: PhysicalLocation,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Debug, Clone, Serialize)]
struct ArtifactLocation {
    uri: String,
}

/// Counted from 1; the end column is behind the last character.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
    start_column: usize,
    end_line: usize,
    end_column: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fix<'a> {
    description: Text<&'static str>,
    artifact_changes: [ArtifactChange<'a>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactChange<'a> {
    artifact_location: ArtifactLocation,
    replacements: Vec<Replacement<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement<'a> {
    deleted_region: Region,
    inserted_content: Text<&'a str>,
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn region(source: &SourceFile, span: Span) -> Region {
    let (start, end) = (source.position(span.start), source.position(span.end));
    Region {
        start_line: start.line,
        start_column: start.column,
        end_line: end.line,
        end_column: end.column,
    }
}

/// A path as a URI reference (RFC 3986): what is no plain letter is written by its bytes.
fn uri(path: &str) -> String {
    let path = path.trim_start_matches("./");
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    match path.starts_with('/') {
        true => format!("file://{out}"),
        false => out,
    }
}

fn descriptors() -> Vec<RuleDescriptor> {
    let of_rule = |rule: Rule| RuleDescriptor {
        id: rule.name(),
        short_description: Text {
            text: rule.summary(),
        },
        help: Some(Help {
            text: rule.page(),
            markdown: rule.page(),
        }),
        help_uri: rule.url(),
        default_configuration: Configuration {
            level: level(rule.severity()),
        },
    };
    let parse = RuleDescriptor {
        id: PARSE,
        short_description: Text {
            text: "The file is no Dockerfile that can be built",
        },
        help: None,
        help_uri: None,
        default_configuration: Configuration { level: "error" },
    };
    let rules = Rule::ALL.into_iter().map(of_rule);
    rules.chain(std::iter::once(parse)).collect()
}

fn finding<'a>(file: &Linted, complaint: &'a Diagnostic) -> Finding<'a> {
    let rule = match complaint.code {
        Code::Lint(rule) => Some(rule),
        _ => None,
    };
    let place = rule.and_then(|rule| Rule::ALL.iter().position(|known| *known == rule));
    let artifact = ArtifactLocation {
        uri: uri(&file.name),
    };
    let fixes = complaint.fix.iter().map(|fix| {
        let replacements = fix.edits.iter().map(|edit| Replacement {
            deleted_region: region(&file.source, edit.span),
            inserted_content: Text {
                text: edit.text.as_str(),
            },
        });
        Fix {
            description: Text {
                text: rule.map_or("", Rule::summary),
            },
            artifact_changes: [ArtifactChange {
                artifact_location: artifact.clone(),
                replacements: replacements.collect(),
            }],
        }
    });
    Finding {
        rule_id: rule.map_or(PARSE, Rule::name),
        rule_index: place.unwrap_or(Rule::ALL.len()),
        level: level(complaint.severity),
        message: Text {
            text: &complaint.message,
        },
        fixes: fixes.collect(),
        locations: [Location {
            physical_location: PhysicalLocation {
                artifact_location: artifact.clone(),
                region: region(&file.source, complaint.span),
            },
        }],
    }
}

pub(super) fn render(files: &[Linted]) -> String {
    let results = files
        .iter()
        .flat_map(|file| file.complaints.iter().map(|one| finding(file, one)));
    let log = Log {
        version: "2.1.0",
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "gantry",
                    version: env!("CARGO_PKG_VERSION"),
                    rules: descriptors(),
                },
            },
            column_kind: "unicodeCodePoints",
            results: results.collect(),
        }],
    };
    format!("{}\n", go_json::indented_by_two(&log))
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("./a b/Dockerfile"), "a%20b/Dockerfile");
        assert_eq!(uri("/x/ü"), "file:///x/%C3%BC");
    }
}
