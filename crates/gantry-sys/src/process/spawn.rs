//! Starting another instance of this program, fast and from any thread.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::image::Image;
use super::pidfd::Process;
use super::program::{Program, execute_file};
use crate::signal::{Blocked, SignalSet};

/// Another instance of this program: what it gets.
#[derive(Debug, Clone, Copy)]
pub struct Spawn<'a> {
    /// The file to execute ([`Image::own`]).
    pub image: &'a Image,
    /// Its arguments, the name of the program first.
    pub arguments: &'a [&'a OsStr],
    /// Its environment, as `NAME=value`.
    pub environment: &'a [&'a OsStr],
    /// The descriptors it gets, with their numbers there; it gets no other.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// Whether it leads a session of its own, without a terminal and with the root as its working
    /// directory: it outlives the command that starts it, and must keep no file system busy.
    pub new_session: bool,
    /// Whether it is killed when the calling thread ends.
    pub die_with_parent: bool,
}

/// The child's stack: it makes a few system calls.
const STACK: usize = 64 * 1024;

/// What the child needs, prepared so that it never allocates.
struct Orders<'a> {
    image: RawFd,
    /// Source and target, the sources all above the targets.
    moves: &'a [(RawFd, RawFd)],
    /// The ranges between the targets.
    closes: &'a [(u32, u32)],
    arguments: &'a [*const libc::c_char],
    environment: &'a [*const libc::c_char],
    new_session: bool,
    die_with_parent: bool,
    parent: libc::pid_t,
    /// Where the child leaves the errno of its failure.
    failure: libc::c_int,
}

impl Spawn<'_> {
    /// Starts it. Returns when it executes, or with the reason why it does not.
    pub fn start(&self) -> io::Result<Process> {
        let program = Program::new(OsStr::new(""), self.arguments, self.environment)?;
        let (arguments, environment) = program.pointers();
        let highest = self.descriptors.iter().map(|(_, target)| *target).max();
        let above = highest.unwrap_or(2).max(2).saturating_add(1);
        if self.descriptors.iter().any(|(_, target)| *target < 0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Copies above every target, so that no target is overwritten before it is moved. They are
        // closed on exec, so that neither this child nor that of another thread keeps them.
        let image = crate::fd::duplicate_above(self.image, above)?;
        let sources = self
            .descriptors
            .iter()
            .map(|(source, _)| crate::fd::duplicate_above(source, above))
            .collect::<io::Result<Vec<OwnedFd>>>()?;
        let moves: Vec<(RawFd, RawFd)> = sources
            .iter()
            .zip(self.descriptors)
            .map(|(source, (_, target))| (source.as_raw_fd(), *target))
            .collect();
        let closes = gaps(self.descriptors.iter().map(|(_, target)| *target));
        let mut orders = Orders {
            image: image.as_raw_fd(),
            moves: &moves,
            closes: &closes,
            arguments: &arguments,
            environment: &environment,
            new_session: self.new_session,
            die_with_parent: self.die_with_parent,
            parent: std::process::id().cast_signed(),
            failure: 0,
        };
        let process = clone_sharing_memory(&mut orders)?;
        if orders.failure != 0 {
            process.wait()?;
            return Err(io::Error::from_raw_os_error(orders.failure));
        }
        Ok(process)
    }
}

/// The ranges of numbers outside `targets`.
fn gaps(targets: impl Iterator<Item = RawFd>) -> Vec<(u32, u32)> {
    let mut targets: Vec<u32> = targets.map(RawFd::cast_unsigned).collect();
    targets.sort_unstable();
    let mut gaps = Vec::with_capacity(targets.len() + 1);
    let mut next = 0;
    for target in targets {
        if target > next {
            gaps.push((next, target - 1));
        }
        next = target + 1;
    }
    gaps.push((next, u32::MAX));
    gaps
}

fn clone_sharing_memory(orders: &mut Orders<'_>) -> io::Result<Process> {
    let mut stack: Vec<u128> = vec![0; STACK / size_of::<u128>()];
    let mut pidfd: libc::c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // A signal handler must not run in the child, on its small stack and in the parent's memory.
    let blocked = Blocked::new(SignalSet::ALL)?;
    // SAFETY: the child shares this memory, but this thread sleeps until the child has executed or
    // ended (CLONE_VFORK), so that `orders`, `stack` and `pidfd` outlive it. The child runs on its
    // own stack, whose top is aligned to 16 bytes, and only makes system calls on prepared data.
    let pid = unsafe {
        libc::clone(
            child,
            stack.as_mut_ptr_range().end.cast(),
            flags,
            std::ptr::from_mut(orders).cast(),
            &raw mut pidfd,
        )
    };
    let error = io::Error::last_os_error();
    drop(blocked);
    if pid < 0 {
        return Err(error);
    }
    // SAFETY: the kernel stored a new descriptor there that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Process::new(pid, pidfd))
}

extern "C" fn child(orders: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the pointer comes from `clone_sharing_memory`, whose thread sleeps meanwhile.
    let orders = unsafe { &mut *orders.cast::<Orders<'_>>() };
    orders.failure = follow(orders);
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(127) }
}

/// Follows the orders up to the execution; returns the errno of the failure. Makes system calls
/// only: the memory belongs to a process that may hold any lock.
fn follow(orders: &Orders<'_>) -> libc::c_int {
    // SAFETY: plain system calls on valid data; descriptors are those of the child's own table.
    unsafe {
        if orders.die_with_parent {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
                return *libc::__errno_location();
            }
            if libc::getppid() != orders.parent {
                return libc::ESRCH;
            }
        }
        if orders.new_session && (libc::setsid() < 0 || libc::chdir(c"/".as_ptr()) < 0) {
            return *libc::__errno_location();
        }
        for (source, target) in orders.moves {
            if libc::dup3(*source, *target, 0) < 0 {
                return *libc::__errno_location();
            }
        }
        for (first, last) in orders.closes {
            let flags = libc::CLOSE_RANGE_CLOEXEC;
            if libc::syscall(libc::SYS_close_range, *first, *last, flags) < 0 {
                return *libc::__errno_location();
            }
        }
    }
    if let Err(error) = crate::signal::reset() {
        return error.raw_os_error().unwrap_or(libc::EINVAL);
    }
    execute_file(orders.image, orders.arguments, orders.environment)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;
    use crate::process::Exit;

    #[test]
    fn gaps_lie_around_targets() {
        type Case = (&'static [RawFd], &'static [(u32, u32)]);
        let cases: [Case; 4] = [
            (&[], &[(0, u32::MAX)]),
            (&[0, 1, 2], &[(3, u32::MAX)]),
            (&[5, 3], &[(0, 2), (4, 4), (6, u32::MAX)]),
            (&[0, 4], &[(1, 3), (5, u32::MAX)]),
        ];
        for (targets, expected) in cases {
            assert_eq!(gaps(targets.iter().copied()), expected);
        }
    }

    /// The test program itself is started with the test below as its only one.
    #[test]
    fn root_spawned_from_a_read_only_image_with_exact_descriptors() {
        let image = Image::own().expect("an image");
        let (reader, writer) = crate::fd::pipe().expect("a pipe");
        let null = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .expect("null");
        let arguments = [
            "gantry-test",
            "--exact",
            "process::spawn::tests::spawned",
            "--ignored",
            "--nocapture",
        ]
        .map(OsStr::new);
        let process = Spawn {
            image,
            arguments: &arguments,
            environment: &[OsStr::new("GANTRY_SPAWNED=1")],
            descriptors: &[
                (null.as_fd(), 0),
                (null.as_fd(), 1),
                (null.as_fd(), 2),
                (writer.as_fd(), 7),
            ],
            new_session: true,
            die_with_parent: true,
        }
        .start()
        .expect("started");
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut text)
            .expect("read");
        assert_eq!(process.wait().expect("reaped"), Exit::Code(0), "{text}");
        assert_eq!(text, "fds 0 1 2 7, image read-only");
    }

    #[test]
    #[ignore = "run by the test above in a process of its own"]
    fn spawned() {
        assert!(std::env::var_os("GANTRY_SPAWNED").is_some());
        let mut fds: Vec<i32> = std::fs::read_dir("/proc/self/fd")
            .expect("listed")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        // The listing's own descriptor is gone by now.
        fds.retain(|number| std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok());
        fds.sort_unstable();
        let fds: Vec<String> = fds.iter().map(ToString::to_string).collect();
        let output = crate::fd::inherited(7).expect("inherited");
        assert!(crate::fd::inherited(7).is_err());
        // Opening it would fail anyway as long as it is executed.
        let flags = rustix::fs::statvfs("/proc/self/exe").expect("stat").f_flag;
        let kind = if flags.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            "read-only"
        } else {
            "writable"
        };
        let text = format!("fds {}, image {kind}", fds.join(" "));
        crate::fd::write_all(&output, text.as_bytes()).expect("written");
    }
}
