//! What is asked for.

mod context;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use gantry_model::Platform;
use gantry_model::ulimit::Ulimit;
use gantry_runtime::Confinement;
use gantry_store::Store;

use crate::base::{BaseImages, PullPolicy};
use crate::borrowed::BorrowedCache;
use crate::cancel::Cancellation;
use crate::collect::Housekeeping;
use crate::devices::{DeviceGrants, Devices};
use crate::failure_shell::FailureShell;
use crate::host_address::HostAddress;
use crate::remote::Outside;
use crate::secrets::SecretSource;
pub use context::{ContextSource, Input, NamedContext};

/// Where and how builds work: the store, the two state folders, and what holds for all requests.
pub struct Builder<'a> {
    /// The content store.
    pub store: Store,
    /// Base images.
    pub bases: &'a dyn BaseImages,
    /// Devices of the machine.
    pub devices: Arc<dyn Devices>,
    /// How what is not on this machine is reached.
    pub outside: Outside,
    /// Caches from elsewhere that steps are looked for in (`--cache-from`).
    pub borrowed: Option<&'a dyn BorrowedCache>,
    /// `$ROOT`: stat caches live below it.
    pub root: PathBuf,
    /// `$RUN`: locks of running steps live below it.
    pub run_root: PathBuf,
    /// How `RUN` steps are confined and limited.
    pub confinement: Confinement,
    /// Most processes and threads of a `RUN` step, where they can be limited; as many as it likes
    /// without.
    pub processes: Option<u32>,
    /// Most steps run at once; the number of cores (at least two) without.
    pub parallelism: Option<usize>,
    /// Whether the build is explained when it ends; one that takes long is anyway.
    pub explain: bool,
    /// The bounds that the cache is kept within; none without.
    pub housekeeping: Option<Housekeeping<'a>>,
    /// Who looks around where a `RUN` failed; nobody without.
    pub failure_shell: Option<&'a dyn FailureShell>,
    /// Whether the steps are told by BuildKit's names as well, for caches that leave.
    pub named: bool,
    /// Whether nothing of the build is noted for later ones.
    pub unrecorded: bool,
    /// Stops the build.
    pub cancellation: Cancellation,
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
    /// A file: of a context that is not a folder of this machine, if there is such a one; else
    /// relative paths are relative to the working directory of the process.
    File(PathBuf),
    /// A file over HTTP.
    Remote(String),
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

/// What a Dockerfile may only do where the client allows it (`--allow`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entitlements {
    /// `network.host`: `RUN --network=host`.
    pub network_host: bool,
    /// `security.insecure`: `RUN --security=insecure`.
    pub security_insecure: bool,
    /// `device`: what `RUN --device` may have.
    pub devices: DeviceGrants,
}

/// One target that is asked for, for one or several platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRequest {
    /// How the target is called among several: its vertices are titled with it.
    pub name: Option<String>,
    /// The context; none where there is only a Dockerfile.
    pub context: Option<ContextSource>,
    /// Further contexts by name, which stand before stages and images of that name.
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// The Dockerfile; `None`: `Dockerfile` (or `dockerfile`) in the context.
    pub dockerfile: Option<DockerfileSource>,
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
    /// Platforms to build for, in this order; the host's without.
    pub platforms: Vec<Platform>,
    /// Whether every step is run again.
    pub no_cache: bool,
    /// Stages of which every step is run again, by name or number.
    pub no_cache_stages: Vec<String>,
    /// Whether base images are looked for again.
    pub pull: PullPolicy,
    /// Network of `RUN` steps.
    pub network: RunNetwork,
    /// What `RUN` steps may ask for.
    pub allow: Entitlements,
    /// Bytes of `/dev/shm` in `RUN` steps; 64 MiB without.
    pub shm_size: Option<u64>,
    /// Limits of the processes of `RUN` steps; of several for the same the last counts.
    pub ulimits: Vec<Ulimit>,
    /// Further lines of `/etc/hosts` in `RUN` steps (`--add-host`).
    pub extra_hosts: Vec<(String, HostAddress)>,
    /// What `RUN --mount=type=secret` may show, by id.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Sockets of SSH agents for `RUN --mount=type=ssh`, by id.
    pub ssh: BTreeMap<String, PathBuf>,
}

impl BuildRequest {
    /// Whether a build argument that is a switch of the builder is on, in Go's words.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        let value = self.build_args.get(name);
        value.is_some_and(|value| {
            matches!(value.as_str(), "1" | "true" | "True" | "TRUE" | "t" | "T")
        })
    }

    /// A build of a context folder with everything else as it is by default.
    pub fn new(context: impl Into<ContextSource>) -> Self {
        Self {
            name: None,
            context: Some(context.into()),
            named_contexts: BTreeMap::new(),
            dockerfile: None,
            target: None,
            build_args: BTreeMap::new(),
            proxy_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            platforms: Vec::new(),
            no_cache: false,
            no_cache_stages: Vec::new(),
            pull: PullPolicy::default(),
            network: RunNetwork::default(),
            allow: Entitlements::default(),
            shm_size: None,
            ulimits: Vec::new(),
            extra_hosts: Vec::new(),
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
        }
    }
}
