//! Exit codes: Docker's, decided here and nowhere else.

use gantry_model::FaultKind;

use crate::failure::Failure;

/// The words are wrong: an unknown flag, a value that does not parse.
pub(crate) const BAD_FLAG: u8 = 125;
/// The words are wrong: an unknown command, too many or too few arguments.
pub(crate) const BAD_USAGE: u8 = 1;
/// What is needed to begin with is there, but may not be used.
pub(crate) const CANNOT_INVOKE: u8 = 126;
/// What is needed to begin with is not there.
pub(crate) const NOT_FOUND: u8 = 127;
/// Whoever read the output went away: as if SIGPIPE had ended the process.
pub(crate) const BROKEN_PIPE: u8 = 128 + 13;

/// How a command stands to the exit code of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codes {
    /// `run`: everything that is not the container's own exit code is 125, 126 or 127.
    Run,
    /// `exec`, `start`: 126 and 127 when the command cannot be started, otherwise 1.
    Start,
    /// Everything else: 1.
    Plain,
}

/// The exit code of a failed command.
pub(crate) fn code(codes: Codes, failure: &Failure) -> u8 {
    match failure {
        Failure::Usage(usage) => usage.code,
        Failure::Said(code) => *code,
        Failure::BrokenPipe => BROKEN_PIPE,
        Failure::Fault(report) => report.code.unwrap_or(match (codes, report.kind) {
            (Codes::Run | Codes::Start, FaultKind::CommandNotFound) => NOT_FOUND,
            (Codes::Run | Codes::Start, FaultKind::CannotInvoke) => CANNOT_INVOKE,
            (Codes::Run, _) => 125,
            (Codes::Start | Codes::Plain, _) => 1,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{CommandError, Report};

    fn fault(kind: FaultKind) -> Failure {
        Failure::Fault(Box::new(Report {
            message: String::new(),
            causes: Vec::new(),
            hints: Vec::new(),
            kind,
            code: None,
        }))
    }

    #[test]
    fn codes_are_dockers() {
        for (codes, kind, want) in [
            (Codes::Run, FaultKind::CommandNotFound, 127),
            (Codes::Run, FaultKind::CannotInvoke, 126),
            (Codes::Run, FaultKind::NotFound, 125),
            (Codes::Start, FaultKind::CommandNotFound, 127),
            (Codes::Start, FaultKind::NotFound, 1),
            (Codes::Plain, FaultKind::CommandNotFound, 1),
        ] {
            assert_eq!(code(codes, &fault(kind)), want, "{codes:?} {kind:?}");
        }
        assert_eq!(code(Codes::Run, &Failure::BrokenPipe), 141);
        assert_eq!(
            code(Codes::Run, &CommandError::Invalid("x".into()).into()),
            125
        );
    }
}
