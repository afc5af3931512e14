//! What is asked for and what comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use gantry_model::{Digest, Platform, Reference};
use gantry_store::Store;

use crate::base::{BaseImages, PullPolicy};
use crate::cancel::Cancellation;
use crate::secrets::SecretSource;

/// Where a build works: the store and the two state folders.
pub struct Builder<'a> {
    /// The content store.
    pub store: Store,
    /// Base images.
    pub bases: &'a dyn BaseImages,
    /// `$ROOT`: stat caches live below it.
    pub root: PathBuf,
    /// `$RUN`: locks of running steps live below it.
    pub run_root: PathBuf,
}

impl fmt::Debug for Builder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("root", &self.root)
            .field("run_root", &self.run_root)
            .finish_non_exhaustive()
    }
}

/// The Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileSource {
    /// A file; relative paths are relative to the working directory of the process.
    File(PathBuf),
    /// Its text, already read (`-f -`).
    Inline {
        /// How messages call it.
        name: String,
        /// The text.
        bytes: Vec<u8>,
    },
}

/// The network of `RUN` steps that do not choose one (`--network`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunNetwork {
    /// The default bridge.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The host's.
    Host,
}

/// One build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The context folder; none where there is only a Dockerfile.
    pub context: Option<PathBuf>,
    /// The Dockerfile; `None`: `Dockerfile` (or `dockerfile`) in the context.
    pub dockerfile: Option<DockerfileSource>,
    /// Names of the image (`-t`).
    pub tags: Vec<Reference>,
    /// The stage to build; the last one without.
    pub target: Option<String>,
    /// Build arguments by name. An argument given without a value and not in the environment is
    /// left out by the caller.
    pub build_args: BTreeMap<String, String>,
    /// Proxy variables from the client's configuration: they reach `RUN` steps as build arguments
    /// given on the command line do, but are never reported as unused.
    pub proxy_args: BTreeMap<String, String>,
    /// Labels added to the image (`--label`).
    pub labels: BTreeMap<String, String>,
    /// Platform of the image; the host's without.
    pub platform: Option<Platform>,
    /// Whether every step is run again.
    pub no_cache: bool,
    /// Whether base images are looked for again.
    pub pull: PullPolicy,
    /// Network of `RUN` steps.
    pub network: RunNetwork,
    /// Further lines of `/etc/hosts` in `RUN` steps (`--add-host`).
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// What `RUN --mount=type=secret` may show, by id.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Sockets of SSH agents for `RUN --mount=type=ssh`, by id.
    pub ssh: BTreeMap<String, PathBuf>,
    /// Most steps run at once; the number of cores (at least two) without.
    pub parallelism: Option<usize>,
    /// Stops the build.
    pub cancellation: Cancellation,
}

impl BuildRequest {
    /// A build of a context folder with everything else as it is by default.
    ///
    /// # Errors
    /// The kernel gives no descriptor for the cancellation.
    pub fn new(context: impl Into<PathBuf>) -> std::io::Result<Self> {
        Ok(Self {
            context: Some(context.into()),
            dockerfile: None,
            tags: Vec::new(),
            target: None,
            build_args: BTreeMap::new(),
            proxy_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            platform: None,
            no_cache: false,
            pull: PullPolicy::default(),
            network: RunNetwork::default(),
            extra_hosts: Vec::new(),
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            parallelism: None,
            cancellation: Cancellation::new()?,
        })
    }
}

/// What a build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildResult {
    /// The image's id (`--iidfile`, `-q`).
    pub image_id: Digest,
    /// The names it was given.
    pub tags: Vec<Reference>,
    /// The layers by diff ID, base first.
    pub layers: Vec<Digest>,
    /// Steps that were run.
    pub executed: usize,
    /// Steps that were in the cache.
    pub cached: usize,
}
