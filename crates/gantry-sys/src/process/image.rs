//! This program as a file that nobody can write to through `/proc/<pid>/exe`.
//!
//! A process that enters a container is for a moment visible in it, and with it the file it
//! executes: a container with enough power could open and overwrite it (CVE-2019-5736). So the
//! processes that do it run from a detached, read-only mount of the file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};

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

    fn make() -> io::Result<Image> {
        match Image::read_only_mount() {
            Ok(image) => Ok(image),
            // Without the privilege to mount there is still a copy in memory.
            Err(_) => Image::sealed_copy(),
        }
    }

    fn read_only_mount() -> io::Result<Image> {
        let mount = Mount::copy_of(Path::new(OWN), false).map_err(|error| error.source)?;
        let change = Change {
            set: Attributes::READ_ONLY.with(Attributes::NO_SETUID),
            ..Change::default()
        };
        mount.change(&change, false).map_err(|error| error.source)?;
        Ok(Image(mount.into()))
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
    fn a_sealed_copy_is_whole() {
        let image = Image::sealed_copy().expect("copied");
        let size = std::fs::metadata(OWN).expect("a program").len();
        let stat = rustix::fs::fstat(&image).expect("a file");
        assert_eq!(stat.st_size.cast_unsigned(), size);
    }
}
