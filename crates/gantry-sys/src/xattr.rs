//! Extended attributes of open files.
//!
//! A file that cannot be opened (a symbolic link, a device, a FIFO) is reached through an `O_PATH`
//! descriptor and `/proc/self/fd`, which names the very file that was opened and nothing that may
//! have taken its place.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// A value longer than the kernel's own limit (64 KiB) cannot exist.
const LONGEST: usize = 64 * 1024;

/// The path of an open file, `O_PATH` ones included.
fn proc_path(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

/// The value of an attribute; `None` when the file has no such attribute or its file system none
/// at all.
pub fn value(file: impl AsFd, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let path = proc_path(&file);
    let mut buffer = Vec::with_capacity(256);
    loop {
        match rustix::fs::getxattr(
            path.as_str(),
            name,
            rustix::buffer::spare_capacity(&mut buffer),
        ) {
            Ok(_) => return Ok(Some(buffer)),
            Err(Errno::RANGE) if buffer.capacity() < LONGEST => {
                buffer = Vec::with_capacity(LONGEST);
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The names of all attributes, sorted.
pub fn names(file: impl AsFd) -> io::Result<Vec<OsString>> {
    let path = proc_path(&file);
    let mut buffer = Vec::with_capacity(256);
    loop {
        match rustix::fs::listxattr(path.as_str(), rustix::buffer::spare_capacity(&mut buffer)) {
            Ok(_) => break,
            Err(Errno::RANGE) if buffer.capacity() < LONGEST => {
                buffer = Vec::with_capacity(LONGEST);
            }
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut names: Vec<OsString> = buffer
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect();
    names.sort();
    Ok(names)
}

/// All attributes with their values, sorted by name.
pub fn all(file: impl AsFd) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let mut found = Vec::new();
    for name in names(&file)? {
        // One that vanished in between is not there.
        if let Some(value) = value(&file, &name)? {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// Sets an attribute.
pub fn set(file: impl AsFd, name: &OsStr, value: &[u8]) -> io::Result<()> {
    let path = proc_path(&file);
    Ok(rustix::fs::setxattr(
        path.as_str(),
        name,
        value,
        XattrFlags::empty(),
    )?)
}

/// Removes an attribute; one that is not there is no error.
pub fn remove(file: impl AsFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::removexattr(proc_path(file).as_str(), name) {
        Ok(()) | Err(Errno::NODATA) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the name belongs to overlayfs, so that it means something to the kernel when it lies in
/// a layer.
pub fn is_overlay(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_round_trip() {
        let file = tempfile::tempfile().expect("a file");
        let name = OsStr::new("user.gantry");
        assert_eq!(value(&file, name).expect("read"), None);
        let long = vec![7; 3000];
        set(&file, name, &long).expect("set");
        set(&file, OsStr::new("user.a"), b"").expect("set");
        assert_eq!(value(&file, name).expect("read"), Some(long.clone()));
        assert_eq!(
            all(&file).expect("read"),
            [
                (OsString::from("user.a"), Vec::new()),
                (name.to_owned(), long)
            ]
        );
        remove(&file, name).expect("removed");
        remove(&file, name).expect("not there");
        assert_eq!(names(&file).expect("read"), ["user.a"]);
    }

    #[test]
    fn root_links_have_attributes_of_their_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/nowhere", &link).expect("a link");
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::NOFOLLOW;
        let opened = rustix::fs::open(&link, flags, rustix::fs::Mode::empty()).expect("opened");
        set(&opened, OsStr::new("trusted.x"), b"1").expect("set");
        assert_eq!(names(&opened).expect("read"), ["trusted.x"]);
    }
}
