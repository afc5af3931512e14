//! The image builder: a Dockerfile and a context in, an image in the store out.
//!
//! | module | what |
//! | --- | --- |
//! | [`request`] | what is asked for and what comes back |
//! | [`base`] | where base images come from |
//! | [`progress`] | what happens, as a stream of events; the plain renderer |
//! | [`cancel`] | how a build is stopped |
//! | [`error`] | why a build failed, with the lines of the Dockerfile |
//! | [`run_step`] | the helper process in which a `RUN` is executed |
//! | `lower` | Dockerfile → graph, configuration, history; pure |
//! | `graph` | the operations, each named by the digest of its definition |
//! | `tree` | what is copied from: the context in place, or a stage; digests by `stat` |
//! | `cache` | keys by content, records, one run of a step among all processes |
//! | `solve` | which step is run when, and which not at all |
//! | `ops` | what the operations do: copies straight into a layer, archives, containers |
//! | `run_folder` | what running steps have in the run root, and taking away what killed ones left |
//! | `secrets` | what is lent to steps, and the search for what a step kept of it |
//! | `export` | the image in the store |
//!
//! text → tree of stages → `lower` → graph → `solve`: for each operation a key of what it does
//! and of the *content* it works on; a record under that key is the result, else the operation is
//! run and leaves one → `export`.
//!
//! This crate must never know the command line, the registry or the engine: base images come
//! through [`BaseImages`], what happens goes out through [`Progress`].

mod build;
mod cache;
mod export;
mod graph;
mod lower;
mod ops;
mod report;
mod run_folder;
mod secrets;
mod solve;
mod sources;
mod tree;

pub mod base;
pub mod cancel;
pub mod error;
pub mod progress;
pub mod request;
pub mod run_step;

pub use base::{BaseImage, BaseImageError, BaseImages, PullPolicy};
pub use build::build;
pub use cancel::Cancellation;
pub use error::{BuildError, StepError};
pub use progress::{Event, Progress};
pub use request::{BuildRequest, BuildResult, Builder, DockerfileSource, RunNetwork};
pub use run_folder::sweep;
pub use secrets::SecretSource;
