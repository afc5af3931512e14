//! Directory trees by descriptor: opening a directory, listing, and names of paths. Opening below a
//! directory and removing are `gantry_sys::path`'s.
//!
//! Every path that came from a layer is walked relative to a directory descriptor and never
//! through a symbolic link of the layer, unless the walk itself keeps it inside.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

pub(crate) use gantry_sys::path::{open_beneath, remove_tree};
use rustix::fs::{self, Dir, FileType, Mode, OFlags};
use rustix::io;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// Opens a directory that is this very name below `parent` (one component, no link).
pub(crate) fn open_directory(
    parent: impl AsFd,
    name: impl rustix::path::Arg,
) -> io::Result<OwnedFd> {
    fs::openat(parent, name, DIRECTORY, Mode::empty())
}

/// Splits a normalised relative path into its parent and its last component.
pub(crate) fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

/// A path of `name` below the normalised relative path `parent`.
pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() {
        return name.to_vec();
    }
    let mut path = Vec::with_capacity(parent.len() + 1 + name.len());
    path.extend_from_slice(parent);
    path.push(b'/');
    path.extend_from_slice(name);
    path
}

/// One entry of a directory.
#[derive(Debug)]
pub(crate) struct DirectoryEntry {
    pub(crate) name: CString,
    pub(crate) file_type: FileType,
}

/// The entries of a directory but `.` and `..`, sorted bytewise.
pub(crate) fn sorted_entries(directory: impl AsFd) -> io::Result<Vec<DirectoryEntry>> {
    let mut entries = Vec::new();
    let mut stream = Dir::read_from(directory)?;
    while let Some(entry) = stream.read() {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        entries.push(DirectoryEntry {
            name: entry.file_name().to_owned(),
            file_type: entry.file_type(),
        });
    }
    entries.sort_unstable_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_and_join() {
        assert_eq!(split_last(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split_last(b"a"), (&b""[..], &b"a"[..]));
        assert_eq!(join(b"", b"a"), b"a");
        assert_eq!(join(b"a/b", b"c"), b"a/b/c");
    }

    #[test]
    fn entries_come_sorted_bytewise() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", "B", "a.b", "a-"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let fd = open_directory(fs::CWD, dir.path()).unwrap();
        let names: Vec<_> = sorted_entries(&fd)
            .unwrap()
            .into_iter()
            .map(|e| e.name.into_string().unwrap())
            .collect();
        assert_eq!(names, ["B", "a", "a-", "a.b", "b"]);
    }
}
