//! Making layers that were unpacked alone fit together.
//!
//! A tar may name `a/b/c` without listing `a` and `a/b`: over its parents these directories
//! would keep the mode and owner they have there, but unpacked alone they had to be made up.
//! And it may have a hard link to a file of a lower layer. For each chain of layers in which
//! that matters, a small directory in `fixups/` goes above the layer as one more lower
//! directory: it has just these directories, as the lower layers have them, and these links.

use std::collections::{BTreeSet, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_model::Digest;
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags};
use rustix::io::Errno;

use super::unpack::{make_directory, overlay_names};
use super::{LayerRow, flags, patch};
use crate::blobs::sha256;
use crate::error::StoreError;
use crate::ingest::IngestEntry;
use crate::pack::attributes::{self, Place};
use crate::store::Store;
use crate::tar::{Timestamp, Xattr};
use crate::tree;
use crate::unpack::{Unpacked, is_whiteout, timestamps};

/// What a layer leaves open, as kept in its file `needs`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    directories: Vec<Vec<u8>>,
    links: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Needs {
    pub(super) fn of(unpacked: Unpacked) -> Self {
        Self {
            directories: unpacked.implied,
            links: unpacked.foreign_links,
        }
    }

    /// `d path NUL` for each directory, `l path NUL target NUL` for each link.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for path in &self.directories {
            out.extend_from_slice(&[b"d", &path[..], b"\0"].concat());
        }
        for (path, target) in &self.links {
            out.extend_from_slice(&[b"l", &path[..], b"\0", target, b"\0"].concat());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut needs = Self::default();
        let mut parts = bytes
            .split_inclusive(|&b| b == 0)
            .map(|part| part.strip_suffix(b"\0"));
        while let Some(part) = parts.next() {
            match part?.split_first()? {
                (b'd', path) => needs.directories.push(path.to_vec()),
                (b'l', path) => needs.links.push((path.to_vec(), parts.next()??.to_vec())),
                _ => return None,
            }
        }
        Some(needs)
    }

    pub(super) fn write(&self, entry: &IngestEntry) -> Result<(), StoreError> {
        let path = entry.path().join("needs");
        std::fs::write(&path, self.encode()).map_err(|e| StoreError::io("write", path, e))
    }

    fn read(store: &Store, diff_id: &Digest) -> Result<Self, StoreError> {
        let path = store.layers().folder(diff_id).join("needs");
        let bytes = std::fs::read(&path).map_err(|e| StoreError::io("read", path, e))?;
        let damaged = StoreError::DamagedRecipe {
            diff_id: *diff_id,
            reason: "its needs are malformed",
        };
        Self::decode(&bytes).ok_or(damaged)
    }
}

/// The lower directories of a chain, base first.
pub(super) fn lowers(store: &Store, diff_ids: &[Digest]) -> Result<Vec<PathBuf>, StoreError> {
    let mut rows = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let row = store.layers().row(diff_id)?;
        rows.push(row.ok_or(StoreError::NoLayer { diff_id: *diff_id })?);
    }
    let mut paths = Vec::with_capacity(rows.len());
    let mut chain = Chain::default();
    let mut special_root = false;
    for row in &rows {
        let diff_id = &row.info.diff_id;
        chain.push(diff_id);
        let below = paths.len();
        paths.extend(patch::trees(store.layers(), row));
        let inherits_root = special_root && row.flags & flags::IMPLIED_ROOT != 0;
        special_root |= row.flags & flags::SPECIAL_ROOT != 0;
        if below > 0 && (row.flags & flags::NEEDS != 0 || inherits_root) {
            paths.extend(fixup(store, &chain, row, &paths[..below])?);
        } else if below == 0 && row.flags & flags::NEEDS != 0 {
            // Nothing below to take a link's target from.
            let needs = Needs::read(store, diff_id)?;
            if let Some((path, target)) = needs.links.first() {
                return Err(dangling(diff_id, path, target));
            }
        }
    }
    Ok(each_once(paths))
}

/// The kernel refuses one directory twice in an overlay; where a layer occurs twice, what the upper
/// one says holds, so the lower one is left out.
fn each_once(base_first: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    let mut once: Vec<PathBuf> = base_first
        .into_iter()
        .rev()
        .filter(|path| seen.insert(path.clone()))
        .collect();
    once.reverse();
    once
}

/// The layers so far, base first.
#[derive(Debug, Default)]
struct Chain {
    layers: Vec<Digest>,
    /// OCI image-spec, `config.md`, "Layer ChainID".
    id: Option<Digest>,
}

impl Chain {
    fn push(&mut self, diff_id: &Digest) {
        self.layers.push(*diff_id);
        self.id = Some(match self.id {
            None => *diff_id,
            Some(id) => sha256(format!("{id} {diff_id}").as_bytes()),
        });
    }
}

fn dangling(diff_id: &Digest, path: &[u8], target: &[u8]) -> StoreError {
    StoreError::DanglingHardLink {
        diff_id: *diff_id,
        path: String::from_utf8_lossy(path).into_owned(),
        target: String::from_utf8_lossy(target).into_owned(),
    }
}

/// The fixup of the topmost layer of a chain, made if it is not there yet; `None` if this
/// chain needs none.
fn fixup(
    store: &Store,
    chain: &Chain,
    row: &LayerRow,
    below: &[PathBuf],
) -> Result<Option<PathBuf>, StoreError> {
    let name = chain.id.map(|id| id.hex()).unwrap_or_default();
    let folder = store.root().join("fixups").join(&name);
    let tree_path = folder.join("fs");
    if folder.join("layers").exists() {
        return Ok(tree_path.exists().then_some(tree_path));
    }
    let entry = store.ingest()?.directory()?;
    let needs = if row.flags & flags::NEEDS != 0 {
        Needs::read(store, &row.info.diff_id)?
    } else {
        Needs::default()
    };
    let needed = build(store, &entry, row, &needs, below)?;
    let list: String = chain
        .layers
        .iter()
        .map(|layer| format!("{layer}\n"))
        .collect();
    let failed = |source| StoreError::io("write", entry.path(), source);
    std::fs::write(entry.path().join("layers"), list).map_err(failed)?;
    store.sync_files()?;
    let fixups = tree::open_directory(store.directory(), "fixups")
        .map_err(|errno| StoreError::io("open", store.root().join("fixups"), errno))?;
    match entry.rename(&fixups, &name) {
        Ok(()) => {}
        // Another process made the same one.
        Err(_) if folder.join("layers").exists() => {}
        Err(error) => return Err(error),
    }
    Ok(needed.then_some(tree_path))
}

/// Makes the fixup; says whether there is anything in it.
fn build(
    store: &Store,
    entry: &IngestEntry,
    row: &LayerRow,
    needs: &Needs,
    below: &[PathBuf],
) -> Result<bool, StoreError> {
    let layer = store.layers().tree(&row.info.diff_id);
    let open = |path: &Path| {
        tree::open_directory(fs::CWD, path).map_err(|e| StoreError::io("open", path, e))
    };
    let builder = Builder {
        diff_id: row.info.diff_id,
        folder: entry.path(),
        layer: open(&layer)?,
        below: below
            .iter()
            .map(|path| open(path))
            .collect::<Result<_, _>>()?,
        implied: needs.directories.iter().map(Vec::as_slice).collect(),
        root_implied: row.flags & flags::IMPLIED_ROOT != 0,
    };
    let mut wanted = BTreeSet::new();
    let root: &[u8] = b"";
    let implied = builder
        .implied
        .iter()
        .copied()
        .chain(builder.root_implied.then_some(root));
    for path in implied {
        if builder.differs(path)? {
            wanted.insert(path.to_vec());
        }
    }
    for (path, _) in &needs.links {
        wanted.insert(tree::split_last(path).0.to_vec());
    }
    if wanted.is_empty() {
        return Ok(false);
    }
    let target = make_directory(entry.handle(), "fs", entry.path())?;
    let made = builder.make_directories(&target, &wanted)?;
    for (path, link_target) in &needs.links {
        builder.link(&target, path, link_target)?;
    }
    for path in made.iter().rev() {
        builder.dress(&target, path)?;
    }
    Ok(true)
}

struct Builder<'a> {
    diff_id: Digest,
    folder: &'a Path,
    layer: OwnedFd,
    below: Vec<OwnedFd>,
    implied: BTreeSet<&'a [u8]>,
    root_implied: bool,
}

/// What is found at a path of merged layers.
struct Found {
    handle: OwnedFd,
    parent: OwnedFd,
    status: Stat,
}

impl Builder<'_> {
    fn failed(&self, action: &'static str) -> impl FnOnce(Errno) -> StoreError {
        let path = self.folder.to_owned();
        move |errno| StoreError::io(action, path, errno)
    }

    /// What the layers below show at `path`.
    fn lower(&self, path: &[u8]) -> Result<Option<Found>, StoreError> {
        for layer in self.below.iter().rev() {
            match look_up(layer, path).map_err(self.failed("look at the layers below"))? {
                Looked::Found(found) => return Ok(Some(found)),
                Looked::Hidden => return Ok(None),
                Looked::Below => {}
            }
        }
        Ok(None)
    }

    /// What a directory of the fixup takes its mode and owner from.
    fn model(&self, path: &[u8]) -> Result<Option<Found>, StoreError> {
        let implied = if path.is_empty() {
            self.root_implied
        } else {
            self.implied.contains(path)
        };
        let own = look_up(&self.layer, path).map_err(self.failed("look at the layer"))?;
        match (own, implied) {
            (Looked::Found(found), false) => Ok(Some(found)),
            (Looked::Found(found), true) => Ok(Some(
                self.lower(path)?
                    .filter(|lower| is_directory(&lower.status))
                    .unwrap_or(found),
            )),
            (Looked::Below | Looked::Hidden, _) => self.lower(path),
        }
    }

    /// Whether the layers below have this directory, and otherwise than this layer.
    fn differs(&self, path: &[u8]) -> Result<bool, StoreError> {
        let Some(lower) = self
            .lower(path)?
            .filter(|lower| is_directory(&lower.status))
        else {
            return Ok(false);
        };
        let Looked::Found(own) =
            look_up(&self.layer, path).map_err(self.failed("look at the layer"))?
        else {
            return Ok(false);
        };
        let traits = |found: &Found| -> Result<(u32, u32, u32, Vec<Xattr>), StoreError> {
            Ok((
                found.status.st_mode,
                found.status.st_uid,
                found.status.st_gid,
                self.xattrs(found)?,
            ))
        };
        Ok(traits(&lower)? != traits(&own)?)
    }

    fn xattrs(&self, found: &Found) -> Result<Vec<Xattr>, StoreError> {
        let directory = tree::open_directory(&found.handle, ".")
            .map_err(self.failed("open a directory of a layer for"))?;
        let place = Place::File(directory.as_fd());
        // Escaped names stay escaped: from one overlay directory to another.
        let attributes = attributes::read(place, None)
            .map_err(self.failed("read the attributes of a layer for"))?;
        let overlay = overlay_names().prefix();
        let escaped = [overlay, b"overlay."].concat();
        Ok(attributes
            .archived
            .into_iter()
            .filter(|(name, _)| !name.starts_with(overlay) || name.starts_with(&escaped))
            .collect())
    }

    /// Makes the wanted directories and those above them; all of them, parents first.
    fn make_directories(
        &self,
        target: &OwnedFd,
        wanted: &BTreeSet<Vec<u8>>,
    ) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let mut made = BTreeSet::from([Vec::new()]);
        for path in wanted {
            let ends = path
                .iter()
                .enumerate()
                .filter(|&(_, &b)| b == b'/')
                .map(|(at, _)| at);
            for end in ends.chain((!path.is_empty()).then_some(path.len())) {
                let path = &path[..end];
                if made.insert(path.to_vec()) {
                    let (parent, name) = tree::split_last(path);
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                    tree::open_beneath(target, parent, flags)
                        .and_then(|parent| fs::mkdirat(parent, name, Mode::RWXU))
                        .map_err(self.failed("create a directory in"))?;
                }
            }
        }
        Ok(made)
    }

    /// Gives a directory of the fixup the mode, owner, attributes and time it should have.
    fn dress(&self, target: &OwnedFd, path: &[u8]) -> Result<(), StoreError> {
        let Some(model) = self.model(path)? else {
            return Ok(());
        };
        if !is_directory(&model.status) {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let directory =
            tree::open_beneath(target, path, flags).map_err(self.failed("open a directory in"))?;
        let status = &model.status;
        let own = fs::fstat(&directory).map_err(self.failed("look at a directory in"))?;
        if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid) {
            let owner = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
            fs::fchown(&directory, Some(owner.0), Some(owner.1))
                .map_err(self.failed("set the owner in"))?;
        }
        for (name, value) in self.xattrs(&model)? {
            fs::fsetxattr(&directory, &name[..], &value, XattrFlags::empty())
                .map_err(self.failed("set an attribute in"))?;
        }
        fs::fchmod(&directory, Mode::from_raw_mode(status.st_mode & 0o7777))
            .map_err(self.failed("set the mode in"))?;
        let mtime = Timestamp {
            seconds: status.st_mtime,
            nanoseconds: u32::try_from(status.st_mtime_nsec).unwrap_or(0),
        };
        fs::futimens(&directory, &timestamps(mtime)).map_err(self.failed("set the time in"))
    }

    /// Links a file of a lower layer into the fixup.
    fn link(&self, target: &OwnedFd, path: &[u8], link_target: &[u8]) -> Result<(), StoreError> {
        let found = self
            .lower(link_target)?
            .filter(|found| !is_directory(&found.status));
        let Some(found) = found else {
            return Err(dangling(&self.diff_id, path, link_target));
        };
        let (parent, name) = tree::split_last(path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let parent = tree::open_beneath(target, parent, flags)
            .map_err(self.failed("open a directory in"))?;
        let (_, target_name) = tree::split_last(link_target);
        fs::linkat(&found.parent, target_name, &parent, name, AtFlags::empty())
            .map_err(self.failed("link a file of a layer below into"))
    }
}

fn is_directory(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::Directory
}

enum Looked {
    Found(Found),
    /// Not here, and nothing below shows through.
    Hidden,
    /// Not here, but what is below shows through.
    Below,
}

/// Looks a path up in one layer, as overlayfs would.
fn look_up(layer: &OwnedFd, path: &[u8]) -> rustix::io::Result<Looked> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut parent = fs::openat(layer, ".", flags, Mode::empty())?;
    let mut handle = fs::openat(layer, ".", flags, Mode::empty())?;
    let mut status = fs::fstat(&handle)?;
    let mut opaque = false;
    for name in path.split(|&b| b == b'/').filter(|name| !name.is_empty()) {
        if !is_directory(&status) {
            return Ok(Looked::Hidden);
        }
        opaque |= is_opaque(&handle)?;
        let next = match fs::openat(&handle, name, flags, Mode::empty()) {
            Err(Errno::NOENT) if opaque => return Ok(Looked::Hidden),
            Err(Errno::NOENT) => return Ok(Looked::Below),
            result => result?,
        };
        status = fs::fstat(&next)?;
        if is_whiteout(&status) {
            return Ok(Looked::Hidden);
        }
        parent = std::mem::replace(&mut handle, next);
    }
    Ok(Looked::Found(Found {
        handle,
        parent,
        status,
    }))
}

fn is_opaque(directory: &OwnedFd) -> rustix::io::Result<bool> {
    let directory = tree::open_directory(directory, ".")?;
    let attributes = attributes::read(Place::File(directory.as_fd()), Some(overlay_names()))?;
    Ok(attributes.opaque)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_occurs_twice_counts_where_it_is_highest() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            each_once(paths(&["a", "e", "b", "e"])),
            paths(&["a", "b", "e"])
        );
    }

    #[test]
    fn needs_round_trip() {
        let needs = Needs {
            directories: vec![b"a".to_vec(), b"a/b\n".to_vec()],
            links: vec![(b"x".to_vec(), b"y/z".to_vec())],
        };
        assert_eq!(Needs::decode(&needs.encode()), Some(needs));
        assert_eq!(Needs::decode(b""), Some(Needs::default()));
        for bad in [&b"q\0"[..], b"da", b"lx\0", b"\0"] {
            assert_eq!(Needs::decode(bad), None, "{bad:?}");
        }
    }
}
