//! Helper programs of others that must not outlive their starter.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::control::die_with_parent;
use super::pidfd::Process;
use crate::signal;

/// Starts a helper program with every signal as it is by default. It is killed when the calling
/// thread ends, as long as it changes neither its user nor gains capabilities.
pub fn spawn_tied(command: &mut Command) -> io::Result<Process> {
    let parent = std::process::id().cast_signed();
    // SAFETY: the closure runs in the forked child and makes system calls only; it neither
    // allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || {
            signal::reset()?;
            die_with_parent(parent)
        });
    }
    let child = command.spawn()?;
    Process::open(child.id().cast_signed())
}
