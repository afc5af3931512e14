//! Signals: names and numbers, a descriptor that signals are read from, masks and dispositions.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The names of the standard signals without `SIG`, with their numbers on this architecture.
const NAMES: [(&str, i32); 34] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// The lowest real-time signal a program may use; the C library keeps two for itself.
const REAL_TIME_MIN: i32 = 34;

/// The highest signal.
pub const LAST: i32 = 64;

/// The number of a signal, from `SIGTERM`, `TERM`, `term`, `15`, `RTMIN`, `RTMIN+3` or `RTMAX-1`.
pub fn number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return (1..=LAST).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == bare) {
        return Some(*number);
    }
    let number = if let Some(rest) = bare.strip_prefix("RTMIN") {
        let offset = match rest.strip_prefix('+') {
            Some(offset) => offset.parse::<u8>().ok()?,
            None if rest.is_empty() => 0,
            None => return None,
        };
        REAL_TIME_MIN + i32::from(offset)
    } else {
        let rest = bare.strip_prefix("RTMAX")?;
        let offset = match rest.strip_prefix('-') {
            Some(offset) => offset.parse::<u8>().ok()?,
            None if rest.is_empty() => 0,
            None => return None,
        };
        LAST - i32::from(offset)
    };
    (REAL_TIME_MIN..=LAST).contains(&number).then_some(number)
}

/// The name of a signal with `SIG`, such as `SIGTERM` or `SIGRTMIN+3`.
pub fn name(number: i32) -> Option<String> {
    if let Some((name, _)) = NAMES.iter().find(|(_, known)| *known == number) {
        return Some(format!("SIG{name}"));
    }
    match number {
        REAL_TIME_MIN => Some("SIGRTMIN".to_owned()),
        LAST => Some("SIGRTMAX".to_owned()),
        35..LAST => Some(format!("SIGRTMIN+{}", number - REAL_TIME_MIN)),
        _ => None,
    }
}

/// A set of signals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// None.
    pub const EMPTY: SignalSet = SignalSet(0);

    /// All.
    pub const ALL: SignalSet = SignalSet(u64::MAX);

    /// Some, by number; a number that no signal has is left out.
    pub fn of(numbers: &[i32]) -> SignalSet {
        numbers
            .iter()
            .filter(|number| (1..=LAST).contains(*number))
            .fold(SignalSet::EMPTY, |set, number| {
                SignalSet(set.0 | 1 << (number - 1))
            })
    }

    /// Whether it holds a signal.
    pub fn contains(self, number: i32) -> bool {
        (1..=LAST).contains(&number) && self.0 & 1 << (number - 1) != 0
    }

    fn to_kernel(self) -> libc::sigset_t {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the whole set it is given.
        let mut set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        };
        for number in (1..=LAST).filter(|number| self.contains(*number)) {
            // SAFETY: `set` is an initialised set; a number the C library keeps for itself is
            // refused by it without effect.
            unsafe { libc::sigaddset(&mut set, number) };
        }
        set
    }
}

fn change_mask(how: libc::c_int, set: SignalSet) -> io::Result<libc::sigset_t> {
    let new = set.to_kernel();
    let mut old = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both pointers are valid for the call, and the old set is written when it succeeds.
    let result = unsafe { libc::pthread_sigmask(how, &new, old.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    // SAFETY: the call succeeded, so that the old set has been written.
    Ok(unsafe { old.assume_init() })
}

/// Blocks signals in this thread as long as it lives; then the mask is as it was.
pub struct Blocked {
    old: libc::sigset_t,
}

impl std::fmt::Debug for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocked").finish_non_exhaustive()
    }
}

impl Blocked {
    /// Blocks signals.
    pub fn new(set: SignalSet) -> io::Result<Blocked> {
        change_mask(libc::SIG_BLOCK, set).map(|old| Blocked { old })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set was written by the kernel; setting a mask from a valid set cannot fail.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.old, std::ptr::null_mut()) };
    }
}

/// Unblocks every signal of this thread and gives every signal its default action: what a process
/// owes to the program it is about to become.
pub fn reset() -> io::Result<()> {
    // The C library would refuse its own two signals, and need not know of the rest.
    let default = KernelAction {
        handler: libc::SIG_DFL,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
    for number in 1..=LAST {
        // SAFETY: the structure has the kernel's layout, holds no handler, and lives across the
        // call. SIGKILL and SIGSTOP are refused without effect.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                &raw const default,
                std::ptr::null_mut::<KernelAction>(),
                size_of::<u64>(),
            )
        };
    }
    change_mask(libc::SIG_SETMASK, SignalSet::EMPTY).map(drop)
}

/// The kernel's own `struct sigaction`, which is not the C library's.
#[repr(C)]
struct KernelAction {
    handler: libc::sighandler_t,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// A signal that was read from a [`SignalFd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// The process that sent it, or the child that changed; 0 for the kernel.
    pub pid: u32,
}

/// A descriptor that signals are read from; it polls as readable when there is one. The signals
/// are blocked as long as it lives.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
    // Dropped after the descriptor: the old mask comes back.
    _blocked: Blocked,
}

impl SignalFd {
    /// Blocks the signals and opens a descriptor for them.
    pub fn new(signals: &[i32]) -> io::Result<SignalFd> {
        let set = SignalSet::of(signals);
        let blocked = Blocked::new(set)?;
        let kernel = set.to_kernel();
        // SAFETY: the set is initialised and lives across the call; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &kernel, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd returned a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(SignalFd {
            fd,
            _blocked: blocked,
        })
    }

    /// The next signal; `None` when there is none for now.
    pub fn read(&self) -> io::Result<Option<Received>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        // SAFETY: the buffer has room for the size given.
        let length = unsafe {
            libc::read(
                self.fd.as_raw_fd(),
                info.as_mut_ptr().cast(),
                size_of::<libc::signalfd_siginfo>(),
            )
        };
        match usize::try_from(length) {
            Ok(length) if length == size_of::<libc::signalfd_siginfo>() => {
                // SAFETY: the kernel filled the whole structure.
                let info = unsafe { info.assume_init() };
                Ok(Some(Received {
                    signal: info.ssi_signo.cast_signed(),
                    pid: info.ssi_pid,
                }))
            }
            Ok(_) => Ok(None),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                error => Err(error),
            },
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let cases = [
            ("SIGTERM", Some(15)),
            ("term", Some(15)),
            ("15", Some(15)),
            ("SIGRTMIN", Some(34)),
            ("RTMIN+3", Some(37)),
            ("SIGRTMAX-1", Some(63)),
            ("RTMIN+31", None),
            ("RTMAX+1", None),
            ("0", None),
            ("65", None),
            ("-9", None),
            ("SIGNOTHING", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), expected, "{text}");
        }
        for signal in (1..=LAST).filter(|signal| ![32, 33].contains(signal)) {
            let name = name(signal).expect("a name");
            assert_eq!(number(&name), Some(signal), "{name}");
        }
    }

    #[test]
    fn signals_arrive_at_the_descriptor() {
        let signals = SignalFd::new(&[libc::SIGUSR2]).expect("a descriptor");
        assert_eq!(signals.read().expect("read"), None);
        let thread = rustix::thread::gettid();
        // SAFETY: tgkill has no memory effects; the signal is blocked in this thread.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_tgkill,
                libc::getpid(),
                thread.as_raw_nonzero().get(),
                libc::SIGUSR2,
            )
        };
        assert_eq!(sent, 0);
        let received = signals.read().expect("read").expect("a signal");
        assert_eq!(received.signal, libc::SIGUSR2);
        assert_eq!(received.pid, std::process::id());
    }
}
