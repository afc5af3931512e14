//! The attributes of a mount, as opposed to those of its file system.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::MountError;

/// Attributes of a mount (mount_setattr(2)).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes(u64);

impl fmt::Debug for Attributes {
    /// With the names that mount options have.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Attributes::READ_ONLY, "ro"),
            (Attributes::NO_SETUID, "nosuid"),
            (Attributes::NO_DEVICES, "nodev"),
            (Attributes::NO_EXECUTE, "noexec"),
            (Attributes::NO_ACCESS_TIME, "noatime"),
            (Attributes::STRICT_ACCESS_TIME, "strictatime"),
            (Attributes::NO_DIRECTORY_ACCESS_TIME, "nodiratime"),
            (Attributes::ID_MAPPED, "idmap"),
            (Attributes::NO_SYMLINKS, "nosymfollow"),
        ];
        let names = names
            .iter()
            .filter(|(attribute, _)| self.contains(*attribute))
            .map(|(_, name)| *name);
        write!(f, "[{}]", names.collect::<Vec<_>>().join(","))
    }
}

impl Attributes {
    /// None.
    pub const NONE: Attributes = Attributes(0);
    /// Nothing can be written.
    pub const READ_ONLY: Attributes = Attributes(0x1);
    /// Set-user-ID bits and file capabilities do not count.
    pub const NO_SETUID: Attributes = Attributes(0x2);
    /// Devices cannot be opened.
    pub const NO_DEVICES: Attributes = Attributes(0x4);
    /// Programs cannot be executed.
    pub const NO_EXECUTE: Attributes = Attributes(0x8);
    /// Access times are never written.
    pub const NO_ACCESS_TIME: Attributes = Attributes(0x10);
    /// Access times are always written.
    pub const STRICT_ACCESS_TIME: Attributes = Attributes(0x20);
    /// Access times of directories are never written.
    pub const NO_DIRECTORY_ACCESS_TIME: Attributes = Attributes(0x80);
    /// Owners are seen through a user namespace.
    const ID_MAPPED: Attributes = Attributes(0x0010_0000);
    /// Symbolic links are not followed.
    pub const NO_SYMLINKS: Attributes = Attributes(0x0020_0000);
    /// The bits of the access-time choice, which are cleared together.
    const ACCESS_TIME: Attributes = Attributes(0x70);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Attributes) -> Attributes {
        Attributes(self.0 | other.0)
    }

    /// Without the other.
    #[must_use]
    pub const fn without(self, other: Attributes) -> Attributes {
        Attributes(self.0 & !other.0)
    }

    /// Whether it has all of the other.
    pub const fn contains(self, other: Attributes) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kernel's bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// How mount events spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Neither in nor out.
    Private,
    /// In, not out.
    Slave,
    /// Both ways.
    Shared,
    /// Neither, and it cannot be bind-mounted.
    Unbindable,
}

/// A change of attributes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// What to set.
    pub set: Attributes,
    /// What to clear before.
    pub clear: Attributes,
    /// How mount events spread from now on.
    pub propagation: Option<Propagation>,
    /// The user namespace through which owners are seen from now on.
    pub id_map: Option<BorrowedFd<'a>>,
}

impl Change<'_> {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
            && self.clear.is_empty()
            && self.propagation.is_none()
            && self.id_map.is_none()
    }
}

pub(super) fn apply(
    mount: BorrowedFd<'_>,
    change: &Change<'_>,
    recursive: bool,
) -> Result<(), MountError> {
    let mut set = change.set;
    let mut clear = change.clear;
    let times = Attributes::NO_ACCESS_TIME.with(Attributes::STRICT_ACCESS_TIME);
    // The kernel wants the whole choice cleared whenever any of it changes.
    if (set.0 | clear.0) & times.0 != 0 {
        clear = clear.with(Attributes::ACCESS_TIME);
    }
    if change.id_map.is_some() {
        set = set.with(Attributes::ID_MAPPED);
    }
    let attributes = libc::mount_attr {
        attr_set: set.0,
        attr_clr: clear.0,
        propagation: match change.propagation {
            None => 0,
            Some(Propagation::Private) => libc::MS_PRIVATE,
            Some(Propagation::Slave) => libc::MS_SLAVE,
            Some(Propagation::Shared) => libc::MS_SHARED,
            Some(Propagation::Unbindable) => libc::MS_UNBINDABLE,
        },
        userns_fd: change
            .id_map
            .map_or(0, |fd| u64::from(fd.as_raw_fd().cast_unsigned())),
    };
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path is a C string, the structure lives across the call and its size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 {
        let error = io::Error::last_os_error();
        return Err(MountError::new("change the attributes of the mount", error));
    }
    Ok(())
}
