//! From a compressed stream of known digests to files.

use std::io::Read;
use std::os::fd::BorrowedFd;

use gantry_model::Digest;

use super::{Options, Plain, UnpackError, Unpacked, Unpacker, whole};
use crate::compression::{Pipeline, Requirements, pipeline};
use crate::layers::UnpackOptions;
use crate::store::Store;
use crate::tar::Reader;

impl Store {
    /// Unpacks a compressed archive below `root`, within the store's limits, and verifies what the
    /// options say of it. Names of whiteouts are names like others, since nothing lies below.
    ///
    /// # Errors
    /// [`UnpackError`]; what was unpacked before the error stays.
    pub fn unpack_files(
        &self,
        root: BorrowedFd<'_>,
        archive: impl Read + Send,
        options: &UnpackOptions<'_>,
    ) -> Result<Unpacked, UnpackError> {
        let tree = Options {
            limits: self.limits().clone(),
            ..Options::default()
        };
        let (unpacked, _, _) = piped(self, archive, options, |pipeline| {
            let mut reader = Reader::new(Plain(pipeline), &tree.limits);
            let unpacked = Unpacker::new(root, &tree)?.run(&mut reader)?;
            Ok((whole(unpacked)?, reader.into_inner().0))
        })?;
        Ok(unpacked)
    }
}

/// Decompresses a stream beside `take`, which reads all of it; what that made, the digest of the
/// decompressed bytes, and how many these are.
pub(crate) fn piped<T>(
    store: &Store,
    stream: impl Read + Send,
    options: &UnpackOptions<'_>,
    take: impl FnOnce(Pipeline) -> Result<(T, Pipeline), UnpackError>,
) -> Result<(T, Digest, u64), UnpackError> {
    let requirements = Requirements {
        compression: options.compression,
        blob: options.blob,
        limits: store.limits(),
        progress: options.progress,
    };
    let (taken, pipeline) = std::thread::scope(|scope| {
        let (producer, pipeline) = pipeline();
        let thread = std::thread::Builder::new().name("decompress".to_owned());
        thread
            .spawn_scoped(scope, move || producer.run(stream, &requirements))
            .map_err(|source| UnpackError::Source { source })?;
        take(pipeline)
    })?;
    let (actual, size) = pipeline.finish();
    match options.diff_id.filter(|expected| *expected != actual) {
        Some(expected) => Err(UnpackError::DiffId { expected, actual }),
        None => Ok((taken, actual, size)),
    }
}
