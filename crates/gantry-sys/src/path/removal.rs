//! Removing whole trees.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::{self, Errno};

use super::DIRECTORY;

/// How deep a removal goes by descriptors before it moves what is deeper to the top.
const OPEN_LEVELS: usize = 64;

/// Removes the named file or whole directory below `parent`; what is not there is removed.
///
/// Links are not followed. Needs a bounded number of descriptors and no recursion, however deep the
/// tree is.
///
/// # Errors
/// The kernel's.
pub fn remove_tree(parent: impl AsFd, name: &[u8]) -> io::Result<()> {
    let parent = parent.as_fd();
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
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
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

fn open_directory(parent: BorrowedFd<'_>, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    fs::openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_any_depth_is_removed_and_links_are_not_followed() {
        let outer = tempfile::tempdir().unwrap();
        std::fs::write(outer.path().join("kept"), "x").unwrap();
        let base = open_directory(fs::CWD, outer.path()).unwrap();
        fs::mkdirat(&base, "victim", Mode::RWXU).unwrap();
        let mut here = open_directory(base.as_fd(), "victim").unwrap();
        for level in 0..2000 {
            fs::symlinkat("../../../kept", &here, "link").unwrap();
            fs::symlinkat(outer.path(), &here, "out").unwrap();
            fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
            if level % 7 == 0 {
                fs::mkdirat(&here, "e", Mode::RWXU).unwrap();
            }
            here = open_directory(here.as_fd(), "d").unwrap();
        }
        drop(here);
        remove_tree(&base, b"victim").unwrap();
        assert!(!outer.path().join("victim").exists());
        assert!(outer.path().join("kept").exists());
        remove_tree(&base, b"victim").unwrap();
    }
}
