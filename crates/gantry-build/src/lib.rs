//! The image builder: a Dockerfile and a context in, an image in the store out.
//!
//! | module | what |
//! | --- | --- |
//! | [`request`] | what is asked for |
//! | `build` | a build from beginning to end |
//! | [`outcome`] | what was made: configuration and layers by target and platform |
//! | [`export`] | what was made, put where it is wanted: the image in the store |
//! | [`provenance`] | how an image came to be, for others to read |
//! | [`report`] | tells of vertices, those of exporters too |
//! | [`base`] | where base images come from |
//! | [`borrowed`] | caches from elsewhere, and steps for such |
//! | [`cache_mounts`] | cache mounts that leave with a cache |
//! | [`progress`] | what happens, as a stream of events; the plain renderer |
//! | [`cancel`] | how a build is stopped |
//! | [`error`] | why a build failed, with the lines of the Dockerfile |
//! | [`devices`] | devices of the machine that steps are given |
//! | [`failure_shell`] | a shell where a step failed |
//! | [`fetch`] | files from elsewhere that are wanted before there is a build |
//! | [`run_step`] | the helper process in which a `RUN` is executed |
//! | [`examine`] | a Dockerfile looked at without building it |
//! | `frontend` | where a Dockerfile is, its text and its tree |
//! | `sources` | the images that a Dockerfile names, each resolved once |
//! | `contexts` | what is copied from that is neither stage nor image |
//! | `lower` | Dockerfile → graph, configuration, history; pure |
//! | `host_address` | where further names of a step lead |
//! | `graph` | the operations, each named by the digest of its definition |
//! | `remote` | files over HTTP and git repositories, fetched into layers |
//! | `tree` | what is copied from: the context in place, or a stage; digests by `stat` |
//! | `cache` | keys by content, records, one run of a step among all processes |
//! | `buildkit` | how BuildKit names steps, and the files that they work on |
//! | [`collect`] | what is in the cache, and what of it goes first |
//! | [`explain`] | why each step ran or did not |
//! | `setting`, `stop`, `syncing` | what holds for a whole build; whether it goes on; layers on their way to the disk |
//! | `solve` | which step is run when, and which not at all |
//! | `permissions` | owners, modes and times of files, and how copies change them |
//! | `marks` | points of a tar from which its digest can go on |
//! | `ops` | what the operations do: copies straight into a layer, archives, containers |
//! | `run_folder` | what running steps have in the run root, and taking away what killed ones left |
//! | `rules` | which rules a build looks for |
//! | `secrets` | what is lent to steps, and the search for what a step kept of it |
//!
//! `frontend`: text → tree of stages; `lower`: the trees of all requests, for each of their platforms,
//! → one graph; `solve`: for each operation a key of what it does
//! and of the *content* it works on; a record under that key is the result, else the operation is
//! run and leaves one → [`Outcome`] → [`export`].
//!
//! This crate must never know the command line, the registry or the engine: base images come
//! through [`BaseImages`], what happens goes out through [`Progress`].

mod build;
mod buildkit;
mod cache;
mod contexts;
mod frontend;
mod graph;
mod host_address;
mod lower;
mod marks;
mod ops;
mod permissions;
mod remote;
mod rules;
mod run_folder;
mod secrets;
mod setting;
mod solve;
mod sources;
mod spelling;
mod stop;
mod syncing;
mod tree;

pub mod base;
pub mod borrowed;
pub mod cache_mounts;
pub mod cancel;
pub mod collect;
pub mod devices;
pub mod error;
pub mod examine;
pub mod explain;
pub mod export;
pub mod failure_shell;
pub mod fetch;
pub mod outcome;
pub mod progress;
pub mod provenance;
pub mod report;
pub mod request;
pub mod run_step;

pub use base::{BaseImage, BaseImageError, BaseImages, BaseSource, PullPolicy};
pub use borrowed::{BorrowedCache, BorrowedLayer, CachedStep};
pub use build::build;
pub use cache_mounts::{CacheMounts, HeldCacheMount, UsedCacheMount};
pub use cancel::Cancellation;
pub use collect::{BuildCache, CacheKind, CacheRow, Housekeeping, Keep, PrunedCache, Survey};
pub use devices::{DeviceError, DeviceGrants, Devices};
pub use error::{BuildError, StepError};
pub use examine::{Check, CheckError, Examination, examine};
pub use explain::Explanation;
pub use failure_shell::FailureShell;
pub use fetch::{Fetched, FetchedFolder, fetch};
pub use host_address::HostAddress;
pub use outcome::{BuiltImage, BuiltTarget, Outcome};
pub use progress::{Event, Progress};
pub use remote::Outside;
pub use report::Reporter;
pub use request::{
    BuildRequest, Builder, ContextSource, DockerfileSource, Entitlements, Input, NamedContext,
    RunNetwork,
};
pub use run_folder::sweep;
pub use secrets::SecretSource;
