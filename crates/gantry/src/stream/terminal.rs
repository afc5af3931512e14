//! The caller's terminal: its size, and raw mode that never outlives its need.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::failure::CommandError;

/// Columns of the terminal that help is shown on; 80 elsewhere.
pub(crate) fn width() -> usize {
    size().map_or(80, |(_, columns)| usize::from(columns).max(40))
}

/// Lines and columns of the terminal at stdout, or at stdin.
pub(crate) fn size() -> Option<(u16, u16)> {
    let of = |fd: rustix::fd::BorrowedFd<'_>| {
        tcgetwinsize(fd)
            .ok()
            .filter(|s| s.ws_row > 0 && s.ws_col > 0)
            .map(|s| (s.ws_row, s.ws_col))
    };
    of(io::stdout().as_fd()).or_else(|| of(io::stdin().as_fd()))
}

/// Whether stdin is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// The terminal at stdin in raw mode; what it was before comes back when this is dropped, on
/// every way out including a panic.
#[derive(Debug)]
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches the terminal at stdin to raw mode.
    pub(crate) fn enter() -> Result<Self, CommandError> {
        let failed = |action| {
            move |errno: rustix::io::Errno| CommandError::Terminal {
                action,
                source: errno.into(),
            }
        };
        let before = tcgetattr(io::stdin()).map_err(failed("ask"))?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed("set"))?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Nothing can be done, and nobody told, when the terminal went away meanwhile.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
