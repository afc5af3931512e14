//! The operations of the OCI runtime command line (those of runc and crun) over a state folder:
//! containers that outlive the process that created them.
//!
//! `gantry-runtime` makes one container for a caller that stays; here the caller leaves, and what
//! the next one has to know stands in the state folder: one folder for each container with its
//! record, its document, and the socket it waits at until it is started. A folder is locked while
//! it is changed. The status of a container is never taken from the record: it follows from the
//! process, the socket and the cgroup.
//!
//! This crate never knows images, networks, supervisors or the words of the command line.

mod attach;
mod bundle;
mod checkpoint;
mod console;
mod container;
mod create;
mod criu;
mod damage;
mod delete;
mod error;
mod events;
mod exec;
mod features;
mod kill;
mod pause;
mod process;
mod processes;
mod record;
mod restore;
mod root;
mod run;
mod spec;
mod start;
mod update;

pub use checkpoint::{Checkpoint, checkpoint};
pub use container::Container;
pub use create::{NewContainer, create};
pub use criu::{CgroupMode, CriuFlag, CriuRequest};
pub use delete::delete;
pub use error::OciError;
pub use events::{Event, Watch, statistics};
pub use exec::{Exec, ExecOutcome, exec};
pub use features::features;
pub use gantry_runtime::Systemd;
pub use kill::kill;
pub use pause::{pause, resume};
pub use processes::processes;
pub use record::Record;
pub use restore::{Restore, restore};
pub use root::Root;
pub use run::run;
pub use spec::template;
pub use start::start;
pub use update::{read_resources, update};
