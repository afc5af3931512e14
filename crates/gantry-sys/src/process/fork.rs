//! Making a child that goes on with a copy of this process's memory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::AssertUnwindSafe;

use super::control::is_single_threaded;
use super::namespace::{Namespace, NamespaceSet};
use super::pidfd::Process;

/// How to make a child (clone3(2)).
#[derive(Debug, Clone, Copy, Default)]
pub struct Fork<'a> {
    /// The namespaces to make for it.
    pub namespaces: NamespaceSet,
    /// The cgroup v2 directory to start it in.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// The child is a child of this process's parent.
const PARENTS_CHILD: u64 = libc::CLONE_PARENT as u64;

/// Ends the process at once, without running anything that was registered for its end.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor above the standard streams but `keep`, whoever in this program holds it:
/// only for a forked child that goes on with nothing but `keep` and leaves by [`exit_now`].
pub fn close_everything_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    close_everything_from(3, keep)
}

/// The same, but the descriptors below `lowest` stay as they are as well.
pub fn close_everything_from(lowest: u32, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut keep: Vec<libc::c_uint> = keep
        .iter()
        .map(|fd| fd.as_raw_fd().cast_unsigned())
        .filter(|number| *number >= lowest)
        .collect();
    keep.sort_unstable();
    let mut next = lowest;
    for number in keep.into_iter().chain([libc::c_uint::MAX]) {
        if number > next {
            // SAFETY: no memory depends on these descriptors, and the caller uses none of them.
            let result = unsafe { libc::syscall(libc::SYS_close_range, next, number - 1, 0) };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        next = number.saturating_add(1);
    }
    Ok(())
}

impl Fork<'_> {
    /// Makes a child that runs `child` and ends with the code it returns. Refused in a process
    /// with several threads, because locks that the others hold would stay locked for ever in the
    /// child.
    pub fn run(&self, child: impl FnOnce() -> i32) -> io::Result<Process> {
        self.make(0, child)
    }

    /// The same in other namespaces (the file of each, or the pidfd of a process in it), joined in
    /// this order by a process in between: this one never leaves its own PID namespace, to which
    /// only a privileged process of the first user namespace could return, nor its user namespace,
    /// to which nobody could. New namespaces of the child belong to the user namespace that was
    /// joined. Nobody in there may look into the child.
    pub fn run_inside(
        &self,
        namespaces: &[(BorrowedFd<'_>, Namespace)],
        child: impl FnOnce() -> i32,
    ) -> io::Result<Process> {
        let (ours, theirs) = crate::fd::socket_pair()?;
        let between = Fork::default().run(|| {
            let made = super::set_dumpable(false)
                .and_then(|()| {
                    let mut all = namespaces.iter();
                    all.try_for_each(|(namespace, kind)| super::join(namespace, *kind))
                })
                .and_then(|()| self.make(PARENTS_CHILD, child));
            let sent = match made {
                // The number is one of this process's own PID namespace.
                Ok(made) => crate::fd::send(&theirs, &made.pid().to_ne_bytes(), &[made.as_fd()]),
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    crate::fd::send(&theirs, &errno.to_ne_bytes(), &[])
                }
            };
            i32::from(sent.is_err())
        })?;
        drop(theirs);
        let mut number = [0; 4];
        let told = crate::fd::receive(&ours, &mut number);
        between.wait()?;
        let told = told?;
        let number = i32::from_ne_bytes(number);
        match told.fds.into_iter().next() {
            Some(pidfd) => Ok(Process::new(number, pidfd)),
            None if told.length == 4 => Err(io::Error::from_raw_os_error(number)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn make(&self, kin: u64, child: impl FnOnce() -> i32) -> io::Result<Process> {
        if !is_single_threaded()? {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this process has several threads and cannot be forked",
            ));
        }
        // SAFETY: this process has one thread, so that nothing is locked or half-changed in the
        // copy.
        match unsafe { clone3(self.namespaces.bits() | kin, self.cgroup) }? {
            Some(process) => Ok(process),
            None => {
                // A panic must not unwind into the parent's half of the program.
                let code = std::panic::catch_unwind(AssertUnwindSafe(child)).unwrap_or(255);
                exit_now(code)
            }
        }
    }
}

/// Makes a child with a copy of all memory: clone3(2) with these flags beside `CLONE_PIDFD`, in
/// this cgroup v2 directory. `None` in the child.
///
/// # Safety
/// `flags` do not hold `CLONE_VM`. In the child of a process with several threads any lock may be
/// held for ever: there, nothing but system calls may follow.
pub(crate) unsafe fn clone3(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Option<Process>> {
    let mut pidfd: libc::c_int = -1;
    let own: u64 = libc::CLONE_PIDFD.cast_unsigned().into();
    let mut arguments = libc::clone_args {
        flags: flags | own,
        pidfd: (&raw mut pidfd).addr() as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: match flags & PARENTS_CHILD {
            0 => libc::SIGCHLD.cast_unsigned().into(),
            // It is this process's own.
            _ => 0,
        },
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd().cast_unsigned().into();
    }
    // SAFETY: without CLONE_VM the child gets a copy of all memory, this stack included, so that
    // returning twice from here is sound. The structure and the place for the pidfd live across
    // the call.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    };
    match pid {
        0 => Ok(None),
        pid if pid > 0 => {
            // SAFETY: the kernel stored a new descriptor there that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            let pid = i32::try_from(pid).map_err(|_| io::ErrorKind::InvalidData)?;
            Ok(Some(Process::new(pid, pidfd)))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
