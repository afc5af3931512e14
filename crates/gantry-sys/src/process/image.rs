//! This program as a file that nobody can write to through `/proc/<pid>/exe`.
//!
//! A process that enters a container is for a moment visible in it, and with it the file it
//! executes: a container with enough power could open and overwrite it (CVE-2019-5736). So the
//! processes that do it run from a detached, read-only mount of the file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags, SealFlags};

use crate::fd;
use crate::mount::{Attributes, Change, Mount};

const OWN: &str = "/proc/self/exe";

/// This program as a file that nobody can write to.
#[derive(Debug)]
pub struct Image(OwnedFd);

impl Image {
    /// This program; made once in a process.
    pub fn own() -> io::Result<&'static Image> {
        static IMAGE: OnceLock<Image> = OnceLock::new();
        if let Some(image) = IMAGE.get() {
            return Ok(image);
        }
        let made = Image::make()?;
        Ok(IMAGE.get_or_init(|| made))
    }

    /// Whether this process already runs from a file that nobody can write to.
    pub fn is_running() -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let own = rustix::fs::open(OWN, flags, Mode::empty())?;
        let mount = rustix::fs::fstatvfs(&own)?.f_flag;
        if mount.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            return Ok(true);
        }
        // Only files in memory have seals.
        Ok(rustix::fs::fcntl_get_seals(&own).is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
    }

    fn make() -> io::Result<Image> {
        match Image::read_only_mount() {
            Ok(image) => Ok(image),
            // Without the privilege to mount there is still a copy in memory.
            Err(_) => Image::sealed_copy(),
        }
    }

    fn read_only_mount() -> io::Result<Image> {
        let mount = match Mount::copy_of(Path::new(OWN), false) {
            Ok(mount) => mount,
            // Since this program began, its process has entered a mount namespace of its own, and
            // the file it executes is still the one of the old namespace.
            Err(_) => {
                Mount::copy_of_fd(Image::own_file_here()?, false).map_err(|error| error.source)?
            }
        };
        let change = Change {
            set: Attributes::READ_ONLY.with(Attributes::NO_SETUID),
            ..Change::default()
        };
        mount.change(&change, false).map_err(|error| error.source)?;
        Ok(Image(mount.into()))
    }

    /// The file this process executes, by its path in the mount namespace of now.
    fn own_file_here() -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let path = std::fs::read_link(OWN)?;
        let here = rustix::fs::open(path, flags, Mode::empty())?;
        let own = rustix::fs::open(OWN, flags, Mode::empty())?;
        let (here_is, own_is) = (rustix::fs::fstat(&here)?, rustix::fs::fstat(&own)?);
        if (here_is.st_dev, here_is.st_ino) != (own_is.st_dev, own_is.st_ino) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(here)
    }

    fn sealed_copy() -> io::Result<Image> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let own = rustix::fs::open(OWN, flags, Mode::empty())?;
        let copy = fd::memory_file("gantry")?;
        fd::copy(&own, &copy)?;
        fd::seal(&copy)?;
        Ok(Image(copy))
    }
}

impl AsFd for Image {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_a_namespace_made_later_needs_no_copy() {
        std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                // SAFETY: this new thread shares nothing but memory with the others afterwards.
                let result = unsafe { libc::unshare(libc::CLONE_FS | libc::CLONE_NEWNS) };
                assert_eq!(result, 0);
                let mount = Image::read_only_mount().expect("a mount of this program");
                let stat = rustix::fs::fstat(&mount).expect("a file");
                let own = std::os::unix::fs::MetadataExt::ino(
                    &std::fs::metadata(OWN).expect("a program"),
                );
                assert_eq!(stat.st_ino, own);
            });
            made.join().expect("made");
        });
    }

    #[test]
    fn a_sealed_copy_is_whole() {
        let image = Image::sealed_copy().expect("copied");
        let size = std::fs::metadata(OWN).expect("a program").len();
        let stat = rustix::fs::fstat(&image).expect("a file");
        assert_eq!(stat.st_size.cast_unsigned(), size);
    }
}
