//! The files that a cache mount with `from` begins with.

use std::io::{self, BufReader};
use std::os::fd::AsFd;
use std::path::Path;

use gantry_model::Digest;
use gantry_store::tar::WriteError;
use gantry_store::{Limits, PackError, UnpackError, pack, unpack};
use gantry_sys::path::Directory;

use super::super::view;
use crate::collect::mounts;
use crate::error::StepError;
use crate::graph::CacheMount;
use crate::setting::Setting;

const BUFFER: usize = 256 << 10;

/// A directory of what a step has as an input.
pub(super) struct Start<'s> {
    setting: &'s Setting,
    layers: &'s [Digest],
    source: &'s str,
}

impl<'s> Start<'s> {
    /// That of a cache mount, where it has one; `inputs` are the layers of the step's inputs.
    pub(super) fn of(
        setting: &'s Setting,
        cache: &'s CacheMount,
        inputs: &'s [Vec<Digest>],
    ) -> Option<Self> {
        let start = cache.start.as_ref()?;
        Some(Self {
            setting,
            layers: inputs.get(start.input).map_or(&[][..], Vec::as_slice),
            source: &start.source,
        })
    }

    /// Makes the folder, if it is not there: whole, or not at all.
    pub(super) fn fill(&self, folder: &Path) -> Result<(), StepError> {
        if folder.exists() {
            return Ok(());
        }
        // In the store nobody takes it for a cache, and a collection finds what was left.
        let draft = self.setting.store.layers().draft()?;
        let failed = |source: io::Error| StepError::io("prepare the cache", folder, source);
        let into = Directory::open(draft.upper()).map_err(failed)?;
        match view::open(&self.setting.store, self.layers, &self.setting.empty())? {
            Some(root) => {
                let source = root
                    .directory_in_root(self.source)
                    .map_err(|error| self.missing(error))?;
                self.copy(&source, &into)?;
            }
            None if self.source == "/" => {}
            None => return Err(self.missing(io::ErrorKind::NotFound.into())),
        }
        mounts::settle(draft.upper(), folder).map_err(failed)
    }

    fn missing(&self, error: io::Error) -> StepError {
        if error.kind() == io::ErrorKind::NotFound {
            return StepError::NotFound {
                path: self.source.to_owned(),
                ignored: false,
                similar: None,
            };
        }
        StepError::io("open", self.source, error)
    }

    /// Copies what is in a directory, with all that an archive can say of it.
    fn copy(&self, from: &Directory, into: &Directory) -> Result<(), StepError> {
        let failed = |source: io::Error| StepError::io("copy", self.source, source);
        let (reader, writer) = io::pipe().map_err(failed)?;
        let options = pack::Options {
            root: true,
            ..pack::Options::default()
        };
        std::thread::scope(|scope| {
            let packed = scope.spawn(|| pack::directory(from.as_fd(), writer, options).map(drop));
            let reader = BufReader::with_capacity(BUFFER, reader);
            let options = unpack::Options {
                limits: Limits::default().of_any_size(),
                ..unpack::Options::default()
            };
            let unpacked = unpack::into_directory(into.as_fd(), reader, &options);
            let packed = packed.join().unwrap_or_else(|_| {
                let ended = io::Error::other("the thread that packs a cache ended");
                let source = WriteError::Stream(ended);
                Err(PackError::Write { source })
            });
            match (unpacked, packed) {
                // An archive that ends early is not the cause.
                (Ok(_) | Err(UnpackError::Archive { .. }), Err(error)) => Err(error.into()),
                (Ok(_), Ok(())) => Ok(()),
                (Err(source), _) => Err(StepError::Unpack {
                    path: self.source.into(),
                    source,
                }),
            }
        })
    }
}
