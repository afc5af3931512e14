//! Pseudo-terminals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use crate::system::{file_system_magic, magic};

/// Both ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Pair {
    /// The end of the one who shows the terminal.
    pub master: OwnedFd,
    /// The end of the program that runs in it.
    pub slave: OwnedFd,
    /// The number of the terminal: its name in the devpts directory.
    pub number: u32,
}

/// Opens a new pseudo-terminal of the devpts file system at the directory `devpts`. Anything but a
/// devpts is refused, so that a directory prepared by somebody else cannot play terminal.
pub fn open(devpts: impl AsFd) -> io::Result<Pair> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let master = rustix::fs::openat(&devpts, "ptmx", flags, Mode::empty())?;
    if file_system_magic(&master)? != magic::DEVPTS {
        return Err(io::Error::from_raw_os_error(libc::ENXIO));
    }
    unlockpt(&master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    let name = rustix::pty::ptsname(&master, Vec::new())?;
    let number = name
        .to_str()
        .ok()
        .and_then(|name| name.rsplit('/').next()?.parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok(Pair {
        master,
        slave,
        number,
    })
}

/// Sets the size of a terminal, from either end.
pub fn set_size(terminal: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    Ok(tcsetwinsize(
        terminal,
        Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )?)
}

/// The size of a terminal: rows and columns.
pub fn size(terminal: impl AsFd) -> io::Result<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(terminal)?;
    Ok((size.ws_row, size.ws_col))
}

/// A terminal in raw mode as long as it lives; then it is as it was.
#[derive(Debug)]
pub struct RawMode<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> RawMode<'a> {
    /// Puts a terminal into raw mode.
    pub fn enter(terminal: BorrowedFd<'a>) -> io::Result<RawMode<'a>> {
        let before = tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal, OptionalActions::Now, &raw)?;
        Ok(RawMode { terminal, before })
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // The terminal may be gone, and then there is nothing to restore.
        tcsetattr(self.terminal, OptionalActions::Now, &self.before).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_a_size_and_a_raw_mode() {
        let devpts = std::fs::File::open("/dev/pts").expect("a devpts");
        let pair = match open(&devpts) {
            Ok(pair) => pair,
            // Some hosts keep their devpts' own ptmx closed (mode 000), except to root.
            Err(error) => panic!("{error}"),
        };
        set_size(&pair.master, 33, 111).expect("set");
        assert_eq!(size(&pair.slave).expect("read"), (33, 111));
        let before = tcgetattr(&pair.slave).expect("read").local_modes;
        let raw = RawMode::enter(pair.slave.as_fd()).expect("raw");
        assert_ne!(tcgetattr(&pair.slave).expect("read").local_modes, before);
        drop(raw);
        assert_eq!(tcgetattr(&pair.slave).expect("read").local_modes, before);
    }

    #[test]
    fn a_directory_that_is_no_devpts_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ptmx"), "").expect("written");
        let directory = std::fs::File::open(folder.path()).expect("opened");
        assert!(open(&directory).is_err());
    }
}
