//! Names → values, each evaluated when it is first asked for.

mod blocks;
mod instances;
pub(crate) mod variables;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::definitions::{BlockKind, Definitions};
use crate::error::{BakeError, Result};
use crate::eval::{Budget, UserFunction};
use crate::surroundings::Surroundings;
use crate::value::Value;

pub(crate) use instances::Instance;

/// One evaluation of a set of files.
#[derive(Debug)]
pub(crate) struct Resolver<'s> {
    pub(crate) definitions: Definitions,
    pub(crate) surroundings: &'s Surroundings,
    pub(crate) budget: Budget,
    values: RefCell<BTreeMap<Arc<str>, Value>>,
    attributes: RefCell<BTreeMap<(usize, Arc<str>), Value>>,
    instances: OnceCell<Vec<Instance>>,
    /// What is being evaluated, to tell circles.
    running: RefCell<BTreeSet<Running>>,
}

/// Something that is being evaluated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Running {
    Variable(Arc<str>),
    Function(Arc<str>),
    Attribute(usize, Arc<str>),
    Instances,
}

impl<'s> Resolver<'s> {
    /// Nothing is evaluated yet.
    pub(crate) fn new(definitions: Definitions, surroundings: &'s Surroundings) -> Self {
        Self {
            definitions,
            surroundings,
            budget: Budget::new(),
            values: RefCell::default(),
            attributes: RefCell::default(),
            instances: OnceCell::new(),
            running: RefCell::default(),
        }
    }

    /// Whether blocks of this kind can be named in expressions.
    pub(crate) fn is_block_kind(name: &str) -> bool {
        BlockKind::of(name).is_some()
    }

    /// The function of that name that the files define.
    pub(crate) fn function(&self, name: &str) -> Result<Option<UserFunction>> {
        Ok(self.definitions.functions.get(name).cloned())
    }

    /// The functions that the files define.
    pub(crate) fn function_names(&self) -> impl Iterator<Item = &str> {
        self.definitions.functions.keys().map(AsRef::as_ref)
    }

    /// Does the work of a function; one that calls itself is refused.
    pub(crate) fn entered<T>(
        &self,
        name: &Arc<str>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let message = format!("the function {name} calls itself");
        self.once(Running::Function(Arc::clone(name)), &message, work)
    }

    /// Does something, or fails with `circle` where it is being done already.
    fn once<T>(
        &self,
        running: Running,
        circle: &str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if !self.running.borrow_mut().insert(running.clone()) {
            return Err(BakeError::new(circle));
        }
        let done = work();
        self.running.borrow_mut().remove(&running);
        done
    }
}
