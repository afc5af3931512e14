//! What is wrong with a Bake file, and where.

use std::fmt;
use std::sync::Arc;

use gantry_dockerfile::diagnostic::Code;
use gantry_dockerfile::{Diagnostic, SourceFile, Span};
use gantry_model::{Fault, FaultKind};

/// A place in one of the files.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file.
    pub source: Arc<SourceFile>,
    /// The bytes in it.
    pub span: Span,
}

impl fmt::Display for Place {
    /// `docker-bake.hcl:4`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, _) = self.source.lines(self.span);
        write!(f, "{}:{line}", self.source.name())
    }
}

/// Why a Bake file could not be read or evaluated.
#[derive(Debug, Clone)]
pub struct BakeError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    message: String,
    place: Option<Place>,
    hints: Vec<String>,
    kind: FaultKind,
}

/// What everything here returns.
pub type Result<T> = std::result::Result<T, BakeError>;

impl BakeError {
    /// An error that is not about one place of a file.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            message: message.into(),
            place: None,
            hints: Vec::new(),
            kind: FaultKind::Invalid,
        }))
    }

    /// Something that Bake has and this release has not.
    pub fn unsupported(message: impl Into<String>) -> Self {
        let mut error = Self::new(message);
        error.0.kind = FaultKind::Unsupported;
        error
    }

    /// The same at this place, unless it has one already.
    #[must_use]
    pub fn at(mut self, source: &Arc<SourceFile>, span: Span) -> Self {
        if self.0.place.is_none() {
            self.0.place = Some(Place {
                source: Arc::clone(source),
                span,
            });
        }
        self
    }

    /// The same with one more thing to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// The same with "did you mean" behind the message, where a name is near.
    #[must_use]
    pub fn suggesting<'a>(
        mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        if let Some(near) = gantry_dockerfile::suggest::nearest(name, candidates) {
            self.0.message.push_str(&format!(" (did you mean {near}?)"));
        }
        self
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The lines around the place with a marker, the message and the hints, ready to be shown;
    /// `None` where the error is not about one place.
    pub fn rendered(&self) -> Option<String> {
        let place = self.0.place.as_ref()?;
        let mut shown = Diagnostic::error(Code::Arguments, self.message(), place.span);
        shown.hints.clone_from(&self.0.hints);
        Some(shown.render(&place.source))
    }

    /// Where, if it is about one place.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }
}

impl fmt::Display for BakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for BakeError {}

impl Fault for BakeError {
    fn kind(&self) -> FaultKind {
        self.0.kind
    }

    fn hints(&self) -> Vec<String> {
        self.0.hints.clone()
    }
}
