//! Directory trees by descriptor: opening below a directory, removing, listing.
//!
//! Every path that came from a layer is walked relative to a directory descriptor and never
//! through a symbolic link of the layer, unless the walk itself keeps it inside.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{self, Errno};

/// How deep a removal goes by descriptors before it moves what is deeper to the top.
const OPEN_LEVELS: usize = 64;

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

/// Opens what `path` means below `root`, crossing no link and no mount's magic.
pub(crate) fn open_beneath(root: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match fs::openat2(
            root.as_fd(),
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        ) {
            // The kernel could not prove that no rename took the walk outside.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
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
        if is_dots(entry.file_name()) {
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

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// Removes the named file or whole directory below `parent`; what is not there is removed.
///
/// Needs a bounded number of descriptors and no recursion, however deep the tree is.
pub(crate) fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    match fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let top = open_directory(parent, name)?;
    let mut hoisted = 0;
    // Each pass removes everything down to the hoisted directories, which it moves to the top.
    while remove_contents(&top, &mut hoisted)? {}
    match fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Removes what is in `top`; says whether deeper directories were moved up and remain.
fn remove_contents(top: &OwnedFd, hoisted: &mut u64) -> io::Result<bool> {
    let mut remains = false;
    let mut stack = vec![(Dir::read_from(top)?, CString::default())];
    loop {
        let depth = stack.len();
        let Some((stream, _)) = stack.last_mut() else {
            break;
        };
        let Some(entry) = stream.read() else {
            let (_, name) = stack.pop().expect("looked at above");
            if let Some((parent, _)) = stack.last() {
                match fs::unlinkat(parent.fd()?, &name, AtFlags::REMOVEDIR) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(errno),
                }
            }
            continue;
        };
        let entry = entry?;
        if is_dots(entry.file_name()) {
            continue;
        }
        let here = stream.fd()?;
        if entry.file_type() != FileType::Directory {
            match fs::unlinkat(here, entry.file_name(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::ISDIR) => {}
                Err(errno) => return Err(errno),
            }
        }
        match fs::unlinkat(here, entry.file_name(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        if depth >= OPEN_LEVELS {
            hoist(top, here, entry.file_name(), hoisted)?;
            remains = true;
            continue;
        }
        let child = open_for_removal(here, entry.file_name())?;
        let name = entry.file_name().to_owned();
        stack.push((Dir::new(child)?, name));
    }
    Ok(remains)
}

fn hoist(top: &OwnedFd, here: BorrowedFd<'_>, name: &CStr, hoisted: &mut u64) -> io::Result<()> {
    loop {
        *hoisted += 1;
        let up = format!(".hoisted-{hoisted}");
        let flags = fs::RenameFlags::NOREPLACE;
        match fs::renameat_with(here, name, top, &up, flags) {
            Err(Errno::EXIST) => {}
            result => return result,
        }
    }
}

/// Opens a directory to empty it, giving itself the permission if it is the owner.
fn open_for_removal(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    match open_directory(parent, name) {
        Err(Errno::ACCESS) => {
            fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open_directory(parent, name)
        }
        result => result,
    }
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
    fn a_tree_of_any_depth_is_removed_and_links_are_not_followed() {
        let outer = tempfile::tempdir().unwrap();
        std::fs::write(outer.path().join("kept"), "x").unwrap();
        let base = open_directory(fs::CWD, outer.path()).unwrap();
        fs::mkdirat(&base, "victim", Mode::RWXU).unwrap();
        let mut here = open_directory(&base, "victim").unwrap();
        for level in 0..2000 {
            fs::symlinkat("../../../kept", &here, "link").unwrap();
            fs::symlinkat(outer.path(), &here, "out").unwrap();
            fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
            if level % 7 == 0 {
                fs::mkdirat(&here, "e", Mode::RWXU).unwrap();
            }
            here = open_directory(&here, "d").unwrap();
        }
        drop(here);
        remove_tree(base.as_fd(), b"victim").unwrap();
        assert!(!outer.path().join("victim").exists());
        assert!(outer.path().join("kept").exists());
        remove_tree(base.as_fd(), b"victim").unwrap();
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

    #[test]
    fn nothing_is_opened_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::fs::write(dir.path().join("real/f"), "").unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let fd = open_directory(fs::CWD, dir.path()).unwrap();
        assert!(open_beneath(&fd, b"real/f", OFlags::RDONLY).is_ok());
        assert_eq!(
            open_beneath(&fd, b"link/f", OFlags::RDONLY).unwrap_err(),
            Errno::LOOP
        );
        assert!(open_beneath(&fd, b"../x", OFlags::RDONLY).is_err());
        assert!(open_beneath(&fd, b"", OFlags::RDONLY).is_ok());
    }
}
