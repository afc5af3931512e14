//! The vocabulary of Gantry: what every other crate speaks about, and nothing that acts.
//!
//! Digests, references, platforms, identifiers, the OCI and Docker image documents, the
//! specification of a container as a user asks for it, and the kinds of failure.
//!
//! This crate never touches a file, the network, the clock or the environment.

pub mod container;
pub mod digest;
pub mod event;
pub mod fault;
pub mod id;
pub mod image;
pub mod layout;
pub mod media_type;
pub mod mount;
pub mod platform;
pub mod port;
pub mod quantity;
pub mod record;
pub mod reference;
pub mod restart;
pub mod shortage;
pub mod step_record;
pub mod ulimit;
pub mod userns;

pub use container::ContainerSpec;
pub use digest::Digest;
pub use event::{Event, EventType};
pub use fault::{Fault, FaultKind};
pub use id::ContainerId;
pub use platform::Platform;
pub use record::{ContainerRecord, ContainerState};
pub use reference::Reference;
pub use shortage::Shortage;
pub use step_record::{StepLink, StepRecord, StepResult};
