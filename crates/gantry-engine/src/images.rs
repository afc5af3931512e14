//! Images of an installation.
//!
//! One file per verb: [`pull`], [`push`], [`list`], [`inspect`], [`history`], [`name`] (tag),
//! [`remove`], [`prune`], [`save`], [`load`], [`import`]. They return facts; the command line
//! says them in Docker's words.

pub mod analyze;
mod archive;
mod assemble;
pub(crate) mod attestations;
pub(crate) mod bundle;
pub(crate) mod change;
pub mod compare;
pub(crate) mod compress;
mod damage;
pub(crate) mod destination;
pub(crate) mod document;
mod error;
pub mod export;
pub(crate) mod folder;
pub mod history;
pub mod import;
pub mod inspect;
pub(crate) mod layout;
pub mod list;
mod lists;
pub mod load;
mod name;
pub(crate) mod packing;
pub(crate) mod parallel;
mod pattern;
mod platforms;
pub mod progress;
pub mod prune;
pub mod pull;
pub mod push;
mod registry;
pub mod remove;
#[cfg(test)]
mod sample;
pub mod save;
mod sbom;
pub(crate) mod select;
pub(crate) mod spool;
pub mod squash;

pub use archive::ArchiveError;
pub use assemble::{Assembled, Assembly};
pub use change::ChangeError;
pub use compress::LayerCompression;
pub use error::ImageError;
pub use export::{Annotation, AnnotationPlace};
pub use export::{Attestation, ExportForm, ExportPart, Exported};
pub use export::{FileStatements, FilesPart, FolderMode};
pub use history::HistoryRow;
pub use import::ImportOptions;
pub use inspect::ImageDocument;
pub use list::{ImageFilters, ImageRow, PlatformRow};
pub use lists::{Kept, PlatformChange};
pub use load::{LayoutImage, Loaded};
pub use progress::{LayerPhase, LayerProgress, Transfer};
pub use prune::{PruneOptions, Pruned};
pub use pull::{PullOptions, PullPolicy, Pulled};
pub use push::Pushed;
pub use remove::{RemoveOptions, Removed};
pub use save::ArchiveKind;
pub use sbom::Sbom;
pub use squash::{SquashOnto, SquashOptions};

use crate::Engine;

/// The handle of images.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    engine: &'a Engine,
}

impl<'a> Images<'a> {
    pub(crate) const fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }
}
