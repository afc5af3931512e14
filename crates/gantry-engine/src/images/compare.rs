//! What tells one image from another: configuration, history, then the files of each layer.
//!
//! Layers of the same diff ID are the same and are not read. Of the others every entry is compared
//! with all that its archive says of it; how the archives are written does not matter.

mod fields;
mod files;

use gantry_model::Digest;
use gantry_model::image::ImageConfig;
use gantry_store::tar::Timestamp;
use serde_json::Value;

use super::{ImageError, Images};

/// Most differing files of a layer that are told in detail.
pub const MOST_FILES: usize = 10_000;

/// What two images differ in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Fields of the configuration, then of the history.
    pub fields: Vec<FieldDifference>,
    /// Layers that are not the same archive, base first.
    pub layers: Vec<LayerDifference>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldDifference {
    /// Its place in the document: `config.Env[2]`, `history[4].created_by`.
    pub field: String,
    /// What the first image has; null where it has none.
    pub first: Value,
    /// What the second image has.
    pub second: Value,
    /// Whether it says when something was made.
    pub is_time: bool,
}

/// A layer that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerDifference {
    /// Its number, from 0 on.
    pub layer: usize,
    /// The first image's; `None` where it has none of that number.
    pub first: Option<Digest>,
    /// The second image's.
    pub second: Option<Digest>,
    /// Files that differ: those that differ in more than times first, each kind in the order of
    /// their paths; at most [`MOST_FILES`].
    pub files: Vec<FileDifference>,
    /// How many there are that differ in more than their time.
    pub changed: u64,
    /// How many there are that differ in nothing but their time.
    pub retimed: u64,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct FileDifference {
    /// Its path, from `/` on; a whiteout is called as in archives (`.wh.NAME`).
    pub path: String,
    /// In what.
    pub aspects: Vec<Aspect>,
}

impl FileDifference {
    /// Whether nothing differs but the time of modification.
    #[must_use]
    pub fn is_time(&self) -> bool {
        self.aspects.iter().all(|aspect| aspect.name == "mtime")
    }
}

/// Something of a file that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Aspect {
    /// `presence`, `kind`, `content`, `size`, `mode`, `owner`, `link`, `device`, `mtime`, or
    /// `xattr NAME`.
    pub name: String,
    /// The first image's, for people.
    pub first: String,
    /// The second image's.
    pub second: String,
    /// Where the first byte differs, of contents.
    pub offset: Option<u64>,
}

/// Whether the comment of an entry of a history is that on a squashed layer.
#[must_use]
pub fn is_squash(comment: &str) -> bool {
    comment.starts_with("merge sha256:") || comment.starts_with("create new from sha256:")
}

impl Images<'_> {
    /// Compares two images whose layers are in the store.
    ///
    /// # Errors
    /// The store's, and when a layer cannot be read.
    pub fn compare(
        &self,
        first: &ImageConfig,
        second: &ImageConfig,
    ) -> Result<Comparison, ImageError> {
        let mut comparison = Comparison {
            fields: fields::differences(first, second),
            layers: Vec::new(),
        };
        let (ours, theirs) = (&first.rootfs.diff_ids, &second.rootfs.diff_ids);
        for layer in 0..ours.len().max(theirs.len()) {
            let (first, second) = (ours.get(layer).copied(), theirs.get(layer).copied());
            if first == second {
                continue;
            }
            let mut difference = LayerDifference {
                layer,
                first,
                second,
                files: Vec::new(),
                changed: 0,
                retimed: 0,
            };
            if let (Some(first), Some(second)) = (first, second) {
                self.compare_layers(&first, &second, &mut difference)?;
            }
            comparison.layers.push(difference);
        }
        Ok(comparison)
    }

    /// The time of the newest file of some layers; `None` where they have none.
    ///
    /// # Errors
    /// The store's, and when a layer cannot be read.
    pub fn newest(&self, layers: &[Digest]) -> Result<Option<Timestamp>, ImageError> {
        let mut newest = None;
        for layer in layers {
            self.each_entry(layer, |entry, _| newest = newest.max(Some(entry.mtime)))?;
        }
        Ok(newest)
    }
}
