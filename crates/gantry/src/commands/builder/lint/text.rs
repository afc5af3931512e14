//! For people: every complaint with its lines, and a count.

use gantry_dockerfile::diagnostic::{Code, Severity};
use gantry_model::quantity::counted;

use super::Linted;

pub(super) fn render(files: &[Linted]) -> String {
    let mut out = String::new();
    let mut counts = [
        (Severity::Error, 0),
        (Severity::Warning, 0),
        (Severity::Info, 0),
    ];
    let mut mendable = 0;
    for file in files {
        let named = gantry_dockerfile::SourceFile::new(file.name.as_str(), file.source.text());
        for complaint in &file.complaints {
            let mut shown = complaint.clone();
            if let Code::Lint(rule) = complaint.code {
                shown.message = format!("{rule}: {}", complaint.message);
            }
            out.push_str(&shown.render(&named));
            out.push('\n');
            let count = counts
                .iter_mut()
                .find(|(severity, _)| *severity == complaint.severity);
            if let Some((_, count)) = count {
                *count += 1;
            }
            mendable += usize::from(complaint.fix.is_some());
        }
    }
    let told: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(severity, count)| plural(*count, severity.as_str()))
        .collect();
    if told.is_empty() {
        out.push_str("nothing found\n");
        return out;
    }
    out.push_str(&told.join(", "));
    if mendable > 0 {
        out.push_str(&format!("; --fix mends {mendable}"));
    }
    out.push('\n');
    out
}

fn plural(count: usize, what: &str) -> String {
    match what {
        "info" => format!("{count} of information"),
        _ => counted(count, what),
    }
}
