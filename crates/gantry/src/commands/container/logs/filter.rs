//! `--grep`: lines that match, put together from their parts.

use gantry_engine::containers::LogLine;
use gantry_supervisor::log::Stream;
use regex::Regex;

use crate::failure::Failure;

/// Bytes of one line that are looked at as a whole; a longer one is looked at in pieces.
const MOST: usize = 1 << 20;

/// Lets lines pass that match.
pub(super) struct Filter {
    pattern: Regex,
    /// The parts of a line that is not whole yet, by stream.
    parts: [Vec<LogLine>; 2],
}

impl Filter {
    pub(super) fn new(pattern: &str) -> Result<Self, Failure> {
        let pattern = Regex::new(pattern).map_err(|error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            let reason = last.trim().trim_start_matches("error: ");
            Failure::invalid(format!("invalid value for --grep: {pattern:?}: {reason}"))
        })?;
        Ok(Self {
            pattern,
            parts: [Vec::new(), Vec::new()],
        })
    }

    /// What is to be shown now that this line, or part of one, has come.
    pub(super) fn pass(&mut self, line: LogLine) -> Vec<LogLine> {
        let parts = &mut self.parts[usize::from(line.stream == Stream::Stderr)];
        let whole = line.text.ends_with('\n');
        parts.push(line);
        let size: usize = parts.iter().map(|part| part.text.len()).sum();
        if !whole && size < MOST {
            return Vec::new();
        }
        let parts = std::mem::take(parts);
        self.matching(parts)
    }

    /// What is to be shown of unfinished lines at the end.
    pub(super) fn rest(&mut self) -> Vec<LogLine> {
        let parts = std::mem::take(&mut self.parts);
        parts
            .into_iter()
            .flat_map(|parts| self.matching(parts))
            .collect()
    }

    fn matching(&self, parts: Vec<LogLine>) -> Vec<LogLine> {
        let text: String = parts.iter().map(|part| part.text.as_str()).collect();
        let matches = self.pattern.is_match(text.trim_end_matches('\n'));
        if matches { parts } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stream: Stream, text: &str) -> LogLine {
        LogLine {
            stream,
            time: String::new(),
            attributes: std::collections::BTreeMap::new(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn parts_of_a_line_match_together() {
        let mut filter = Filter::new("a.*z$").unwrap();
        let mut shown = Vec::new();
        for (stream, text) in [
            (Stream::Stdout, "a123"),
            (Stream::Stderr, "a\n"),
            (Stream::Stdout, "456z\n"),
            (Stream::Stdout, "no\n"),
            (Stream::Stderr, "az"),
        ] {
            shown.extend(filter.pass(line(stream, text)));
        }
        shown.extend(filter.rest());
        let texts: Vec<&str> = shown.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["a123", "456z\n", "az"]);
        assert!(Filter::new("(").is_err());
    }
}
