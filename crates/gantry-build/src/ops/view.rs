//! The root file system of a step, merged from its layers, for reading.
//!
//! The kernel merges: an overlay without an upper directory, mounted nowhere, held by a descriptor
//! and gone with it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use gantry_model::Digest;
use gantry_store::Store;
use gantry_sys::mount::Overlay;
use gantry_sys::path::{Directory, if_there};

use crate::error::StepError;

/// Opens the merged root of a chain of layers, base first; `None` where there is no layer.
/// `empty` is a path at which an empty directory is kept.
pub(crate) fn open(
    store: &Store,
    layers: &[Digest],
    empty: &Path,
) -> Result<Option<Directory>, StepError> {
    if layers.is_empty() {
        return Ok(None);
    }
    let mut lowers = top_first(store.layers().lowers(layers)?);
    // An overlay to read from has at least two layers.
    fs::create_dir_all(empty).map_err(|source| StepError::io("create", empty, source))?;
    lowers.push(empty.to_owned());
    let mount = Overlay::to_read(&lowers, &[]).map_err(StepError::Mount)?;
    Ok(Some(mount.into()))
}

/// Lower directories in the order of an overlay.
pub(crate) fn top_first(mut base_first: Vec<PathBuf>) -> Vec<PathBuf> {
    base_first.reverse();
    base_first
}

/// Opens a file of a root file system for reading, links followed inside it; `None` where there is
/// none, or something else.
pub(crate) fn open_file(root: &Directory, path: &str) -> io::Result<Option<fs::File>> {
    use rustix::fs::OFlags;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Some(file) = if_there(root.open_in_root(path, flags, 0))? else {
        return Ok(None);
    };
    let file = fs::File::from(file);
    Ok(file.metadata()?.is_file().then_some(file))
}

/// The first `most` bytes of a file of a root file system; `None` as in [`open_file`].
pub(crate) fn read(root: &Directory, path: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open_file(root, path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
