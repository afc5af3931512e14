//! How much an evaluation may do, so that no file keeps a build waiting for ever.

use std::cell::Cell;

use crate::error::{BakeError, Result};

/// Operations of one evaluation of all files.
const MOST_OPERATIONS: usize = 20_000_000;
/// Most evaluations inside one another, through variables and functions too.
const DEEPEST: usize = 1000;

/// What is left to be spent.
#[derive(Debug)]
pub(crate) struct Budget {
    operations: Cell<usize>,
    depth: Cell<usize>,
}

impl Budget {
    /// All of it.
    pub(crate) fn new() -> Self {
        Self {
            operations: Cell::new(MOST_OPERATIONS),
            depth: Cell::new(0),
        }
    }

    /// Pays for so many operations.
    ///
    /// # Errors
    /// Nothing is left.
    pub(crate) fn spend(&self, operations: usize) -> Result<()> {
        let left = self.operations.get().checked_sub(operations);
        self.operations.set(left.unwrap_or(0));
        match left {
            Some(_) => Ok(()),
            None => Err(BakeError::new(format!(
                "the evaluation takes more than {MOST_OPERATIONS} operations"
            ))),
        }
    }

    /// Does something one level deeper.
    ///
    /// # Errors
    /// It is too deep, nothing is left, or the work fails.
    pub(crate) fn deeper<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.spend(1)?;
        let depth = self.depth.get();
        if depth >= DEEPEST {
            return Err(BakeError::new(format!(
                "more than {DEEPEST} evaluations inside one another"
            )));
        }
        self.depth.set(depth + 1);
        let done = work();
        self.depth.set(depth);
        done
    }
}
