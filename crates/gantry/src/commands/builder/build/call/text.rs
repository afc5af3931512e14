//! Tables and lists for people, as the build tools print them.

use gantry_build::{Check, Examination};
use gantry_dockerfile::Diagnostic;
use gantry_dockerfile::diagnostic::Code;
use gantry_dockerfile::lint;
use gantry_dockerfile::outline::{Argument, Lent, Outline, Target};

use crate::output::columns::align_with;

pub(super) fn check(check: &Check, examination: &Examination, name: &str) -> String {
    let mut out = match (check.warnings.len(), &check.error) {
        (0, None) => "Check complete, no warnings found.\n".to_owned(),
        (0, Some(_)) => String::new(),
        (1, _) => "Check complete, 1 warning has been found!\n".to_owned(),
        (count, _) => format!("Check complete, {count} warnings have been found!\n"),
    };
    for warning in &check.warnings {
        complaint(&mut out, "WARNING", warning, examination, name);
    }
    if !check.advice.is_empty() {
        out.push_str(&format!(
            "\nFound by own rules, which do not count ({}):\n",
            check.advice.len()
        ));
    }
    for advice in &check.advice {
        complaint(&mut out, "ADVICE", advice, examination, name);
    }
    out
}

fn complaint(
    out: &mut String,
    kind: &str,
    complaint: &Diagnostic,
    examination: &Examination,
    name: &str,
) {
    let source = &examination.source;
    if let Code::Lint(rule) = complaint.code {
        out.push_str(&format!("\n{kind}: {rule}"));
        if let Some(url) = rule.url() {
            out.push_str(&format!(" - {url}"));
        }
    }
    out.push_str(&format!("\n{}\n", complaint.message));
    if let Ok(file) = &examination.parsed {
        let (first, last) = lint::lines(file, source, complaint);
        out.push_str(&source.excerpt(name, first, last));
    }
}

pub(super) fn targets(targets: &[Target]) -> String {
    let mut out = String::from("TARGET\tDESCRIPTION\n");
    for target in targets {
        let mut name = target.name.clone().unwrap_or_default();
        if target.is_default {
            let blank = if name.is_empty() { "" } else { " " };
            name.push_str(&format!("{blank}(default)"));
        }
        let description = target.description.as_deref().unwrap_or_default();
        out.push_str(&format!("{name}\t{description}\n"));
    }
    align_with(&out, 0, 1)
}

pub(super) fn outline(outline: &Outline) -> String {
    let mut out = String::new();
    let mut head = String::new();
    for (title, value) in [
        ("TARGET", &outline.name),
        ("DESCRIPTION", &outline.description),
    ] {
        if let Some(value) = value {
            head.push_str(&format!("{title}:\t{value}\n"));
        }
    }
    section(&mut out, &head, 1);
    let row = |argument: &Argument| {
        let value = argument.value.as_deref().unwrap_or_default();
        let description = argument.description.as_deref().unwrap_or_default();
        format!("{}\t{value}\t{description}\n", argument.name)
    };
    let rows: String = outline.arguments.iter().map(row).collect();
    table(&mut out, "BUILD ARG\tVALUE\tDESCRIPTION\n", &rows);
    table(&mut out, "SECRET\tREQUIRED\n", &lent(&outline.secrets));
    table(&mut out, "SSH\tREQUIRED\n", &lent(&outline.agents));
    out
}

fn lent(all: &[Lent]) -> String {
    let row = |lent: &Lent| {
        let required = if lent.required { "true" } else { "" };
        format!("{}\t{required}\n", lent.name)
    };
    all.iter().map(row).collect()
}

fn table(out: &mut String, head: &str, rows: &str) {
    if !rows.is_empty() {
        section(out, &format!("{head}{rows}"), 3);
    }
}

fn section(out: &mut String, text: &str, padding: usize) {
    if !text.is_empty() {
        out.push_str(&align_with(text, 0, padding));
        out.push('\n');
    }
}
