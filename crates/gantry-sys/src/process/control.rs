//! What a process can set about itself.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::process::{DumpableBehavior, Signal, getppid, set_dumpable_behavior};

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

/// Whether this process has one thread.
pub fn is_single_threaded() -> io::Result<bool> {
    // A directory has two links and one for every directory in it: one per thread.
    let stat = rustix::fs::stat("/proc/self/task")?;
    Ok(stat.st_nlink == 3)
}
