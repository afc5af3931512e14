//! The plain display: events in, the lines people know from BuildKit out.
//!
//! Pure: the caller writes the bytes wherever it likes. Vertices that run at once are kept
//! apart: the lines of one that is not shown wait until the shown one ends or has been silent
//! for a second.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use super::{Event, Unit, VertexId};

/// How long the shown vertex must have been silent before another one is shown in its place.
const SILENCE: Duration = Duration::from_secs(1);
/// Most lines repeated for a vertex that failed.
const TAIL: usize = 50;
/// Most bytes held back of a line without an end.
const LONGEST_LINE: usize = 64 * 1024;

/// Most bytes that wait for a vertex to be shown: one that has more to say is shown at once.
const MOST_WAITING: usize = 1 << 20;

/// Turns events into lines.
#[derive(Debug)]
pub struct PlainFormatter {
    vertices: HashMap<VertexId, Vertex>,
    /// In the order in which they were first heard of.
    order: Vec<VertexId>,
    next_number: usize,
    shown: Option<VertexId>,
    last_output: Duration,
    anything_written: bool,
}

#[derive(Debug, Default)]
struct Vertex {
    name: String,
    number: Option<usize>,
    started: Duration,
    ended: bool,
    failed: bool,
    /// The end of the output that has no line end yet.
    partial: Vec<u8>,
    /// Lines that wait for the vertex to be shown.
    waiting: Vec<u8>,
    /// The last lines of output, for the summary of a failure.
    tail: VecDeque<Vec<u8>>,
}

impl Default for PlainFormatter {
    fn default() -> Self {
        Self::new()
    }
}

impl PlainFormatter {
    /// A formatter that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            vertices: HashMap::new(),
            order: Vec::new(),
            next_number: 1,
            shown: None,
            last_output: Duration::ZERO,
            anything_written: false,
        }
    }

    /// Takes an event, appends the lines that are due to `out`.
    pub fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Vertex { vertex, name } => {
                self.order.push(vertex);
                self.vertices.insert(
                    vertex,
                    Vertex {
                        name: one_line(name),
                        ..Vertex::default()
                    },
                );
            }
            Event::Started { vertex, at } => {
                if let Some(entry) = self.vertices.get_mut(&vertex) {
                    entry.started = at;
                }
            }
            Event::Log {
                vertex, bytes, at, ..
            } => self.log(vertex, bytes, at, out),
            Event::Status {
                vertex,
                name,
                current,
                total,
                unit,
                done,
                at,
            } => {
                // Without a terminal only the end of a movement is of interest.
                if done {
                    let line = status_line(name, current, total, unit);
                    self.line(vertex, line.as_bytes(), at, out);
                }
            }
            Event::Cached { vertex, at } => self.end(vertex, "CACHED", at, out),
            Event::Done { vertex, at } => {
                let started = self.vertices.get(&vertex).map_or(at, |entry| entry.started);
                self.end(
                    vertex,
                    &format!("DONE {}", seconds(at.saturating_sub(started))),
                    at,
                    out,
                );
            }
            Event::Failed {
                vertex,
                message,
                at,
            } => {
                if let Some(entry) = self.vertices.get_mut(&vertex) {
                    entry.failed = true;
                }
                self.end(vertex, &format!("ERROR: {}", harmless(message)), at, out);
            }
            Event::Canceled { vertex, at } => self.end(vertex, "CANCELED", at, out),
            Event::Explained { .. } | Event::Warning { .. } | Event::Advice { .. } => {}
        }
    }

    /// Shows what waits, if the shown vertex has been silent long enough. To be called now and
    /// then by who has a timer; without it nothing is lost, only later.
    pub fn tick(&mut self, at: Duration, out: &mut Vec<u8>) {
        if at.saturating_sub(self.last_output) >= SILENCE {
            self.show_waiting(at, out);
        }
    }

    /// What is repeated at the end of a failed build: the failed vertices with their last lines.
    pub fn failure_summary(&self, out: &mut Vec<u8>) {
        for entry in self
            .order
            .iter()
            .filter_map(|vertex| self.vertices.get(vertex))
        {
            if !entry.failed {
                continue;
            }
            out.extend_from_slice(format!("------\n > {}:\n", entry.name).as_bytes());
            for line in &entry.tail {
                out.extend_from_slice(line);
            }
            out.extend_from_slice(b"------\n");
        }
    }

    fn log(&mut self, vertex: VertexId, bytes: &[u8], at: Duration, out: &mut Vec<u8>) {
        let Some(entry) = self.vertices.get_mut(&vertex) else {
            return;
        };
        entry.partial.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = line_end(&entry.partial) {
            let rest = entry.partial.split_off(end);
            lines.push(std::mem::replace(&mut entry.partial, rest));
        }
        for line in lines {
            self.log_line(vertex, &line, at, out);
        }
    }

    fn log_line(&mut self, vertex: VertexId, line: &[u8], at: Duration, out: &mut Vec<u8>) {
        let Some(entry) = self.vertices.get_mut(&vertex) else {
            return;
        };
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let mut shown =
            format!("{:.3} ", at.saturating_sub(entry.started).as_secs_f64()).into_bytes();
        shown.extend_from_slice(text);
        let mut kept = shown.clone();
        kept.push(b'\n');
        entry.tail.push_back(kept);
        if entry.tail.len() > TAIL {
            entry.tail.pop_front();
        }
        self.line(vertex, &shown, at, out);
    }

    fn end(&mut self, vertex: VertexId, text: &str, at: Duration, out: &mut Vec<u8>) {
        let partial = self
            .vertices
            .get_mut(&vertex)
            .map(|entry| std::mem::take(&mut entry.partial));
        if let Some(partial) = partial.filter(|partial| !partial.is_empty()) {
            self.log_line(vertex, &partial, at, out);
        }
        if let Some(entry) = self.vertices.get_mut(&vertex) {
            entry.ended = true;
        }
        self.line(vertex, text.as_bytes(), at, out);
        if self.shown.is_none() {
            self.show_waiting(at, out);
        }
    }

    /// One line of a vertex: written if the vertex is or can be shown, kept otherwise.
    fn line(&mut self, vertex: VertexId, text: &[u8], at: Duration, out: &mut Vec<u8>) {
        let Some(entry) = self.vertices.get_mut(&vertex) else {
            return;
        };
        let number = *entry.number.get_or_insert_with(|| {
            self.next_number += 1;
            self.next_number - 1
        });
        entry
            .waiting
            .extend_from_slice(format!("#{number} ").as_bytes());
        entry.waiting.extend_from_slice(text);
        entry.waiting.push(b'\n');
        let free =
            self.shown.is_none_or(|shown| shown == vertex) || entry.waiting.len() > MOST_WAITING;
        if free || at.saturating_sub(self.last_output) >= SILENCE {
            self.show(vertex, at, out);
        }
    }

    fn show(&mut self, vertex: VertexId, at: Duration, out: &mut Vec<u8>) {
        if self.shown != Some(vertex) {
            if let Some(before) = self.shown.and_then(|before| self.vertices.get(&before)) {
                let number = before.number.unwrap_or_default();
                out.extend_from_slice(format!("#{number} ...\n").as_bytes());
            }
            if self.anything_written {
                out.push(b'\n');
            }
        }
        let Some(entry) = self.vertices.get_mut(&vertex) else {
            return;
        };
        if self.shown != Some(vertex) {
            out.extend_from_slice(
                format!("#{} {}\n", entry.number.unwrap_or_default(), entry.name).as_bytes(),
            );
        }
        out.append(&mut entry.waiting);
        self.anything_written = true;
        self.last_output = at;
        self.shown = (!entry.ended).then_some(vertex);
    }

    /// Shows everything that ended while another was shown, then the first that still runs and
    /// has something to say.
    fn show_waiting(&mut self, at: Duration, out: &mut Vec<u8>) {
        for ended in [true, false] {
            for vertex in self.order.clone() {
                let due = self
                    .vertices
                    .get(&vertex)
                    .is_some_and(|entry| entry.ended == ended && !entry.waiting.is_empty());
                if due {
                    self.show(vertex, at, out);
                    if !ended {
                        return;
                    }
                }
            }
        }
    }
}

/// Where the first line ends (behind its end), or how much of an endless line is given out.
fn line_end(bytes: &[u8]) -> Option<usize> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => Some(at + 1),
        None if bytes.len() > LONGEST_LINE => Some(LONGEST_LINE),
        None => None,
    }
}

fn one_line(name: &str) -> String {
    harmless(name.split('\n').next().unwrap_or_default())
}

/// Text of a Dockerfile or an image as it is shown: it must not steer the terminal.
fn harmless(text: &str) -> String {
    let shown = |letter: char| match u8::try_from(letter) {
        Ok(b'\n' | b'\t') => letter,
        Ok(control @ 0..0x20) => char::from_u32(0x2400 + u32::from(control)).unwrap_or(' '),
        _ if letter.is_control() => '\u{fffd}',
        _ => letter,
    };
    text.chars().map(shown).collect()
}

/// A time as BuildKit writes it: `0.3s`.
#[must_use]
pub fn seconds(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}

/// A number of bytes as BuildKit writes it: `789B`, `10.50kB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count}B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.2}{}", UNITS[unit])
}

fn status_line(name: &str, current: u64, total: Option<u64>, unit: Unit) -> String {
    let mut line = one_line(name);
    if unit == Unit::Bytes {
        match total {
            Some(total) => {
                let _ = write!(line, " {} / {}", bytes(current), bytes(total));
            }
            None => {
                let _ = write!(line, " {}", bytes(current));
            }
        }
    }
    line.push_str(" done");
    line
}

#[cfg(test)]
mod tests {
    use super::super::LogStream;
    use super::*;

    const A: VertexId = VertexId(0);
    const B: VertexId = VertexId(1);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn made(vertex: VertexId, name: &str) -> Event<'_> {
        Event::Vertex { vertex, name }
    }

    fn started(vertex: VertexId, millis: u64) -> Event<'static> {
        let at = at(millis);
        Event::Started { vertex, at }
    }

    fn done(vertex: VertexId, millis: u64) -> Event<'static> {
        let at = at(millis);
        Event::Done { vertex, at }
    }

    fn log(vertex: VertexId, bytes: &[u8], millis: u64) -> Event<'_> {
        Event::Log {
            vertex,
            stream: LogStream::Stdout,
            bytes,
            at: at(millis),
        }
    }

    fn shown(events: &[Event<'_>]) -> (String, PlainFormatter) {
        let mut formatter = PlainFormatter::new();
        let mut out = Vec::new();
        for event in events {
            formatter.event(*event, &mut out);
        }
        (String::from_utf8(out).unwrap(), formatter)
    }

    #[test]
    fn one_vertex_after_the_other() {
        let (text, _) = shown(&[
            made(A, "[1/2] FROM busybox"),
            made(B, "[2/2] RUN make\nit"),
            Event::Cached {
                vertex: A,
                at: at(1),
            },
            started(B, 10),
            log(B, b"hel", 20),
            log(B, b"lo\r\nrest", 59),
            done(B, 310),
        ]);
        assert_eq!(
            text,
            "#1 [1/2] FROM busybox\n#1 CACHED\n\n#2 [2/2] RUN make\n#2 0.049 hello\n#2 0.300 rest\n#2 DONE 0.3s\n"
        );
    }

    #[test]
    fn two_at_once_are_kept_apart() {
        let (text, _) = shown(&[
            made(A, "a"),
            made(B, "b"),
            started(A, 0),
            started(B, 0),
            log(A, b"1\n", 100),
            log(B, b"2\n", 200),
            log(A, b"3\n", 300),
            done(A, 400),
            done(B, 500),
        ]);
        assert_eq!(
            text,
            "#1 a\n#1 0.100 1\n#1 0.300 3\n#1 DONE 0.4s\n\n#2 b\n#2 0.200 2\n#2 DONE 0.5s\n"
        );
    }

    #[test]
    fn one_with_much_to_say_is_shown_at_once() {
        let line = [&[b'x'; 1000][..], b"\n"].concat();
        let mut events = vec![made(A, "a"), made(B, "b"), started(A, 0), started(B, 0)];
        for at in 0..3_000 {
            // Neither is ever silent.
            events.extend([log(A, b"1\n", at / 10), log(B, &line, at / 10)]);
        }
        let mut formatter = PlainFormatter::new();
        let mut written = 0;
        for event in events {
            let mut out = Vec::new();
            formatter.event(event, &mut out);
            written += out.len();
        }
        let kept: usize = formatter
            .vertices
            .values()
            .map(|vertex| vertex.waiting.len())
            .sum();
        assert!(
            written > 1_500_000 && kept < 2 * MOST_WAITING,
            "{written} {kept}"
        );
    }

    #[test]
    fn a_silent_one_gives_way() {
        let (text, _) = shown(&[
            made(A, "a"),
            made(B, "b"),
            started(A, 0),
            started(B, 0),
            log(A, b"1\n", 100),
            log(B, b"2\n", 1200),
            done(A, 1300),
            done(B, 1400),
        ]);
        assert_eq!(
            text,
            "#1 a\n#1 0.100 1\n#1 ...\n\n#2 b\n#2 1.200 2\n#2 DONE 1.4s\n\n#1 a\n#1 DONE 1.3s\n"
        );
    }

    #[test]
    fn names_and_messages_do_not_steer_the_terminal() {
        let (text, _) = shown(&[
            made(A, "[2/2] RUN \u{1b}]0;x\u{7}"),
            started(A, 0),
            Event::Failed {
                vertex: A,
                message: "no \u{1b}[2J\u{9b}\tfile",
                at: at(200),
            },
        ]);
        assert_eq!(
            text,
            "#1 [2/2] RUN \u{241b}]0;x\u{2407}\n#1 ERROR: no \u{241b}[2J\u{fffd}\tfile\n"
        );
    }

    #[test]
    fn a_failure_repeats_the_last_lines() {
        let (text, formatter) = shown(&[
            made(A, "[2/2] RUN false"),
            started(A, 0),
            log(A, b"oh no\n", 100),
            Event::Failed {
                vertex: A,
                message: "exit code: 1",
                at: at(200),
            },
        ]);
        assert_eq!(
            text,
            "#1 [2/2] RUN false\n#1 0.100 oh no\n#1 ERROR: exit code: 1\n"
        );
        let mut out = Vec::new();
        formatter.failure_summary(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "------\n > [2/2] RUN false:\n0.100 oh no\n------\n"
        );
    }

    #[test]
    fn numbers_as_people_know_them() {
        for (count, text) in [
            (2, "2B"),
            (789, "789B"),
            (10_500, "10.50kB"),
            (1_234_567, "1.23MB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(
            status_line("transferring dockerfile:", 789, None, Unit::Bytes),
            "transferring dockerfile: 789B done"
        );
        assert_eq!(
            status_line("exporting layers", 0, None, Unit::None),
            "exporting layers done"
        );
    }
}
