//! Where things are and what holds for a whole build, and for its parts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gantry_runtime::Confinement;
use gantry_store::{Lease, Store};

use crate::devices::Devices;
use crate::explain::trace::Project;
use crate::remote::Remote;
use crate::secrets::Secrets;
use crate::spelling::Spelling;
use crate::syncing::Syncing;

/// Where things are and what holds for a whole build.
pub(crate) struct Setting {
    pub(crate) store: Store,
    /// Keeps the layers of base images as long as the build runs.
    pub(crate) lease: Lease,
    /// `$ROOT`.
    pub(crate) root: PathBuf,
    /// `$RUN`.
    pub(crate) run_root: PathBuf,
    /// Devices of the machine.
    pub(crate) devices: Arc<dyn Devices>,
    /// How steps are confined and limited.
    pub(crate) confinement: Confinement,
    /// Whether nothing is noted for later builds.
    pub(crate) unrecorded: bool,
    /// Most processes and threads of a step; as many as it likes without.
    pub(crate) processes: Option<u32>,
    /// Whether the cache cannot have anything for this build: then no content is read to look it up.
    pub(crate) knows_nothing: bool,
    /// Brings layers to the disk while later steps run.
    pub(crate) syncing: Syncing,
    /// Most steps at once.
    pub(crate) parallelism: usize,
    /// Threads of one copy.
    pub(crate) threads: usize,
    /// What comes from outside.
    pub(crate) remote: Remote,
    /// What is built.
    pub(crate) project: Project,
    /// What holds for the steps of each request.
    pub(crate) origins: Vec<Origin>,
    /// Whether a step was on the bridge.
    pub(crate) bridge_used: AtomicBool,
}

impl Setting {
    /// An empty directory, for overlays that need one more layer.
    pub(crate) fn empty(&self) -> PathBuf {
        self.root.join("build/empty")
    }
}

/// What holds for the steps of one request.
pub(crate) struct Origin {
    /// How it is given what it lacks.
    pub(crate) spelling: Spelling,
    /// `SOURCE_DATE_EPOCH`.
    pub(crate) epoch: Option<(i64, u32)>,
    /// The same as a text of the image configuration.
    pub(crate) epoch_text: Option<String>,
    /// What steps may borrow.
    pub(crate) secrets: Secrets,
    /// Sockets of SSH agents by id.
    pub(crate) ssh: BTreeMap<String, PathBuf>,
}
