//! Trees for tests: one with everything a tree can have, and a listing to compare trees by.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, Uid, XattrFlags};

use crate::pack::attributes::{self, Place};
use crate::tree;
use crate::unpack::timestamps;

/// What one path of a tree is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) content: Vec<u8>,
    pub(crate) device: u64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The first path of the same inode.
    pub(crate) linked: Option<Vec<u8>>,
}

pub(crate) type Listing = BTreeMap<Vec<u8>, Listed>;

/// Everything about the tree below `root`; the root itself is the empty path.
pub(crate) fn listing(root: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut inodes = BTreeMap::new();
    let top = tree::open_directory(fs::CWD, root).unwrap();
    let mut pending = vec![(PathBuf::new(), top)];
    while let Some((below, directory)) = pending.pop() {
        if below.as_os_str().is_empty() {
            let status = fs::fstat(&directory).unwrap();
            listing.insert(
                Vec::new(),
                listed(&status, Place::File(directory.as_fd()), Vec::new()),
            );
        }
        for entry in tree::sorted_entries(&directory).unwrap() {
            let name = entry.name.as_bytes();
            let path = below.join(OsStr::from_bytes(name));
            let status = fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
            let full = root.join(&path);
            let content = match FileType::from_raw_mode(status.st_mode) {
                FileType::RegularFile => std::fs::read(&full).unwrap(),
                FileType::Symlink => std::fs::read_link(&full)
                    .unwrap()
                    .into_os_string()
                    .into_vec(),
                _ => Vec::new(),
            };
            let mut one = listed(&status, Place::Name(directory.as_fd(), name), content);
            let path_bytes = path.as_os_str().as_bytes().to_vec();
            if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
                pending.push((path, tree::open_directory(&directory, name).unwrap()));
            } else if status.st_nlink > 1 {
                inodes
                    .entry(status.st_ino)
                    .or_insert_with(Vec::new)
                    .push(path_bytes.clone());
            }
            if FileType::from_raw_mode(status.st_mode) == FileType::Symlink {
                one.mode = 0;
            }
            listing.insert(path_bytes, one);
        }
    }
    for mut paths in inodes.into_values() {
        paths.sort();
        for path in &paths {
            listing.get_mut(path).unwrap().linked = Some(paths[0].clone());
        }
    }
    listing
}

fn listed(status: &fs::Stat, place: Place<'_>, content: Vec<u8>) -> Listed {
    Listed {
        mode: status.st_mode,
        owner: (status.st_uid, status.st_gid),
        mtime: (
            status.st_mtime,
            i64::try_from(status.st_mtime_nsec).unwrap(),
        ),
        content,
        device: status.st_rdev,
        xattrs: attributes::read(place, None).unwrap().archived,
        linked: None,
    }
}

/// Says where two trees differ first, with little text.
pub(crate) fn assert_same(left: &Listing, right: &Listing) {
    let paths: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    for path in paths {
        let brief = |listing: &Listing| {
            listing.get(path).map(|one| {
                let mut one = one.clone();
                one.content.truncate(40);
                one
            })
        };
        assert!(
            left.get(path) == right.get(path),
            "{} differs:\n{:?}\n{:?}",
            path.escape_ascii(),
            brief(left),
            brief(right)
        );
    }
}

fn set_time(path: &Path, seconds: i64, nanoseconds: u32) {
    let time = timestamps(crate::tar::Timestamp {
        seconds,
        nanoseconds,
    });
    fs::utimensat(fs::CWD, path, &time, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// A tree with everything; needs root.
pub(crate) fn everything(root: &Path) {
    let at = |name: &str| root.join(name);
    std::fs::create_dir_all(at("dir/sub")).unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::write(at("dir/file"), "content\n").unwrap();
    std::fs::write(at("dir/empty"), "").unwrap();
    std::fs::write(at("dir/512"), vec![b'x'; 512]).unwrap();
    let big: Vec<u8> = (0..700_000_u32)
        .flat_map(|n| n.wrapping_mul(40503).to_le_bytes())
        .collect();
    std::fs::write(at("dir/sub/big"), &big).unwrap();
    std::fs::hard_link(at("dir/file"), at("dir/sub/hard")).unwrap();
    std::fs::hard_link(at("dir/file"), at("zhard")).unwrap();
    symlink("file", at("dir/soft")).unwrap();
    symlink("/absolute/nowhere", at("dangling")).unwrap();
    symlink("x".repeat(150), at("longlink")).unwrap();
    let long = format!("{}/{}", "d".repeat(120), "e".repeat(130));
    std::fs::create_dir_all(root.join(&long)).unwrap();
    std::fs::write(root.join(&long).join("f".repeat(200)), "long").unwrap();
    std::fs::hard_link(
        root.join(&long).join("f".repeat(200)),
        root.join("g".repeat(210)),
    )
    .unwrap();
    std::fs::write(root.join(OsStr::from_bytes(b"non\xff\xfeutf")), "bytes").unwrap();
    std::fs::write(at("umläut €"), "utf-8").unwrap();
    std::fs::write(at("new\nline"), "n").unwrap();
    let sparse = std::fs::File::create(at("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    sparse.write_all_at(&[7; 5000], 3 << 20).unwrap();
    sparse.write_all_at(b"end", (40 << 20) - 3).unwrap();
    std::fs::File::create(at("hole"))
        .unwrap()
        .set_len(5 << 20)
        .unwrap();
    let scattered = std::fs::File::create(at("scattered")).unwrap();
    scattered.set_len(60 << 20).unwrap();
    for n in 0..100 {
        scattered.write_all_at(&[1; 10], n * (512 << 10)).unwrap();
    }
    let device = |name: &str, kind, major, minor| {
        let mode = Mode::from_raw_mode(0o640);
        fs::mknodat(fs::CWD, at(name), kind, mode, fs::makedev(major, minor)).unwrap();
    };
    device("null", FileType::CharacterDevice, 1, 3);
    device("highminor", FileType::CharacterDevice, 511, 0xf_fffe);
    device("loop", FileType::BlockDevice, 7, 0);
    device("fifo", FileType::Fifo, 0, 0);
    let chown = |name: &str, uid, gid| {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        fs::chownat(fs::CWD, at(name), owner.0, owner.1, flags).unwrap();
    };
    chown("dir/512", 1000, 1001);
    chown("dir/soft", 12, 13);
    chown("empty", 4_000_000_000, 3_000_000);
    chown("dir/sub/big", 65534, 65534);
    let chmod = |name: &str, mode| fs::chmod(at(name), Mode::from_raw_mode(mode)).unwrap();
    chmod("dir/empty", 0o4755);
    chmod("dir/512", 0o6711);
    chmod("dir/sub", 0o3777);
    chmod("empty", 0o000);
    chmod("umläut €", 0o400);
    // A capability (version 2, cap_net_bind_service, effective).
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set_xattr(&at("dir/sub/big"), "security.capability", &capability);
    set_xattr(
        &at("dir/file"),
        "user.note",
        b"value\0with\nall = bytes\xff",
    );
    set_xattr(&at("dir/file"), "user.empty", b"");
    set_xattr(&at("dir"), "user.on-directory", b"1");
    set_xattr(&at("dangling"), "trusted.on-link", b"2");
    set_xattr(&at("null"), "trusted.on-device", b"3");
    set_time(&at("dir/file"), 1_234_567_890, 123_456_789);
    set_time(&at("dir/soft"), 1_000_000_000, 5);
    set_time(&at("dangling"), -1_000, 0);
    set_time(&at("fifo"), 0, 0);
    set_time(&at("umläut €"), 8_589_934_592 + 7, 100_000_000);
    for directory in ["dir/sub", "dir", "empty"] {
        set_time(&at(directory), 1_500_000_000, 999_999_999);
    }
    set_time(root, 1_400_000_000, 1);
}

/// A directory that takes any content and is removed with it.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A new empty directory in it.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    }
}

/// Panics unless root: tests that need it fail without, they do not skip.
pub(crate) fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test must run as root"
    );
}
