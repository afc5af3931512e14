//! How a command ends when it does not end well.

use std::io;

use gantry_model::{Fault, FaultKind, Shortage};

use crate::cli::usage::UsageError;

/// How a command ended that did what it was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    /// All is well.
    pub(crate) const SUCCESS: Self = Self(0);

    /// The exit code of a container's process, as a shell shows it.
    pub(crate) fn from_code(code: i32) -> Self {
        Self(u8::try_from(code & 0xff).unwrap_or(1))
    }
}

/// What every command returns.
pub(crate) type Outcome = Result<Exit, Failure>;

/// Why a command did not do what it was asked to do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The words of the command are wrong.
    Usage(Box<UsageError>),
    /// Something went wrong while it was done.
    Fault(Box<Report>),
    /// Everything that can be said was said already; only the exit code is left.
    Said(u8),
    /// Whoever read the output went away.
    BrokenPipe,
}

/// A failure as people are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// What failed, on what, why.
    pub(crate) message: String,
    /// The causes below, outermost first.
    pub(crate) causes: Vec<String>,
    /// What to do next.
    pub(crate) hints: Vec<String>,
    /// The kind, which decides the exit code.
    pub(crate) kind: FaultKind,
    /// The exit code where Docker has one of its own for it.
    pub(crate) code: Option<u8>,
}

impl Report {
    fn new(fault: &impl Fault) -> Self {
        let message = fault.to_string();
        let mut causes = Vec::new();
        let mut next = fault.source();
        while let Some(cause) = next {
            let text = plain(cause);
            let said = |earlier: &String| earlier.contains(text.as_str());
            if !text.is_empty() && !said(&message) && !causes.iter().any(said) {
                causes.push(text);
            }
            next = cause.source();
        }
        let (message, causes) = fold(message, causes);
        let mut hints = fault.hints();
        let short = Shortage::of(fault).map(|shortage| shortage.hint().to_owned());
        hints.extend(short.filter(|hint| !hints.contains(hint)));
        Self {
            message,
            causes,
            hints,
            kind: fault.kind(),
            code: None,
        }
    }
}

/// The text of a cause; that of the system without its number, and written as ours are.
pub(crate) fn plain(cause: &(dyn std::error::Error + 'static)) -> String {
    let text = cause.to_string();
    let system = cause
        .downcast_ref::<io::Error>()
        .is_some_and(|e| e.raw_os_error().is_some());
    match text.split_once(" (os error ") {
        Some((words, _)) if system => {
            let mut chars = words.chars();
            let first = chars.next().map(|c| c.to_lowercase().to_string());
            format!("{}{}", first.unwrap_or_default(), chars.as_str())
        }
        _ => text,
    }
}

/// Puts the causes behind the message on one line, as people are used to and scripts look for,
/// unless that makes a line nobody reads.
fn fold(message: String, causes: Vec<String>) -> (String, Vec<String>) {
    let length = message.len() + causes.iter().map(|c| c.len() + 2).sum::<usize>();
    if length > 160 || causes.iter().any(|c| c.contains('\n')) {
        return (message, causes);
    }
    let mut line = message;
    for cause in causes {
        line.push_str(": ");
        line.push_str(&cause);
    }
    (line, Vec::new())
}

impl<F: Fault> From<F> for Failure {
    fn from(fault: F) -> Self {
        Self::Fault(Box::new(Report::new(&fault)))
    }
}

/// A failure of the command line itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// A file or stream of the caller could not be used.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The terminal could not be used.
    #[error("cannot {action} the terminal")]
    Terminal {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Output could not be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// The request contradicts itself or a rule of Docker's.
    #[error("{0}")]
    Invalid(String),
    /// Known to Docker, not to this release.
    #[error("{0}")]
    Unsupported(String),
    /// The named thing does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The state does not allow it.
    #[error("{0}")]
    Conflict(String),
}

impl Fault for CommandError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                FaultKind::NotFound
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                FaultKind::Forbidden
            }
            Self::File { .. } | Self::Terminal { .. } | Self::Output(_) => FaultKind::Internal,
            Self::Invalid(_) => FaultKind::Invalid,
            Self::Unsupported(_) => FaultKind::Unsupported,
            Self::NotFound(_) => FaultKind::NotFound,
            Self::Conflict(_) => FaultKind::Conflict,
        }
    }
}

impl CommandError {
    /// For `map_err` on the use of a file the caller named.
    pub(crate) fn file(
        action: &'static str,
        path: impl std::fmt::Display,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_string();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

/// For `map_err` on every write to stdout.
pub(crate) fn written(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::BrokenPipe
    } else {
        CommandError::Output(error).into()
    }
}

impl Failure {
    /// A rule of Docker's that the request breaks.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        CommandError::Invalid(message.into()).into()
    }

    /// Something Docker has and this release has not.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        CommandError::Unsupported(message.into()).into()
    }

    /// The same failure with this exit code.
    pub(crate) fn with_code(mut self, code: u8) -> Self {
        if let Self::Fault(report) = &mut self {
            report.code = Some(code);
        }
        self
    }

    /// The same failure in other words.
    pub(crate) fn reworded(mut self, words: impl Fn(&str) -> String) -> Self {
        if let Self::Fault(report) = &mut self {
            report.message = words(&report.message);
            for text in report.causes.iter_mut().chain(&mut report.hints) {
                *text = words(text);
            }
        }
        self
    }

    /// The same failure, which met whoever wrote to this place.
    pub(crate) fn at(mut self, place: impl std::fmt::Display) -> Self {
        if let Self::Fault(report) = &mut self {
            report.message = format!("{place}: {}", report.message);
        }
        self
    }

    /// What failed, where it was not said already.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Fault(report) => &report.message,
            _ => "",
        }
    }

    /// The kind of the failure, where it has one.
    pub(crate) fn kind(&self) -> Option<FaultKind> {
        match self {
            Self::Fault(report) => Some(report.kind),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once() {
        let error = CommandError::file("read", "/x")(io::Error::other("disk on fire"));
        let Failure::Fault(report) = Failure::from(error) else {
            panic!("a fault")
        };
        assert_eq!(report.message, "cannot read /x: disk on fire");
        assert_eq!(report.causes, Vec::<String>::new());
    }

    #[test]
    fn the_systems_errors_read_as_ours() {
        let missing = io::Error::from_raw_os_error(2);
        let Failure::Fault(report) = Failure::from(CommandError::file("open", "/x")(missing))
        else {
            panic!("a fault")
        };
        assert_eq!(report.message, "cannot open /x: no such file or directory");
    }

    #[test]
    fn long_causes_get_lines_of_their_own() {
        let error = CommandError::file("read", "/x")(io::Error::other("y".repeat(200)));
        let Failure::Fault(report) = Failure::from(error) else {
            panic!("a fault")
        };
        assert_eq!(report.message, "cannot read /x");
        assert_eq!(report.causes.len(), 1);
    }

    #[test]
    fn exit_codes_wrap_as_a_shells() {
        assert_eq!(Exit::from_code(137).0, 137);
        assert_eq!(Exit::from_code(256).0, 0);
        assert_eq!(Exit::from_code(-1).0, 255);
    }
}
