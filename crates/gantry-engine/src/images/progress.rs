//! What becomes known while images are carried between a registry and the store.

use gantry_model::Digest;

/// Where one layer is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerPhase {
    /// Its turn has not come.
    Waiting,
    /// It comes in and is unpacked as it comes.
    Downloading,
    /// It is here whole; its last files are being written and its digests compared.
    Extracting,
    /// It was fetched.
    PullComplete,
    /// It was in the store, or in the registry, before.
    AlreadyExists,
    /// Its tar is made again and compressed.
    Preparing,
    /// It goes out.
    Pushing,
    /// It was uploaded.
    Pushed,
    /// The registry had it in another repository.
    Mounted,
}

impl LayerPhase {
    /// The words that Docker has for it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Downloading => "Downloading",
            Self::Extracting => "Extracting",
            Self::PullComplete => "Pull complete",
            Self::AlreadyExists => "Already exists",
            Self::Preparing => "Preparing",
            Self::Pushing => "Pushing",
            Self::Pushed => "Pushed",
            Self::Mounted => "Mounted",
        }
    }

    /// Whether nothing more will be said of this layer.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::PullComplete | Self::AlreadyExists | Self::Pushed | Self::Mounted
        )
    }
}

/// One thing that became known of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerProgress {
    /// Digest that names it: of the compressed blob while pulling, the diff ID while pushing.
    pub id: Digest,
    /// Where it is.
    pub phase: LayerPhase,
    /// Bytes done in this phase.
    pub current: u64,
    /// Bytes in all, where known.
    pub total: Option<u64>,
}

/// Takes what becomes known; called from several threads at once, and often.
pub trait Transfer: Sync {
    /// The layers are known, base first; `from` is the repository as people write it, `tag` the
    /// tag or digest.
    fn begin(&self, tag: &str, from: &str, layers: &[Digest]) {
        let _ = (tag, from, layers);
    }

    /// Something of one layer.
    fn layer(&self, progress: LayerProgress) {
        let _ = progress;
    }

    /// Something a person should know although the command goes on.
    fn warning(&self, text: &str) {
        let _ = text;
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Transfer for Silent {}
