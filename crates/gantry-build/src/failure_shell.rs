//! What happens to a failed step before it is thrown away (`--on-failure`).

use std::io;
use std::os::fd::BorrowedFd;

/// A person at a terminal, who wants to look around where a `RUN` failed.
///
/// The first step that fails is shown; by then everything else of the build has been told to end.
pub trait FailureShell: Sync {
    /// Rows and columns of the person's terminal.
    fn size(&self) -> (u16, u16);

    /// Says `notice`, then carries what is typed to `terminal`, the master side of the terminal of a
    /// shell, and what comes from it back, until the shell has ended or `stop` becomes readable.
    ///
    /// # Errors
    /// The person's terminal, or the shell's, cannot be used; the shell is ended then.
    fn converse(
        &self,
        notice: &str,
        terminal: BorrowedFd<'_>,
        stop: BorrowedFd<'_>,
    ) -> io::Result<()>;

    /// Says why there is no shell.
    fn refuse(&self, notice: &str);
}
