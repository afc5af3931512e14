//! Sends events about vertices: those of the steps, and those of whoever exports what they made.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::explain::Explanation;
use crate::progress::{Event, LogStream, Progress, Unit, VertexId};

/// Gives numbers to vertices and times to events, from the build on to the last export.
pub struct Reporter<'p> {
    progress: &'p dyn Progress,
    began: Instant,
    next: AtomicU32,
}

impl std::fmt::Debug for Reporter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporter")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// The name of a vertex with the target it belongs to, as buildx shows it: `[app 1/2] RUN make`.
#[must_use]
pub fn titled(title: Option<&str>, name: &str) -> String {
    match (title, name.strip_prefix('[')) {
        (None, _) => name.to_owned(),
        (Some(title), Some(rest)) => format!("[{title} {rest}"),
        (Some(title), None) => format!("[{title}] {name}"),
    }
}

impl<'p> Reporter<'p> {
    /// A reporter whose time begins now.
    pub fn new(progress: &'p dyn Progress) -> Self {
        Self {
            progress,
            began: Instant::now(),
            next: AtomicU32::new(0),
        }
    }

    /// How long ago the build began.
    pub(crate) fn at(&self) -> Duration {
        self.began.elapsed()
    }

    /// Announces a vertex.
    pub fn vertex(&self, name: &str) -> VertexId {
        let vertex = VertexId(self.next.fetch_add(1, Ordering::Relaxed));
        self.progress.event(Event::Vertex { vertex, name });
        vertex
    }

    /// Announces a vertex that begins now.
    pub fn begin(&self, name: &str) -> VertexId {
        let vertex = self.vertex(name);
        self.started(vertex);
        vertex
    }

    /// A vertex begins.
    pub fn started(&self, vertex: VertexId) {
        self.progress.event(Event::Started {
            vertex,
            at: self.at(),
        });
    }

    /// A vertex was in the cache.
    pub fn cached(&self, vertex: VertexId) {
        self.progress.event(Event::Cached {
            vertex,
            at: self.at(),
        });
    }

    /// A vertex ended well.
    pub fn done(&self, vertex: VertexId) {
        self.progress.event(Event::Done {
            vertex,
            at: self.at(),
        });
    }

    /// A vertex failed; the first line of `message` says why.
    pub fn failed(&self, vertex: VertexId, message: &str) {
        let message = message.lines().next().unwrap_or_default();
        self.progress.event(Event::Failed {
            vertex,
            message,
            at: self.at(),
        });
    }

    /// A vertex was stopped.
    pub fn canceled(&self, vertex: VertexId) {
        self.progress.event(Event::Canceled {
            vertex,
            at: self.at(),
        });
    }

    /// Output of a vertex.
    pub fn log(&self, vertex: VertexId, stream: LogStream, bytes: &[u8]) {
        self.progress.event(Event::Log {
            vertex,
            stream,
            bytes,
            at: self.at(),
        });
    }

    /// Bytes that a part of a vertex has moved.
    pub fn bytes(
        &self,
        vertex: VertexId,
        name: &str,
        current: u64,
        total: Option<u64>,
        done: bool,
    ) {
        self.progress.event(Event::Status {
            vertex,
            name,
            current,
            total,
            unit: Unit::Bytes,
            done,
            at: self.at(),
        });
    }

    /// A part of a vertex that begins or ends.
    pub fn part(&self, vertex: VertexId, name: &str, done: bool) {
        let at = self.at();
        self.progress.event(Event::Status {
            vertex,
            name,
            current: 0,
            total: None,
            unit: Unit::None,
            done,
            at,
        });
    }

    /// Why the steps ran or did not.
    pub(crate) fn explained(&self, explanation: &Explanation) {
        self.progress.event(Event::Explained { explanation });
    }

    /// A warning for the end; `rendered` shows the lines of the file it is about.
    pub fn warning(&self, message: &str, rendered: Option<&str>) {
        self.progress.event(Event::Warning { message, rendered });
    }

    pub(crate) fn advice(&self, message: &str) {
        self.progress.event(Event::Advice { message });
    }
}
