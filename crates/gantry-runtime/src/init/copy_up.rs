//! A file system that begins with a copy of the directory it covers (`tmpcopyup`).
//!
//! The directory is the image's and may be hostile: every entry is opened by its one name and never
//! through a link, and whatever the copy holds counts against the size of the new file system.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use gantry_sys::mount::Mount;
use gantry_sys::path::{Directory, Entry};
use gantry_sys::{fd, xattr};
use rustix::fs::{FileType, Mode, OFlags, Stat, Timespec};

/// Copies everything in the directory at `place` into the root of `made`.
pub(super) fn fill(place: &OwnedFd, made: &Mount) -> io::Result<()> {
    // Both are only places so far, which cannot be listed.
    let open = |file: std::os::fd::BorrowedFd<'_>| -> io::Result<Directory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(file, c".", flags, Mode::empty())?.into())
    };
    let mut waiting = vec![(open(place.as_fd())?, open(made.as_fd())?)];
    while let Some((from, to)) = waiting.pop() {
        for entry in from.entries()? {
            waiting.extend(copy(&from, &to, &entry)?);
        }
    }
    Ok(())
}

/// Copies one entry; a directory without its contents, which are returned to be copied.
fn copy(
    from: &Directory,
    to: &Directory,
    entry: &Entry,
) -> io::Result<Option<(Directory, Directory)>> {
    let name = entry.name.as_os_str();
    let stat = from.status_of(name)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mut below = None;
    match kind {
        FileType::Directory => {
            to.make_directory(name, 0o700)?;
            let pair = (from.directory_beneath(name)?, to.directory_beneath(name)?);
            copy_attributes(pair.0.as_fd(), pair.1.as_fd())?;
            below = Some(pair);
        }
        FileType::RegularFile => {
            let source = from.open_entry(name, OFlags::RDONLY)?;
            let target = to.create_file(name, 0o600)?;
            fd::copy(&source, &target)?;
            copy_attributes(source.as_fd(), target.as_fd())?;
        }
        FileType::Symlink => to.make_symlink(&from.read_link(name)?, name)?,
        other => to.make_node(name, other, stat.st_mode & 0o7777, stat.st_rdev)?,
    }
    to.set_owner(name, stat.st_uid, stat.st_gid)?;
    if kind != FileType::Symlink {
        to.set_mode(name, stat.st_mode)?;
    }
    let (accessed, modified) = times(&stat);
    to.set_times(name, accessed, modified)?;
    Ok(below)
}

fn copy_attributes(
    from: std::os::fd::BorrowedFd<'_>,
    to: std::os::fd::BorrowedFd<'_>,
) -> io::Result<()> {
    for (name, value) in xattr::all(from)? {
        match xattr::set(to, &name, &value) {
            // Not every attribute is one that a tmpfs keeps.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
                ) => {}
            other => other?,
        }
    }
    Ok(())
}

fn times(stat: &Stat) -> (Timespec, Timespec) {
    let time = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    (
        time(stat.st_atime, stat.st_atime_nsec),
        time(stat.st_mtime, stat.st_mtime_nsec),
    )
}
