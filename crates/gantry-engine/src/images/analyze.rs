//! What the layers of an image hold, and what of it is never seen: overwritten or deleted later.
//!
//! The layers are walked side by side, folder by folder, as an overlay would merge them; no content
//! is read, and no more is kept in memory than the names of the folders on the way and the largest
//! finds.

mod merge;
mod top;

use std::path::Path;

use gantry_model::{Digest, Platform};

use super::{ImageError, Images};
use merge::Merge;

/// What is known of an image's layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// The image.
    pub id: Digest,
    /// The layers, base first.
    pub layers: Vec<AnalyzedLayer>,
    /// Bytes of files that nobody sees.
    pub wasted: u64,
    /// How many files these are.
    pub wasted_files: u64,
    /// The largest of them.
    pub waste: Vec<Waste>,
    /// The largest files that are seen.
    pub largest: Vec<LargeFile>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnalyzedLayer {
    /// Its diff ID.
    pub diff_id: Digest,
    /// The instruction that made it; empty where the history does not say.
    pub instruction: String,
    /// Bytes of its files.
    pub size: u64,
    /// How many files, folders and links it has.
    pub files: u64,
    /// Of its bytes, those that nobody sees.
    pub wasted: u64,
    /// Bytes of layers below that nobody sees because of it.
    pub hides: u64,
}

/// A path of which bytes are wasted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waste {
    /// Bytes that nobody sees.
    pub bytes: u64,
    /// Where.
    pub path: String,
    /// How many copies these are.
    pub copies: u64,
    /// What became of the last of them.
    pub fate: Fate,
    /// The layer that made it so, by its place from the base on.
    pub by: usize,
}

/// What became of a file that nobody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// A later layer has another one at its path.
    Overwritten,
    /// A later layer deletes it.
    Deleted,
}

/// A large file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LargeFile {
    /// Its size.
    pub bytes: u64,
    /// Where it is.
    pub path: String,
    /// The layer it is in, by its place from the base on.
    pub layer: usize,
}

impl Analysis {
    /// Bytes of all layers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Bytes of all layers but the first.
    #[must_use]
    pub fn user_size(&self) -> u64 {
        self.layers.iter().skip(1).map(|layer| layer.size).sum()
    }

    /// Which part of the bytes is seen: 1 for an image that wastes nothing.
    #[must_use]
    pub fn efficiency(&self) -> f64 {
        1.0 - part(self.wasted, self.size())
    }

    /// The wasted bytes as a part of those of all layers but the first.
    #[must_use]
    pub fn user_wasted(&self) -> f64 {
        part(self.wasted, self.user_size())
    }
}

fn part(some: u64, all: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let (some, all) = (some as f64, all as f64);
    if all > 0.0 { some / all } else { 0.0 }
}

impl Images<'_> {
    /// Looks through the layers of an image; `most` are listed of what there may be many.
    ///
    /// # Errors
    /// As with [`Images::id_for`], and [`ImageError::File`] when a layer cannot be read.
    pub fn analyze(
        &self,
        name: &str,
        platform: Option<&Platform>,
        most: usize,
    ) -> Result<Analysis, ImageError> {
        let image = self.resolve_for(name, platform)?;
        let layers = self.store()?.layers();
        let mut made = image.config.history.iter().filter(|step| !step.empty_layer);
        let mut analyzed = Vec::new();
        let mut roots = Vec::new();
        for diff_id in &image.layers {
            // Says so if it is not there.
            layers.info(diff_id)?;
            roots.push(layers.open(diff_id)?);
            analyzed.push(AnalyzedLayer {
                diff_id: *diff_id,
                instruction: made
                    .next()
                    .map_or_else(String::new, |step| step.created_by.clone()),
                size: 0,
                files: 0,
                wasted: 0,
                hides: 0,
            });
        }
        let merged = Merge::new(&roots, most).run();
        let merged = merged.map_err(failed(Path::new(name)))?;
        for (layer, sums) in analyzed.iter_mut().zip(&merged.sums) {
            layer.size = sums.size;
            layer.files = sums.files;
            layer.wasted = sums.wasted;
            layer.hides = sums.hides;
        }
        Ok(Analysis {
            id: image.id,
            layers: analyzed,
            wasted: merged.sums.iter().map(|sums| sums.wasted).sum(),
            wasted_files: merged.wasted_files,
            waste: merged.waste.into_sorted(),
            largest: merged.largest.into_sorted(),
        })
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ImageError {
    move |source| ImageError::File {
        action: "read",
        path: path.to_owned(),
        source,
    }
}
