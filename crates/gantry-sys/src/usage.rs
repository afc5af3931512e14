//! How much the files of a tree take.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that a tree takes on disk, every hard-linked file once. Links are not followed.
///
/// # Errors
/// A folder cannot be read.
pub fn disk_usage(root: &Path) -> io::Result<u64> {
    measure(root, |metadata| metadata.blocks().saturating_mul(512))
}

/// Bytes that the files of a tree hold, every hard-linked file once; folders hold none.
///
/// # Errors
/// A folder cannot be read.
pub fn content_size(root: &Path) -> io::Result<u64> {
    measure(root, |metadata| match metadata.is_dir() {
        true => 0,
        false => metadata.len(),
    })
}

fn measure(root: &Path, size: impl Fn(&fs::Metadata) -> u64) -> io::Result<u64> {
    let mut seen = BTreeSet::new();
    let mut total = 0_u64;
    let mut rest = vec![root.to_owned()];
    while let Some(folder) = rest.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // Files come and go while a container runs.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                rest.push(entry.path());
            } else if metadata.nlink() > 1 && !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            total = total.saturating_add(size(&metadata));
        }
    }
    Ok(total)
}
