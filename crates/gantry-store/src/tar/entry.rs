//! One entry of an archive, with everything its headers say.

use std::borrow::Cow;

/// Seconds since 1970 and nanoseconds within the second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file with content.
    Regular,
    /// A hard link to an earlier entry.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A FIFO.
    Fifo,
}

/// An extended attribute: name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// A run of data in a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Where in the file.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// Where the data of a sparse file is; all else is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SparseMap {
    /// The fragments, ascending, without overlap, none of them empty.
    pub fragments: Vec<Fragment>,
}

impl SparseMap {
    /// Bytes of data.
    #[must_use]
    pub fn data_size(&self) -> u64 {
        self.fragments.iter().map(|fragment| fragment.length).sum()
    }
}

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path as written, without a trailing slash.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of modification.
    pub mtime: Timestamp,
    /// Size of the file (apparent, for a sparse one); zero unless regular.
    pub size: u64,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
    /// Where the data is, of a sparse file.
    pub sparse: Option<SparseMap>,
}

impl Entry {
    /// Where its data is: of a file that is not sparse, all of it.
    #[must_use]
    pub fn fragments(&self) -> Cow<'_, [Fragment]> {
        match &self.sparse {
            Some(sparse) => Cow::Borrowed(&sparse.fragments),
            None if self.size == 0 => Cow::Borrowed(&[]),
            None => Cow::Owned(vec![Fragment {
                offset: 0,
                length: self.size,
            }]),
        }
    }

    /// An entry of this kind, owned by root, of mode 0644 (directories 0755, links 0777).
    #[must_use]
    pub fn new(kind: EntryKind, path: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            kind,
            mode: match kind {
                EntryKind::Directory => 0o755,
                EntryKind::Symlink => 0o777,
                _ => 0o644,
            },
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            size: 0,
            link: Vec::new(),
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}
