//! Extended attributes of a tree, and which of them belong into an archive.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs;
use rustix::io::{self, Errno};

use crate::tar::Xattr;
use crate::unpack::OverlayNames;

/// Attributes that say something of this machine's security modules, not of the file.
const LOCAL: &[&[u8]] = &[
    b"security.selinux",
    b"security.evm",
    b"security.ima",
    b"security.apparmor",
];

/// What fuse-overlayfs names its own attributes.
const PROGRAMS: &[u8] = b"user.fuseoverlayfs.";
/// The one that marks an opaque directory.
pub const PROGRAMS_OPAQUE: &str = "user.fuseoverlayfs.opaque";

/// Whether it is the name of a file by which fuse-overlayfs marks an opaque directory, beside the
/// attribute.
#[must_use]
pub fn is_programs_mark(name: &[u8]) -> bool {
    matches!(name, b".wh..opq" | b".wh..wh..opq")
}

/// Where attributes are read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// An open file or directory.
    File(BorrowedFd<'a>),
    /// A name in a directory, links not followed.
    Name(BorrowedFd<'a>, &'a [u8]),
}

/// What the attributes of a file mean.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    /// Those for the archive, sorted by name.
    pub(crate) archived: Vec<Xattr>,
    /// overlayfs's own, which are left out.
    pub(crate) overlay: Vec<Vec<u8>>,
    pub(crate) opaque: bool,
    /// It is opaque by a mark of fuse-overlayfs.
    pub(crate) programs: bool,
    pub(crate) redirect: bool,
    pub(crate) metacopy: bool,
}

/// Whether an attribute is left out of archives.
pub(crate) fn is_local(name: &[u8]) -> bool {
    LOCAL.contains(&name)
}

fn path_of(directory: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    [
        format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(),
        name,
    ]
    .concat()
}

/// Calls a sizing system call until the buffer is large enough.
fn sized(mut call: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            // 64 KiB is the kernel's limit for names and for one value.
            Err(Errno::RANGE) if buffer.len() < 1 << 17 => buffer.resize(buffer.len() * 4, 0),
            Err(errno) => return Err(errno),
        }
    }
}

fn names(place: Place<'_>) -> io::Result<Vec<u8>> {
    let listed = match place {
        Place::File(file) => sized(|buffer| fs::flistxattr(file, buffer)),
        Place::Name(directory, name) => {
            let path = path_of(directory, name);
            sized(|buffer| fs::llistxattr(&path[..], buffer))
        }
    };
    match listed {
        Err(Errno::NOTSUP) => Ok(Vec::new()),
        result => result,
    }
}

fn value(place: Place<'_>, attribute: &[u8]) -> io::Result<Vec<u8>> {
    match place {
        Place::File(file) => sized(|buffer| fs::fgetxattr(file, attribute, buffer)),
        Place::Name(directory, name) => {
            let path = path_of(directory, name);
            sized(|buffer| fs::lgetxattr(&path[..], attribute, buffer))
        }
    }
}

/// Reads the attributes of a file.
pub(crate) fn read(place: Place<'_>, overlay: Option<OverlayNames>) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    let names = names(place)?;
    for name in names.split(|&b| b == 0).filter(|name| !name.is_empty()) {
        if is_local(name) {
            continue;
        }
        if overlay.is_some() && name.starts_with(PROGRAMS) {
            attributes.programs |= name == PROGRAMS_OPAQUE.as_bytes();
            attributes.overlay.push(name.to_vec());
            continue;
        }
        let own = overlay
            .and_then(|overlay| Some((overlay.prefix(), name.strip_prefix(overlay.prefix())?)));
        let archived_name = match own {
            None => name.to_vec(),
            Some((prefix, own)) => match own.strip_prefix(b"overlay.") {
                // Escaped: an attribute that the layer itself has.
                Some(rest) => [prefix, rest].concat(),
                None => {
                    match own {
                        b"opaque" => attributes.opaque = value(place, name)?.first() == Some(&b'y'),
                        b"redirect" => attributes.redirect = true,
                        b"metacopy" => attributes.metacopy = true,
                        _ => {}
                    }
                    if own != b"opaque" {
                        attributes.overlay.push(name.to_vec());
                    }
                    continue;
                }
            },
        };
        match value(place, name) {
            Ok(value) => attributes.archived.push((archived_name, value)),
            // Taken away in the meantime, or not to be read by this user.
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS) => {}
            Err(errno) => return Err(errno),
        }
    }
    attributes.archived.sort();
    attributes.opaque |= attributes.programs;
    Ok(attributes)
}

/// Removes attributes.
pub(super) fn remove(place: Place<'_>, names: &[Vec<u8>]) -> io::Result<()> {
    for name in names {
        let removed = match place {
            Place::File(file) => fs::fremovexattr(file.as_fd(), &name[..]),
            Place::Name(directory, file) => {
                fs::lremovexattr(&path_of(directory, file)[..], &name[..])
            }
        };
        match removed {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
