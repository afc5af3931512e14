//! Playing a recipe back: the tar of a layer, byte for byte.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use gantry_model::Digest;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::recipe::{Item, RecipeReader, Replacements};
use super::{LayerInfo, patch};
use crate::error::StoreError;
use crate::tar::Fragment;
use crate::tree;

/// The tar of a layer as a stream. Its last read fails when what was given is no longer what
/// the diff ID says.
#[derive(Debug)]
pub struct LayerTar {
    folder: PathBuf,
    /// The trees that its files are in, the layer's own first.
    roots: Vec<OwnedFd>,
    layer: OwnedFd,
    recipe: RecipeReader,
    replacements: Option<Replacements>,
    info: LayerInfo,
    position: u64,
    state: State,
    hasher: Sha256,
    given: u64,
}

#[derive(Debug)]
enum State {
    Between,
    Raw(u64),
    File {
        file: File,
        offset: u64,
        left: u64,
        fragments: VecDeque<Fragment>,
    },
    Ended,
}

impl LayerTar {
    /// The tar of the layer in `folder`; of a patch, `whole` is the tree of the layer it patches.
    pub(super) fn open(
        folder: PathBuf,
        whole: Option<&Path>,
        info: LayerInfo,
    ) -> Result<Self, StoreError> {
        let failed = |errno: Errno| StoreError::io("open the layer", &folder, errno);
        let layer = tree::open_directory(fs::CWD, &folder).map_err(failed)?;
        let mut roots = vec![tree::open_directory(&layer, "fs").map_err(failed)?];
        if let Some(whole) = whole {
            roots.push(tree::open_directory(fs::CWD, whole).map_err(failed)?);
        }
        let open_recipe = || -> Result<RecipeReader, StoreError> {
            let file = fs::openat(
                &layer,
                "recipe",
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .map_err(failed)?;
            RecipeReader::new(File::from(file))
                .map_err(|e| StoreError::io("read the recipe of", &folder, e))
        };
        let replacements =
            match fs::accessat(&layer, "replaced", fs::Access::EXISTS, fs::AtFlags::empty()) {
                Err(Errno::NOENT) => None,
                result => {
                    result.map_err(failed)?;
                    Some(Replacements::read(open_recipe()?).map_err(|_| {
                        StoreError::DamagedRecipe {
                            diff_id: info.diff_id,
                            reason: "it does not end",
                        }
                    })?)
                }
            };
        let recipe = open_recipe()?;
        Ok(Self {
            roots,
            layer,
            recipe,
            replacements,
            info,
            position: 0,
            state: State::Between,
            hasher: Sha256::new(),
            given: 0,
            folder,
        })
    }

    /// Size of the tar in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.info.tar_size
    }

    /// The diff ID of the layer.
    #[must_use]
    pub fn diff_id(&self) -> &Digest {
        &self.info.diff_id
    }

    fn next_item(&mut self) -> io::Result<()> {
        let position = self.position;
        self.position += 1;
        self.state = match self.recipe.item()? {
            Item::Raw(count) => State::Raw(count),
            Item::Replaced { .. } => State::Between,
            Item::File { path, fragments } => {
                let replaced = self
                    .replacements
                    .as_ref()
                    .and_then(|found| found.file(&path, position));
                let file = self.open_content(&path, replaced)?;
                State::File {
                    file,
                    offset: 0,
                    left: 0,
                    fragments: fragments.into(),
                }
            }
            Item::End(_) => {
                self.verify()?;
                State::Ended
            }
        };
        Ok(())
    }

    fn open_content(&self, path: &[u8], replaced: Option<u64>) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = match replaced {
            None => patch::open_in(&self.roots, path, flags),
            Some(number) => {
                tree::open_beneath(&self.layer, format!("replaced/{number}").as_bytes(), flags)
            }
        };
        opened.map(File::from).map_err(|errno| {
            let what = format!(
                "cannot open {} of the layer {}: {errno}",
                String::from_utf8_lossy(path),
                self.folder.display()
            );
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }

    fn verify(&mut self) -> io::Result<()> {
        let hasher = std::mem::take(&mut self.hasher);
        let actual = Digest::from_bytes(hasher.finalize().into());
        if actual != self.info.diff_id {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                StoreError::DigestMismatch {
                    expected: self.info.diff_id,
                    actual,
                },
            ));
        }
        Ok(())
    }

    fn read_file(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let State::File {
            file,
            offset,
            left,
            fragments,
        } = &mut self.state
        else {
            return Ok(0);
        };
        if *left == 0 {
            let Some(fragment) = fragments.pop_front() else {
                self.state = State::Between;
                return Ok(0);
            };
            (*offset, *left) = (fragment.offset, fragment.length);
            if *left == 0 {
                return Ok(0);
            }
        }
        let want = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = file.read_at(&mut buffer[..want], *offset)?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "a file of the layer {} is shorter than it was",
                    self.folder.display()
                ),
            ));
        }
        *offset += count as u64;
        *left -= count as u64;
        Ok(count)
    }
}

impl Read for LayerTar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let count = match &mut self.state {
                State::Ended => return Ok(0),
                State::Between => {
                    self.next_item()?;
                    0
                }
                State::Raw(0) => {
                    self.state = State::Between;
                    0
                }
                State::Raw(left) => {
                    let want = usize::try_from(*left).map_or(buffer.len(), |n| n.min(buffer.len()));
                    let count = self.recipe.raw(&mut buffer[..want])?;
                    *left -= count as u64;
                    count
                }
                State::File { .. } => self.read_file(buffer)?,
            };
            if count > 0 {
                self.hasher.update(&buffer[..count]);
                self.given += count as u64;
                return Ok(count);
            }
        }
    }
}
