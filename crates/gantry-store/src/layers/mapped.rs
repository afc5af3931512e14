//! Layers for users other than those they were stored for.
//!
//! Only root may show a file system with other owners. Without root a container in a user namespace
//! of its own gets a copy of all its layers together, in which every file belongs to the container's
//! users. Since Linux 6.16 such a copy has no contents: each file names its place in the layer it
//! comes from, and the overlay has the layers as data directories. (It is one copy for all of them
//! because the kernel finds such a file's contents only when no other layer follows.)
//!
//! On disk `mapped/<owners>/<chain>/`: the tree in `fs/`, and in `layers` what it is a copy of. It
//! is made once, and goes with the first of those.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use gantry_model::userns::{IdRange, IdRanges, NOBODY};
use gantry_sys::path::{Contents, Directory, Marks, TreeCopy};
use rustix::fs::{FileType, OFlags};

use super::unpack::make_directory;
use crate::blobs::sha256;
use crate::error::StoreError;
use crate::ingest::IngestEntry;
use crate::store::Store;
use crate::tree;

/// Where the copies are.
pub(crate) const FOLDER: &str = "mapped";
/// What a copy is of.
const LIST: &str = "layers";
/// Where originals are.
const ORIGINALS: [&str; 2] = ["layers", "fixups"];
/// The first Linux whose overlays find contents elsewhere in a user namespace.
const FINDS_CONTENTS: (u32, u32) = (6, 16);

/// The lower directories of a container's overlay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lowers {
    /// Base first.
    pub folders: Vec<PathBuf>,
    /// Where files of those have their contents, if not in themselves.
    pub data: Vec<PathBuf>,
}

impl From<Vec<PathBuf>> for Lowers {
    fn from(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            data: Vec::new(),
        }
    }
}

/// The lower directory for the users of `owners`; `merged` opens what the chain `folders` shows.
pub(super) fn lowers(
    store: &Store,
    folders: &[PathBuf],
    owners: &IdRanges,
    merged: impl FnOnce() -> std::io::Result<Directory>,
) -> Result<Lowers, StoreError> {
    let in_place = gantry_sys::system::kernel_version() >= FINDS_CONTENTS;
    let originals = folders
        .iter()
        .map(|folder| original(store, folder))
        .collect::<Result<Vec<_>, _>>()?;
    let list = originals.iter().fold(String::new(), |list, (kind, name)| {
        list + kind + "/" + name + "\n"
    });
    let layers = folders.iter().zip(&originals);
    let copy = Copy {
        parent: store.root().join(FOLDER).join(key(owners, in_place)),
        list,
        layers: layers
            .map(|(folder, (_, name))| (folder.as_path(), Path::new("/").join(name).join("fs")))
            .rev()
            .collect(),
        in_place,
        owners,
    };
    let mut data = Vec::new();
    if in_place {
        data.extend(ORIGINALS.map(|kind| store.root().join(kind)));
    }
    Ok(Lowers {
        folders: vec![copy.find_or_make(store, merged)?],
        data,
    })
}

/// The highest user or group that a file of these directories belongs to; nobody does not count.
pub(super) fn highest_owner(folders: &[PathBuf]) -> Result<u32, StoreError> {
    let mut highest = 0;
    for folder in folders {
        let failed = |source| StoreError::io("look through", folder, source);
        let mut stack = vec![Directory::open(folder).map_err(failed)?];
        while let Some(directory) = stack.pop() {
            let own = directory.status().map_err(failed)?;
            let mut seen = |uid, gid| {
                let ids = [uid, gid].into_iter().filter(|id| *id != NOBODY);
                highest = ids.fold(highest, u32::max);
            };
            seen(own.st_uid, own.st_gid);
            for entry in directory.entries().map_err(failed)? {
                let status = directory.status_of(&entry.name).map_err(failed)?;
                match FileType::from_raw_mode(status.st_mode) {
                    FileType::Directory => {
                        let below = directory.directory_beneath(&entry.name);
                        stack.push(below.map_err(failed)?);
                    }
                    _ => seen(status.st_uid, status.st_gid),
                }
            }
        }
    }
    Ok(highest)
}

/// What names the copies for these users.
fn key(owners: &IdRanges, in_place: bool) -> String {
    let lines = |ranges: &[IdRange]| {
        ranges.iter().fold(String::new(), |mut text, ids| {
            // Writing to a string cannot fail.
            writeln!(text, "{} {} {}", ids.container, ids.host, ids.size).ok();
            text
        })
    };
    let text = format!(
        "{in_place}\n{}\n{}",
        lines(&owners.uids),
        lines(&owners.gids)
    );
    sha256(text.as_bytes()).hex()[..32].to_owned()
}

/// Of which kind a lower directory is, and its name.
fn original<'a>(store: &Store, folder: &'a Path) -> Result<(&'a str, &'a str), StoreError> {
    let parts = || {
        let below = folder.strip_prefix(store.root()).ok()?;
        let mut parts = below.iter().map(OsStr::to_str);
        let (kind, name) = (parts.next()??, parts.next()??);
        ORIGINALS.contains(&kind).then_some((kind, name))
    };
    parts().ok_or_else(|| {
        let none = std::io::Error::from(std::io::ErrorKind::NotFound);
        StoreError::io("find the layer", folder, none)
    })
}

struct Copy<'a> {
    parent: PathBuf,
    /// What it is a copy of, a line each.
    list: String,
    /// The directories, top first, and where they are in the data directories.
    layers: Vec<(&'a Path, PathBuf)>,
    in_place: bool,
    owners: &'a IdRanges,
}

impl Copy<'_> {
    fn find_or_make(
        &self,
        store: &Store,
        merged: impl FnOnce() -> std::io::Result<Directory>,
    ) -> Result<PathBuf, StoreError> {
        let name = sha256(self.list.as_bytes()).hex()[..32].to_owned();
        let path = self.parent.join(&name).join("fs");
        if path.exists() {
            return Ok(path);
        }
        std::fs::create_dir_all(&self.parent)
            .map_err(|error| StoreError::io("create", &self.parent, error))?;
        let entry = store.ingest()?.directory()?;
        self.make(&entry, merged)?;
        store.sync_files()?;
        let parent = tree::open_directory(rustix::fs::CWD, &self.parent)
            .map_err(|errno| StoreError::io("open", &self.parent, errno))?;
        match entry.rename(&parent, &name) {
            Ok(()) => Ok(path),
            // Another process made the same one.
            Err(_) if path.exists() => Ok(path),
            Err(error) => Err(error),
        }
    }

    fn make(
        &self,
        entry: &IngestEntry,
        merged: impl FnOnce() -> std::io::Result<Directory>,
    ) -> Result<(), StoreError> {
        let into = Directory::from(make_directory(entry.handle(), "fs", entry.path())?);
        let failed = |source| StoreError::io("copy the layers to", entry.path(), source);
        std::fs::write(entry.path().join(LIST), &self.list).map_err(failed)?;
        let layers = self
            .layers
            .iter()
            .map(|(layer, place)| Ok((Directory::open(layer)?, place)))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(failed)?;
        let missing = Cell::new(None);
        let owners = |uid, gid| {
            self.owners.outside(uid, gid).ok_or_else(|| {
                missing.set(Some((uid, gid)));
                std::io::ErrorKind::InvalidData.into()
            })
        };
        let place = |path: &Path| {
            for (layer, place) in &layers {
                match layer.open_beneath(path, OFlags::PATH, 0) {
                    Ok(_) => return Ok(place.join(path)),
                    Err(error) if is_elsewhere(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(std::io::ErrorKind::NotFound.into())
        };
        let copy = TreeCopy {
            marks: Marks::LeftOut,
            owners: Some(&owners),
            contents: self.in_place.then_some(&place as Contents<'_>),
        };
        let copied = merged().and_then(|from| copy.run(&from, &into));
        copied.map_err(|error| match missing.get() {
            Some((uid, gid)) => StoreError::UnmappedOwner { uid, gid },
            None => failed(error),
        })
    }
}

/// Whether a layer does not have what the layers together show: one below has it.
fn is_elsewhere(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Moves the copies out of sight whose originals are not all there any more.
pub(crate) fn hide(store: &Store) -> Result<Vec<IngestEntry>, StoreError> {
    let path = store.root().join(FOLDER);
    let failed = |errno| StoreError::io("list", &path, errno);
    let folder = match tree::open_directory(store.directory(), FOLDER) {
        // Nobody has needed one yet.
        Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut hidden = Vec::new();
    for key in tree::sorted_entries(&folder).map_err(failed)? {
        let copies = tree::open_directory(folder.as_fd(), &key.name).map_err(failed)?;
        for copy in tree::sorted_entries(&copies).map_err(failed)? {
            let name = copy.name.to_string_lossy().into_owned();
            let list = path.join(&*key.name.to_string_lossy()).join(&name);
            let list = std::fs::read_to_string(list.join(LIST)).unwrap_or_default();
            let mut originals = list.lines().map(|original| store.root().join(original));
            if list.is_empty() || !originals.all(|original| original.exists()) {
                hidden.extend(store.ingest()?.take(&copies, &name)?);
            }
        }
    }
    Ok(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn ranges(host: u32, size: u32) -> IdRanges {
        let range = IdRange {
            container: 0,
            host,
            size,
        };
        IdRanges {
            uids: vec![range],
            gids: vec![range],
        }
    }

    #[test]
    fn root_a_layer_is_copied_once_for_its_owners_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let draft = store.layers().draft().unwrap();
        let path = draft.upper().join("file");
        std::fs::write(&path, "content").unwrap();
        std::os::unix::fs::chown(&path, Some(7), Some(NOBODY)).unwrap();
        let layer = draft.commit().unwrap();
        let chain = store.layers().lowers(&[layer.diff_id]).unwrap();
        assert_eq!(highest_owner(&chain).unwrap(), 7);
        let mapped = |owners: &IdRanges| {
            let merged = || Directory::open(&chain[0]);
            store.layers().mapped(&chain, owners, merged)
        };
        let made = mapped(&ranges(1000, 65_536)).unwrap();
        let status = std::fs::metadata(made.folders[0].join("file")).unwrap();
        assert_eq!(
            (status.uid(), status.gid(), status.len()),
            (1007, 66_534, 7)
        );
        let again = mapped(&ranges(1000, 65_536)).unwrap();
        assert_eq!(again, made, "the second time it is there");
        assert_ne!(mapped(&ranges(2000, 65_536)).unwrap(), made);
        let refused = mapped(&ranges(1, 7)).unwrap_err();
        assert!(refused.to_string().contains("user 7"), "{refused}");
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        let (roots, policy) = (crate::Roots::default(), crate::CollectPolicy::default());
        store.collect(&roots, &policy).unwrap();
        assert!(!made.folders[0].exists(), "nothing needs the layer");
    }
}
