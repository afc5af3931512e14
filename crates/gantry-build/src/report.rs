//! Sends events about vertices.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::progress::{Event, LogStream, Progress, Unit, VertexId};

/// Gives numbers to vertices and times to events.
pub(crate) struct Reporter<'p> {
    progress: &'p dyn Progress,
    began: Instant,
    next: AtomicU32,
}

impl<'p> Reporter<'p> {
    pub(crate) fn new(progress: &'p dyn Progress) -> Self {
        Self {
            progress,
            began: Instant::now(),
            next: AtomicU32::new(0),
        }
    }

    fn at(&self) -> Duration {
        self.began.elapsed()
    }

    /// Announces a vertex.
    pub(crate) fn vertex(&self, name: &str) -> VertexId {
        let vertex = VertexId(self.next.fetch_add(1, Ordering::Relaxed));
        self.progress.event(Event::Vertex { vertex, name });
        vertex
    }

    /// Announces a vertex that begins now.
    pub(crate) fn begin(&self, name: &str) -> VertexId {
        let vertex = self.vertex(name);
        self.started(vertex);
        vertex
    }

    pub(crate) fn started(&self, vertex: VertexId) {
        self.progress.event(Event::Started {
            vertex,
            at: self.at(),
        });
    }

    pub(crate) fn cached(&self, vertex: VertexId) {
        self.progress.event(Event::Cached {
            vertex,
            at: self.at(),
        });
    }

    pub(crate) fn done(&self, vertex: VertexId) {
        self.progress.event(Event::Done {
            vertex,
            at: self.at(),
        });
    }

    pub(crate) fn failed(&self, vertex: VertexId, message: &str) {
        let message = message.lines().next().unwrap_or_default();
        self.progress.event(Event::Failed {
            vertex,
            message,
            at: self.at(),
        });
    }

    pub(crate) fn canceled(&self, vertex: VertexId) {
        self.progress.event(Event::Canceled {
            vertex,
            at: self.at(),
        });
    }

    pub(crate) fn log(&self, vertex: VertexId, stream: LogStream, bytes: &[u8]) {
        self.progress.event(Event::Log {
            vertex,
            stream,
            bytes,
            at: self.at(),
        });
    }

    /// Bytes that a part of a vertex has moved.
    pub(crate) fn bytes(
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
    pub(crate) fn part(&self, vertex: VertexId, name: &str, done: bool) {
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

    pub(crate) fn warning(&self, message: &str, rendered: Option<&str>) {
        self.progress.event(Event::Warning { message, rendered });
    }
}
