//! Telling a broken file from a machine that is short of something.

use std::io;

use rustix::io::Errno;

/// Whether the error says that it is this file that is broken (another kind of file in its
/// place, a bad block), so that others can be used as before.
#[must_use]
pub fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        Some(Errno::ISDIR | Errno::IO | Errno::LOOP | Errno::NXIO | Errno::BADMSG | Errno::UCLEAN)
    )
}
