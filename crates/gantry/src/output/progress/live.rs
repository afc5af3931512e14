//! The live view of a build: what is known of it, and the lines that show it. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use gantry_build::progress::plain::{bytes, seconds};
use gantry_build::progress::{Event, Unit, VertexId};

use super::palette::Palette;
use super::screen::{clip, harmless};

/// Lines of output shown below a running step.
const TAIL: usize = 6;
/// Most bytes kept of a line without an end.
const LONGEST_LINE: usize = 8192;

/// The state of a build as far as it is shown.
#[derive(Debug, Default)]
pub(crate) struct LiveView {
    vertices: HashMap<VertexId, Vertex>,
    /// Vertices that began, in that order.
    begun: Vec<VertexId>,
    total: usize,
    ended: usize,
    finished: Option<Duration>,
}

#[derive(Debug, Default)]
struct Vertex {
    name: String,
    state: State,
    parts: Vec<Part>,
    tail: VecDeque<String>,
    partial: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    Running(Duration),
    Done(Duration),
    Cached,
    Failed(Duration),
    Canceled(Duration),
}

#[derive(Debug)]
struct Part {
    name: String,
    shown: String,
    since: Duration,
    ended: Option<Duration>,
}

/// The terminal the view is shown on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent<'p> {
    /// Columns.
    pub(crate) width: usize,
    /// Lines.
    pub(crate) height: usize,
    /// The colours, where they are understood.
    pub(crate) palette: Option<&'p Palette>,
}

impl LiveView {
    /// Takes one event.
    pub(crate) fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Vertex { vertex, name } => {
                self.total += 1;
                let name = harmless(&name.replace('\n', " "));
                self.vertices.insert(
                    vertex,
                    Vertex {
                        name,
                        ..Vertex::default()
                    },
                );
            }
            Event::Started { vertex, at } => self.begin(vertex, State::Running(at)),
            Event::Cached { vertex, .. } => self.end(vertex, |_| State::Cached),
            Event::Done { vertex, at } => {
                self.end(vertex, |since| State::Done(at.saturating_sub(since)))
            }
            Event::Failed { vertex, at, .. } => {
                self.end(vertex, |since| State::Failed(at.saturating_sub(since)));
            }
            Event::Canceled { vertex, at } => {
                self.end(vertex, |since| State::Canceled(at.saturating_sub(since)));
            }
            Event::Log { vertex, bytes, .. } => {
                if let Some(vertex) = self.vertices.get_mut(&vertex) {
                    vertex.log(bytes);
                }
            }
            Event::Status {
                vertex,
                name,
                current,
                total,
                unit,
                done,
                at,
            } => {
                if let Some(vertex) = self.vertices.get_mut(&vertex) {
                    vertex.status(name, &amount(current, total, unit), done.then_some(at), at);
                }
            }
            _ => {}
        }
    }

    /// Says that the build is over.
    pub(crate) fn finish(&mut self, at: Duration) {
        self.finished = Some(at);
    }

    fn begin(&mut self, id: VertexId, state: State) {
        if let Some(vertex) = self.vertices.get_mut(&id) {
            if vertex.state == State::Waiting {
                self.begun.push(id);
            }
            vertex.state = state;
        }
    }

    fn end(&mut self, id: VertexId, state: impl FnOnce(Duration) -> State) {
        let Some(vertex) = self.vertices.get(&id) else {
            return;
        };
        let since = match vertex.state {
            State::Waiting => Duration::ZERO,
            State::Running(since) => since,
            _ => return,
        };
        self.ended += 1;
        self.begin(id, state(since));
    }

    /// The lines of the view at `now`, the heading first, no more than the terminal has.
    pub(crate) fn lines(&self, now: Duration, extent: Extent<'_>) -> Vec<String> {
        let now = self.finished.unwrap_or(now);
        let end = if self.finished.is_some() {
            " FINISHED"
        } else {
            ""
        };
        let heading = format!(
            "[+] Building {} ({}/{}){end}",
            seconds(now),
            self.ended,
            self.total
        );
        let mut body = Vec::new();
        for id in &self.begun {
            if let Some(vertex) = self.vertices.get(id) {
                vertex.lines(now, extent, &mut body);
            }
        }
        let room = extent.height.saturating_sub(2).max(1);
        // Where not everything fits, what ended goes first, then what steps write; oldest first.
        for weight in [Weight::Ended, Weight::Output] {
            let mut surplus = body.len().saturating_sub(room);
            body.retain(|line| {
                let drop = surplus > 0 && line.weight == weight;
                surplus -= usize::from(drop);
                !drop
            });
        }
        body.drain(..body.len().saturating_sub(room));
        std::iter::once(clip(&heading, extent.width))
            .chain(body.into_iter().map(|line| line.text))
            .collect()
    }
}

struct Line {
    text: String,
    weight: Weight,
}

/// What a line is worth where there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Of a step that ended.
    Ended,
    /// What a step writes.
    Output,
    /// A step that runs, or a part of it.
    Running,
}

impl Vertex {
    fn log(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let text = harmless(String::from_utf8_lossy(&line[..end]).trim_end_matches('\r'));
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(text);
        }
        if self.partial.len() > LONGEST_LINE {
            self.partial.clear();
        }
    }

    fn status(&mut self, name: &str, amount: &str, ended: Option<Duration>, at: Duration) {
        let shown = harmless(format!("{name}{amount}").trim());
        match self.parts.iter_mut().find(|part| part.name == name) {
            Some(part) => {
                part.shown = shown;
                part.ended = ended;
            }
            None => self.parts.push(Part {
                name: name.to_owned(),
                shown,
                since: at,
                ended,
            }),
        }
    }

    fn lines(&self, now: Duration, extent: Extent<'_>, out: &mut Vec<Line>) {
        let color = |of: fn(&Palette) -> &String| extent.palette.map_or("", |palette| of(palette));
        let (mark, color, time) = match self.state {
            State::Waiting => return,
            State::Running(since) => ("", "", now.saturating_sub(since)),
            State::Done(took) => ("", color(|palette| &palette.run), took),
            State::Cached => ("CACHED ", color(|palette| &palette.run), Duration::ZERO),
            State::Failed(took) => ("ERROR ", color(|palette| &palette.error), took),
            State::Canceled(took) => ("CANCELED ", color(|palette| &palette.cancel), took),
        };
        let ended = !matches!(self.state, State::Running(_));
        out.push(Line {
            text: row(
                " => ",
                &format!("{mark}{}", self.name),
                Some(time),
                color,
                extent,
            ),
            weight: match ended {
                true => Weight::Ended,
                false => Weight::Running,
            },
        });
        if ended {
            return;
        }
        for part in &self.parts {
            let time = part.ended.unwrap_or(now).saturating_sub(part.since);
            out.push(Line {
                text: row(" => => ", &part.shown, Some(time), "", extent),
                weight: Weight::Running,
            });
        }
        for line in &self.tail {
            out.push(Line {
                text: row(" => => # ", line, None, "2", extent),
                weight: Weight::Output,
            });
        }
    }
}

/// One line: what, and the time at the right margin.
fn row(
    prefix: &str,
    text: &str,
    time: Option<Duration>,
    color: &str,
    extent: Extent<'_>,
) -> String {
    let time = time.map(seconds).unwrap_or_default();
    let room = extent.width.saturating_sub(prefix.len() + time.len() + 1);
    let text = clip(text, room);
    let text = if time.is_empty() {
        text
    } else {
        format!("{text:room$} {time}")
    };
    if extent.palette.is_some() && !color.is_empty() {
        format!("\x1b[{color}m{prefix}{text}\x1b[0m")
    } else {
        format!("{prefix}{text}")
    }
}

fn amount(current: u64, total: Option<u64>, unit: Unit) -> String {
    match (unit, total) {
        (Unit::None, _) => String::new(),
        (Unit::Bytes, Some(total)) if total != current => {
            format!(" {} / {}", bytes(current), bytes(total))
        }
        (Unit::Bytes, _) => format!(" {}", bytes(current)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_build::progress::LogStream;

    const EXTENT: Extent<'_> = Extent {
        width: 50,
        height: 24,
        palette: None,
    };

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn view() -> LiveView {
        let mut view = LiveView::default();
        let (one, two, three) = (VertexId(1), VertexId(2), VertexId(3));
        for (vertex, name) in [
            (one, "[internal] load build definition from Dockerfile"),
            (two, "[1/2] FROM docker.io/library/busybox"),
            (three, "[2/2] RUN make"),
        ] {
            view.event(Event::Vertex { vertex, name });
        }
        view.event(Event::Started {
            vertex: one,
            at: ms(0),
        });
        view.event(Event::Done {
            vertex: one,
            at: ms(40),
        });
        view.event(Event::Cached {
            vertex: two,
            at: ms(50),
        });
        view.event(Event::Started {
            vertex: three,
            at: ms(50),
        });
        for n in 0..8 {
            let line = format!("\x1b[1mline {n}\x1b[0m\n");
            view.event(Event::Log {
                vertex: three,
                stream: LogStream::Stdout,
                bytes: line.as_bytes(),
                at: ms(100),
            });
        }
        view.event(Event::Status {
            vertex: three,
            name: "sha256:abc",
            current: 1_000_000,
            total: Some(5_000_000),
            unit: Unit::Bytes,
            done: false,
            at: ms(100),
        });
        view
    }

    #[test]
    fn running_steps_show_their_last_lines() {
        insta::assert_snapshot!(view().lines(ms(1550), EXTENT).join("\n"));
    }

    #[test]
    fn ended_steps_are_collapsed() {
        let mut view = view();
        view.event(Event::Failed {
            vertex: VertexId(3),
            message: "exit code: 1",
            at: ms(2000),
        });
        view.finish(ms(2100));
        insta::assert_snapshot!(view.lines(ms(9000), EXTENT).join("\n"));
    }

    #[test]
    fn a_small_terminal_shows_what_runs() {
        let small = Extent {
            height: 5,
            ..EXTENT
        };
        let lines = view().lines(ms(1550), small);
        assert_eq!(lines.len(), 4);
        assert!(lines[3].contains("# line 7"), "{lines:?}");
        assert!(
            lines.iter().all(|l| l.chars().count() <= EXTENT.width),
            "{lines:?}"
        );
    }
}
