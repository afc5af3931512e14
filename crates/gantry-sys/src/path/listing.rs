//! What is in a directory.

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, RawDir};
use rustix::io;

/// Bytes of entries that the kernel is asked for at once.
const BUFFER: usize = 32 << 10;

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// Its type where the file system says it without a further call.
    pub kind: FileType,
    /// Its inode.
    pub inode: u64,
}

/// One entry of a [`Listing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'l> {
    /// Its name.
    pub name: &'l CStr,
    /// Its type where the file system says it without a further call.
    pub kind: FileType,
    /// Its inode.
    pub inode: u64,
}

/// The entries of a directory but `.` and `..`, in two allocations however many there are.
#[derive(Debug, Default)]
pub struct Listing {
    /// Their names, each with the zero at its end.
    names: Vec<u8>,
    entries: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    inode: u64,
    kind: FileType,
    /// Where its name begins and where the zero behind it ends.
    begin: usize,
    end: usize,
}

impl Listing {
    /// Reads a directory from where its descriptor stands, which is then at the end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read(directory: impl AsFd) -> io::Result<Self> {
        let mut listing = Self::default();
        let mut buffer = Vec::with_capacity(BUFFER);
        let mut raw = RawDir::new(directory, buffer.spare_capacity_mut());
        while let Some(entry) = raw.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let begin = listing.names.len();
            listing.names.extend_from_slice(name.to_bytes_with_nul());
            listing.entries.push(Place {
                inode: entry.ino(),
                kind: entry.file_type(),
                begin,
                end: listing.names.len(),
            });
        }
        Ok(listing)
    }

    /// Brings them into the order of their inodes, those of one inode in that of their names: the
    /// same order each time, and that in which their status is soonest read from a disk.
    #[must_use]
    pub fn by_inode(mut self) -> Self {
        let names = &self.names;
        let key = |place: &Place| (place.inode, &names[place.begin..place.end]);
        self.entries
            .sort_unstable_by(|one, other| key(one).cmp(&key(other)));
        self
    }

    /// The entries, in the order of the file system where no other was asked for.
    pub fn iter(&self) -> impl Iterator<Item = Listed<'_>> {
        self.entries.iter().map(|place| Listed {
            name: CStr::from_bytes_with_nul(&self.names[place.begin..place.end])
                .unwrap_or_default(),
            kind: place.kind,
            inode: place.inode,
        })
    }
}

impl From<Listed<'_>> for Entry {
    fn from(listed: Listed<'_>) -> Self {
        Self {
            name: OsStr::from_bytes(listed.name.to_bytes()).to_owned(),
            kind: listed.kind,
            inode: listed.inode,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_large_directory_is_listed_whole_and_in_the_order_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        // More than one buffer holds.
        let mut names: Vec<String> = (0..1500).map(|n| format!("{n:0>40}")).collect();
        for name in &names {
            fs::write(folder.path().join(name), "").expect("written");
        }
        fs::hard_link(folder.path().join(&names[0]), folder.path().join("a name")).expect("linked");
        names.push("a name".to_owned());
        names.sort();
        let open = || fs::File::open(folder.path()).expect("opened");
        let listing = Listing::read(open()).expect("read").by_inode();
        let text = |listed: Listed<'_>| listed.name.to_string_lossy().into_owned();
        let mut found: Vec<_> = listing.iter().map(text).collect();
        let order: Vec<_> = listing
            .iter()
            .map(|listed| (listed.inode, listed.name))
            .collect();
        assert!(order.is_sorted());
        found.sort();
        assert_eq!(found, names);
        let directory = open();
        Listing::read(&directory).expect("read");
        let again = Listing::read(&directory).expect("read again");
        assert_eq!(again.iter().count(), 0, "it stands at its end");
    }
}
