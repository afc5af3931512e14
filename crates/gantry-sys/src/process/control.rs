//! What a process can set about itself.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::process::{
    DumpableBehavior, Signal, dumpable_behavior, getppid, set_dumpable_behavior,
};

/// Has this process killed when the thread that made it ends. `parent` is that process's ID; one
/// that is gone already is an error. A parent outside this PID namespace cannot be seen, so that
/// its end before this call must be noticed in another way.
pub fn die_with_parent(parent: i32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    match getppid() {
        Some(now) if now.as_raw_nonzero().get() != parent => {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
        _ => Ok(()),
    }
}

/// Makes this process the parent of its descendants' orphans.
pub fn become_reaper() -> io::Result<()> {
    let own = rustix::process::getpid();
    Ok(rustix::process::set_child_subreaper(Some(own))?)
}

/// Sets whether other processes of the same user may look into this one.
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    let behavior = if dumpable {
        DumpableBehavior::Dumpable
    } else {
        DumpableBehavior::NotDumpable
    };
    Ok(set_dumpable_behavior(behavior)?)
}

/// Whether other processes of the same user may look into this one.
pub fn is_dumpable() -> io::Result<bool> {
    Ok(dumpable_behavior()? == DumpableBehavior::Dumpable)
}

/// Sets the execution domain (personality(2)).
pub fn set_personality(persona: u64) -> io::Result<()> {
    // SAFETY: the call changes how later system calls behave and touches no memory.
    let result = unsafe { libc::personality(persona) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sets the NIS domain name of the UTS namespace.
pub fn set_domain_name(name: &OsStr) -> io::Result<()> {
    let bytes = name.as_bytes();
    // SAFETY: the pointer is valid for the length given.
    let result = unsafe { libc::setdomainname(bytes.as_ptr().cast(), bytes.len()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Leaves the keyrings of the caller's session for a new, empty session keyring (keyctl(2)).
pub fn new_session_keyring() -> io::Result<()> {
    let name: *const libc::c_char = std::ptr::null();
    // SAFETY: a null name asks for an anonymous keyring; no memory is touched.
    let result =
        unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether this process has one thread.
pub fn is_single_threaded() -> io::Result<bool> {
    // Does nothing in a process with one thread, and is refused in any other (unshare(2)).
    // SAFETY: the call affects no memory.
    if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_noticed() {
        // The test runner has a thread for the test beside its own.
        assert!(!is_single_threaded().expect("an answer"));
    }
}
