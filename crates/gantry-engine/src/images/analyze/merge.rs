//! Layers side by side, as an overlay merges them.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;

use gantry_sys::path::Directory;
use rustix::fs::{FileType, Stat};

use super::top::Top;
use super::{Fate, LargeFile, Waste};
use crate::containers::merged_root::is_opaque;

/// What is counted of one layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) size: u64,
    pub(super) files: u64,
    pub(super) wasted: u64,
    pub(super) hides: u64,
}

/// A walk through all layers of an image.
#[derive(Debug)]
pub(super) struct Merge<'l> {
    /// Base first.
    layers: &'l [Directory],
    pub(super) sums: Vec<Sums>,
    pub(super) wasted_files: u64,
    pub(super) waste: Top<Waste>,
    pub(super) largest: Top<LargeFile>,
    /// Files of several names that were counted, by layer and inode.
    counted: HashSet<(usize, u64)>,
}

/// What a layer has at a path.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Whiteout,
    Folder,
    /// Something else, with the bytes that it holds.
    File(u64),
}

/// What is seen at a path after some of the layers.
#[derive(Debug)]
enum Seen {
    Nothing,
    File {
        layer: usize,
        bytes: u64,
    },
    /// The layers that are merged.
    Folder(Vec<usize>),
}

/// Why nobody sees something: what became of it, and the layer that did that.
type Gone = (Fate, usize);

impl<'l> Merge<'l> {
    pub(super) fn new(layers: &'l [Directory], most: usize) -> Self {
        Self {
            layers,
            sums: vec![Sums::default(); layers.len()],
            wasted_files: 0,
            waste: Top::new(most),
            largest: Top::new(most),
            counted: HashSet::new(),
        }
    }

    pub(super) fn run(mut self) -> io::Result<Self> {
        let all: Vec<usize> = (0..self.layers.len()).collect();
        self.folder(OsStr::new(""), &all, None)?;
        Ok(self)
    }

    /// A folder that these layers have together, and that is gone in the end or not.
    fn folder(&mut self, path: &OsStr, members: &[usize], gone: Option<Gone>) -> io::Result<()> {
        let mut names: BTreeMap<OsString, Vec<(usize, Kind)>> = BTreeMap::new();
        for &layer in members {
            let folder = self.layers[layer].directory_beneath(path)?;
            let mut entries = folder.entries()?;
            // Of several names of one file the first counts, whatever order they are read in.
            entries.sort_by(|one, other| one.name.cmp(&other.name));
            for entry in entries {
                let status = folder.status_of(&entry.name)?;
                let kind = self.kind(layer, &status);
                names.entry(entry.name).or_default().push((layer, kind));
            }
        }
        for (name, found) in names {
            let mut below = path.to_owned();
            if !path.is_empty() {
                below.push("/");
            }
            below.push(name);
            self.entry(&below, &found, gone)?;
        }
        Ok(())
    }

    fn kind(&mut self, layer: usize, status: &Stat) -> Kind {
        let sums = &mut self.sums[layer];
        match FileType::from_raw_mode(status.st_mode) {
            FileType::CharacterDevice if status.st_rdev == 0 => return Kind::Whiteout,
            FileType::Directory => {
                sums.files += 1;
                return Kind::Folder;
            }
            FileType::RegularFile => {}
            _ => {
                sums.files += 1;
                return Kind::File(0);
            }
        }
        sums.files += 1;
        // A file of several names counts at the first of them.
        if status.st_nlink > 1 && !self.counted.insert((layer, status.st_ino)) {
            return Kind::File(0);
        }
        let bytes = status.st_size.unsigned_abs();
        sums.size += bytes;
        Kind::File(bytes)
    }

    /// What the layers have at one path, base first.
    fn entry(
        &mut self,
        path: &OsStr,
        found: &[(usize, Kind)],
        gone: Option<Gone>,
    ) -> io::Result<()> {
        let mut seen = Seen::Nothing;
        let mut lost: Vec<(usize, u64, Gone)> = Vec::new();
        for &(layer, kind) in found {
            seen = match (kind, seen) {
                (Kind::Whiteout, before) => {
                    self.end(path, before, (Fate::Deleted, layer), &mut lost)?;
                    Seen::Nothing
                }
                (Kind::File(bytes), before) => {
                    let fate = match before {
                        Seen::Folder(_) => Fate::Deleted,
                        _ => Fate::Overwritten,
                    };
                    self.end(path, before, (fate, layer), &mut lost)?;
                    Seen::File { layer, bytes }
                }
                (Kind::Folder, Seen::Folder(mut members)) => {
                    if is_opaque(&self.layers[layer].directory_beneath(path)?) {
                        let before = Seen::Folder(std::mem::take(&mut members));
                        self.end(path, before, (Fate::Deleted, layer), &mut lost)?;
                    }
                    members.push(layer);
                    Seen::Folder(members)
                }
                (Kind::Folder, before) => {
                    self.end(path, before, (Fate::Overwritten, layer), &mut lost)?;
                    Seen::Folder(vec![layer])
                }
            };
        }
        match (seen, gone) {
            (Seen::Nothing, _) => {}
            (Seen::File { layer, bytes }, None) => self.largest.add(LargeFile {
                bytes,
                path: shown(path),
                layer,
            }),
            (Seen::File { layer, bytes }, Some(gone)) => lost.push((layer, bytes, gone)),
            (Seen::Folder(members), gone) => self.folder(path, &members, gone)?,
        }
        self.lose(path, &lost);
        Ok(())
    }

    /// What was seen is seen no more.
    fn end(
        &mut self,
        path: &OsStr,
        before: Seen,
        gone: Gone,
        lost: &mut Vec<(usize, u64, Gone)>,
    ) -> io::Result<()> {
        match before {
            Seen::Nothing => Ok(()),
            Seen::File { layer, bytes } => {
                lost.push((layer, bytes, gone));
                Ok(())
            }
            Seen::Folder(members) => self.folder(path, &members, Some(gone)),
        }
    }

    fn lose(&mut self, path: &OsStr, lost: &[(usize, u64, Gone)]) {
        let Some((.., (fate, by))) = lost.last().copied() else {
            return;
        };
        let mut waste = Waste {
            bytes: 0,
            path: shown(path),
            copies: 0,
            fate,
            by,
        };
        for (layer, bytes, (_, by)) in lost {
            self.sums[*layer].wasted += bytes;
            self.sums[*by].hides += bytes;
            waste.bytes += bytes;
            waste.copies += 1;
        }
        self.wasted_files += waste.copies;
        if waste.bytes > 0 {
            self.waste.add(waste);
        }
    }
}

/// A path as an absolute one of the image.
fn shown(path: &OsStr) -> String {
    format!("/{}", path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use gantry_sys::xattr;
    use rustix::fs::{CWD, Mode, mknodat};

    use super::*;

    fn write(layer: &Path, path: &str, bytes: usize) {
        let path = layer.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![0; bytes]).unwrap();
    }

    fn delete(layer: &Path, path: &str) {
        let path = layer.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    }

    #[test]
    fn what_nobody_sees_is_found_by_path_and_layer() {
        let folder = tempfile::tempdir().unwrap();
        let layers: Vec<_> = (0..4).map(|n| folder.path().join(n.to_string())).collect();
        layers
            .iter()
            .for_each(|layer| fs::create_dir(layer).unwrap());
        write(&layers[0], "kept", 1);
        write(&layers[0], "twice", 10);
        write(&layers[1], "twice", 20);
        write(&layers[2], "twice", 30);
        // A folder that goes with all that two layers put into it.
        write(&layers[0], "gone/a", 100);
        write(&layers[1], "gone/deep/b", 200);
        delete(&layers[2], "gone");
        // One that is replaced, so that only the new content is seen.
        write(&layers[0], "new/old", 1000);
        write(&layers[3], "new/fresh", 2000);
        xattr::set(
            fs::File::open(layers[3].join("new")).unwrap(),
            OsStr::new("user.overlay.opaque"),
            b"y",
        )
        .unwrap();
        // A folder becomes a file, and a file of two names counts once.
        write(&layers[1], "turned/x", 7);
        write(&layers[2], "turned", 3);
        write(&layers[1], "linked", 5);
        fs::hard_link(layers[1].join("linked"), layers[1].join("again")).unwrap();
        delete(&layers[3], "never");
        let roots: Vec<_> = layers
            .iter()
            .map(|layer| Directory::open(layer).unwrap())
            .collect();
        let merge = Merge::new(&roots, 3).run().unwrap();
        let bytes = |pick: fn(&Sums) -> u64| merge.sums.iter().map(pick).collect::<Vec<_>>();
        assert_eq!(bytes(|sums| sums.size), [1111, 232, 33, 2000]);
        assert_eq!(bytes(|sums| sums.wasted), [1110, 227, 0, 0]);
        assert_eq!(bytes(|sums| sums.hides), [0, 10, 327, 1000]);
        assert_eq!(merge.wasted_files, 6);
        let waste: Vec<_> = merge
            .waste
            .into_sorted()
            .into_iter()
            .map(|waste| (waste.path, waste.bytes, waste.copies, waste.fate, waste.by))
            .collect();
        let path = str::to_owned;
        assert_eq!(
            waste,
            [
                (path("/new/old"), 1000, 1, Fate::Deleted, 3),
                (path("/gone/deep/b"), 200, 1, Fate::Deleted, 2),
                (path("/gone/a"), 100, 1, Fate::Deleted, 2),
            ]
        );
        let largest: Vec<_> = merge
            .largest
            .into_sorted()
            .into_iter()
            .map(|file| file.path)
            .collect();
        assert_eq!(
            largest,
            ["/new/fresh", "/twice", "/again"].map(path).to_vec()
        );
    }
}
