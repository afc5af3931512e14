//! Names that hold in a part of a file: those of `for`, of parameters and of a matrix.

use std::sync::Arc;

use gantry_dockerfile::SourceFile;

use crate::value::Value;

/// Names and their values.
pub(crate) type Names = Vec<(Arc<str>, Value)>;

/// Names, and those around them.
#[derive(Debug)]
pub(crate) struct Scope<'s> {
    around: Option<&'s Scope<'s>>,
    source: &'s Arc<SourceFile>,
    names: Names,
}

impl<'s> Scope<'s> {
    /// The top of a file.
    pub(crate) fn file(source: &'s Arc<SourceFile>) -> Self {
        Self::with(source, Vec::new())
    }

    /// The top of a file with some names.
    pub(crate) fn with(source: &'s Arc<SourceFile>, names: Names) -> Self {
        Self {
            around: None,
            source,
            names,
        }
    }

    /// A scope inside this one.
    pub(crate) fn inner<'i>(&'i self, names: Names) -> Scope<'i>
    where
        's: 'i,
    {
        Scope {
            around: Some(self),
            source: self.source,
            names,
        }
    }

    /// The file whose text is evaluated.
    pub(crate) fn source(&self) -> &'s Arc<SourceFile> {
        self.source
    }

    /// The value of a name, the innermost first.
    pub(crate) fn lookup(&self, name: &str) -> Option<&Value> {
        let mut next = Some(self);
        while let Some(scope) = next {
            let found = scope
                .names
                .iter()
                .rev()
                .find(|(known, _)| known.as_ref() == name);
            if let Some((_, value)) = found {
                return Some(value);
            }
            next = scope.around;
        }
        None
    }
}
