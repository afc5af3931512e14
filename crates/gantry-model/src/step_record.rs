//! Steps of builds as BuildKit names them in its caches (`application/vnd.buildkit.cacheconfig.v0`).
//!
//! A step is named by what it does and, for each of its inputs, by the steps or the content that it
//! works on. One step may be known by several names, so that records form a graph, not a tree.

use crate::Digest;

/// A step, or content that steps work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// What it does.
    pub digest: Digest,
    /// For each input the records that it may be; any of them will do. Content has no inputs.
    pub inputs: Vec<Vec<StepLink>>,
    /// What it made, where that is in the cache.
    pub made: Option<StepResult>,
}

/// What an input of a step may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepLink {
    /// Number of the record.
    pub record: usize,
    /// The part of its result that the step looks at.
    pub selector: Option<Digest>,
}

/// The root file system that a step made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    /// Its layers by diff ID, base first; the last one is the step's own.
    pub layers: Vec<Digest>,
    /// When it was made, RFC 3339.
    pub created: String,
}
