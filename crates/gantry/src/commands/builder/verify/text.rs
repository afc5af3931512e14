//! The verdict for people.

use super::verdict::{Verdict, short};
use crate::output::progress::screen::harmless;

/// The first difference in a sentence, then at most so many files.
pub(super) fn of(verdict: &Verdict, limit: usize) -> String {
    let Some(first) = verdict.first() else {
        return verified(verdict);
    };
    let mut lines = vec![format!("not verified: {}: {first}", verdict.name)];
    let fields: Vec<String> = verdict
        .fields()
        .map(|field| format!("  {}: {} → {}", field.field, field.first, field.second))
        .collect();
    if !fields.is_empty() {
        lines.push("configuration".to_owned());
        lines.extend(shortened(fields, limit, "fields"));
    }
    let mut left = limit;
    for layer in verdict.layers() {
        let step = verdict.step(layer.layer);
        lines.push(format!("layer {}, made by {step}", layer.layer + 1));
        let told = verdict.files(layer).take(left).map(|file| {
            let aspects: Vec<String> = file.aspects.iter().map(short).collect();
            format!("  {}: {}", file.path, aspects.join(", "))
        });
        let told: Vec<String> = told.collect();
        left -= told.len();
        let more = verdict.count(layer).saturating_sub(told.len() as u64);
        lines.extend(told);
        if more > 0 {
            lines.push(format!("  and {more} more"));
        }
    }
    lines.extend(passed_over(verdict));
    lines.iter().map(|line| harmless(line) + "\n").collect()
}

fn shortened(mut lines: Vec<String>, limit: usize, what: &str) -> Vec<String> {
    let more = lines.len().saturating_sub(limit);
    lines.truncate(limit);
    if more > 0 {
        lines.push(format!("  and {more} more {what}"));
    }
    lines
}

fn verified(verdict: &Verdict) -> String {
    let how = match verdict.is_identical() {
        true => "the same to the byte",
        false => "the same files and the same configuration",
    };
    let mut text = format!("verified: {}\n{} is {how}\n", verdict.id, verdict.name);
    if let Some(line) = passed_over(verdict) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// What was not counted.
fn passed_over(verdict: &Verdict) -> Option<String> {
    let times = verdict.passed_over();
    (times > 0).then(|| {
        let what = if times == 1 {
            "time differs"
        } else {
            "times differ"
        };
        format!(
            "{times} {what} that the build took from the clock (--strict counts them; \
             SOURCE_DATE_EPOCH with rewrite-timestamp=true fixes them)"
        )
    })
}
