//! Making a file system: parameters first, then the mount.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::attributes::Attributes;
use super::{Mount, MountError};

/// A file system that is being configured.
#[derive(Debug)]
pub struct FsContext(OwnedFd);

impl FsContext {
    /// Begins with a type of file system.
    pub fn new(fs_type: &OsStr) -> Result<FsContext, MountError> {
        rustix::mount::fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC)
            .map(FsContext)
            .map_err(|errno| MountError::new("use the file system type", errno))
    }

    /// Sets a parameter without a value.
    pub fn flag(&self, key: &str) -> Result<(), MountError> {
        self.checked(rustix::mount::fsconfig_set_flag(&self.0, key))
    }

    /// Sets a parameter to a value of at most 255 bytes.
    pub fn string(&self, key: &str, value: &OsStr) -> Result<(), MountError> {
        self.checked(rustix::mount::fsconfig_set_string(&self.0, key, value))
    }

    /// Sets a parameter to an open file.
    pub fn file(&self, key: &str, value: BorrowedFd<'_>) -> Result<(), MountError> {
        self.checked(rustix::mount::fsconfig_set_fd(&self.0, key, value))
    }

    /// Makes the file system, or finds it if it is one of which there is only one.
    pub fn create(&self) -> Result<(), MountError> {
        self.checked(rustix::mount::fsconfig_create(&self.0))
    }

    /// Makes a detached mount of the file system.
    pub fn mount(&self, attributes: Attributes) -> Result<Mount, MountError> {
        let bits = u32::try_from(attributes.bits()).unwrap_or(u32::MAX);
        let attributes = MountAttrFlags::from_bits_retain(bits);
        match rustix::mount::fsmount(&self.0, FsMountFlags::FSMOUNT_CLOEXEC, attributes) {
            Ok(fd) => Ok(Mount(fd)),
            Err(errno) => Err(self.failed(errno)),
        }
    }

    fn checked(&self, result: Result<(), Errno>) -> Result<(), MountError> {
        result.map_err(|errno| self.failed(errno))
    }

    fn failed(&self, errno: Errno) -> MountError {
        MountError {
            action: "make the file system",
            source: io::Error::from(errno),
            log: self.log(),
        }
    }

    /// What the kernel has to say about the last failure: lines of "e overlay: no such lower".
    fn log(&self) -> Vec<String> {
        let mut log = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(length) = rustix::io::read(self.0.as_fd(), &mut buffer) {
            if length == 0 {
                break;
            }
            let line = String::from_utf8_lossy(&buffer[..length]);
            let line = line.trim_end();
            // The first letter is the kind of message.
            log.push(line.get(2..).unwrap_or(line).to_owned());
        }
        log
    }
}
