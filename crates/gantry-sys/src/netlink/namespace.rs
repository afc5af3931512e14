//! Doing something inside another network namespace.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Enough for opening sockets and writing small files.
const STACK: usize = 128 * 1024;

/// Runs `work` inside the network namespace `netns`, on a thread that lives no longer.
///
/// The thread never comes back to the caller's namespace, so that no failure can leave the
/// caller in the wrong one; and it works for a process that may enter a namespace but not
/// return to its own. Sockets that `work` opens stay in `netns`.
///
/// # Errors
/// When the thread cannot be made or may not enter the namespace.
pub fn within<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let enter = move || {
            move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        let thread = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, enter)?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
