//! What happens in a build, as a stream of events.

pub mod plain;

use std::time::Duration;

use crate::explain::Explanation;

/// Identifies a vertex within one build. Small numbers, in no particular order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VertexId(pub u32);

/// Which stream a log line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a number in a [`Event::Status`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Nothing: the status only begins and ends.
    None,
}

/// One thing that happened. Times are since the build began.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A vertex exists; sent once for each before anything else about it, in Dockerfile order, and
    /// for those of the frame (`[internal] load build definition from Dockerfile`) when they begin.
    Vertex {
        /// Which.
        vertex: VertexId,
        /// Its name as shown: `[build 2/4] RUN make`.
        name: &'a str,
    },
    /// A vertex began.
    Started {
        /// Which.
        vertex: VertexId,
        /// When.
        at: Duration,
    },
    /// A vertex was not run, its result was in the cache. It ends with this.
    Cached {
        /// Which.
        vertex: VertexId,
        /// When.
        at: Duration,
    },
    /// A vertex ended well.
    Done {
        /// Which.
        vertex: VertexId,
        /// When.
        at: Duration,
    },
    /// A vertex failed.
    Failed {
        /// Which.
        vertex: VertexId,
        /// Why, one line.
        message: &'a str,
        /// When.
        at: Duration,
    },
    /// A vertex was stopped because another failed or the build was cancelled.
    Canceled {
        /// Which.
        vertex: VertexId,
        /// When.
        at: Duration,
    },
    /// Output of a vertex: bytes as they came, not cut at line ends.
    Log {
        /// Which.
        vertex: VertexId,
        /// From where.
        stream: LogStream,
        /// The bytes.
        bytes: &'a [u8],
        /// When.
        at: Duration,
    },
    /// A part of a vertex moves on: `transferring context: 2B`, `exporting layers`.
    Status {
        /// Which.
        vertex: VertexId,
        /// What the part is called; unique within the vertex.
        name: &'a str,
        /// How far it is.
        current: u64,
        /// How far it will go, where known.
        total: Option<u64>,
        /// What the numbers count.
        unit: Unit,
        /// Whether the part is finished.
        done: bool,
        /// When.
        at: Duration,
    },
    /// Why the steps ran or did not; sent when a build ends, well or not, that was to be explained
    /// or took long.
    Explained {
        /// What became of the steps.
        explanation: &'a Explanation,
    },
    /// A warning, to be shown at the end.
    Warning {
        /// One line.
        message: &'a str,
        /// The message with the lines of the Dockerfile, where it is about some; ends with a line
        /// end.
        rendered: Option<&'a str>,
    },
    /// What could be done better, to be shown at the end. It is no warning and counts as none.
    Advice {
        /// One line.
        message: &'a str,
    },
}

impl Event<'_> {
    /// The vertex it is about.
    #[must_use]
    pub fn vertex(&self) -> Option<VertexId> {
        match self {
            Self::Vertex { vertex, .. }
            | Self::Started { vertex, .. }
            | Self::Cached { vertex, .. }
            | Self::Done { vertex, .. }
            | Self::Failed { vertex, .. }
            | Self::Canceled { vertex, .. }
            | Self::Log { vertex, .. }
            | Self::Status { vertex, .. } => Some(*vertex),
            Self::Explained { .. } | Self::Warning { .. } | Self::Advice { .. } => None,
        }
    }
}

/// Takes what happens. Called from several threads at once.
pub trait Progress: Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event<'_>) {}
}
