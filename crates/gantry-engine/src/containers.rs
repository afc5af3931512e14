//! Containers of an installation.
//!
//! A container is a folder: `$ROOT/containers/<id>/container.json` says what was decided at its
//! creation, `state.json` what its last run came to, `upper` is its writable layer. Its name is
//! a link in `$ROOT/names`. While it runs, its supervisor holds the lock in
//! `$RUN/containers/<id>`; nothing else is needed to know the truth about it.

mod boot;
mod changes;
mod commit;
mod confinement;
mod copy;
mod create;
mod damage;
mod debug;
mod error;
mod exec;
mod export;
mod folders;
mod health;
mod host;
pub(crate) use host::read_limited;
pub(crate) use spec::devices::{Origin, show as show_devices};
mod inspect;
mod lifecycle;
mod links;
mod list;
mod logging;
mod logs;
mod merge;
pub(crate) mod merged_root;
mod names;
mod processes;
mod removal;
mod silent;
mod spec;
mod start;
mod stats;
mod status;
mod storage;
mod stubs;
mod support;
mod sweep;
mod update;
mod user;
mod userns;
pub(crate) mod view;

use std::io;

use gantry_model::{ContainerId, ContainerRecord, ContainerState};
use gantry_network::{NetworkConfig, NetworkError, Networks};

use crate::Engine;

pub use boot::Booted;
pub use changes::{Change, ChangeKind};
pub use commit::CommitOptions;
pub use copy::{CopyError, CopyOptions};
pub use create::Created;
pub use damage::Damaged;
pub use debug::Debugging;
pub use error::ContainerError;
pub use exec::{ExecSpec, Executing};
pub use inspect::Inspected;
pub use lifecycle::{ContainersPruned, RemoveOptions};
pub use list::{ContainerView, ListOptions};
pub use logging::LoggingError;
pub use logs::{LogLine, LogOptions, LogReader, parse_time};
pub use processes::Processes;
pub use silent::Ending;
pub use spec::SpecError;
pub use start::{Begun, Keeping, StartOptions};
pub use stats::Sample;
pub use update::Changes;
pub use user::UserError;

pub(crate) use folders::{CONTAINERS, TRASH, empty_document};
pub(crate) use support::Support;
pub(crate) use view::image_root;

/// The handle of containers.
#[derive(Debug, Clone, Copy)]
pub struct Containers<'a> {
    engine: &'a Engine,
}

impl<'a> Containers<'a> {
    pub(crate) const fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }

    /// The container a person means: by id, name or unique prefix of an id.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`] and [`ContainerError::Ambiguous`].
    pub fn resolve(&self, name: &str) -> Result<ContainerId, ContainerError> {
        folders::resolve(self.engine, name)
    }

    /// A container's document and what it is doing.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`] and others.
    pub fn look(&self, name: &str) -> Result<(ContainerRecord, ContainerState), ContainerError> {
        let not_found = || ContainerError::NotFound {
            name: name.to_owned(),
        };
        let id = self.resolve(name)?;
        let record = folders::Folders::of(self.engine, &id)
            .record()?
            .ok_or_else(not_found)?;
        let state = status::observe(self.engine, &record)?.ok_or_else(not_found)?;
        Ok((record, state))
    }

    /// The documents of all containers, in no order. One that is damaged is no reason to show
    /// none: it is left out, and [`Engine::take_damaged`] tells of it.
    ///
    /// # Errors
    /// [`ContainerError::File`].
    pub fn records(&self) -> Result<Vec<ContainerRecord>, ContainerError> {
        let (records, damaged) = self.documents()?;
        for damaged in damaged {
            self.engine.note_damage(damaged);
        }
        Ok(records)
    }

    /// The documents of all containers, and those that are damaged.
    pub(crate) fn documents(&self) -> Result<(Vec<ContainerRecord>, Vec<Damaged>), ContainerError> {
        let (mut records, mut all_damaged) = (Vec::new(), Vec::new());
        for id in folders::ids(self.engine)? {
            match folders::Folders::of(self.engine, &id).record() {
                Err(ContainerError::Damaged { id, path, source }) => {
                    all_damaged.push(Damaged::new(id, path, &source));
                }
                other => records.extend(other?),
            }
        }
        Ok((records, all_damaged))
    }
}

/// The networks of an installation, as its configuration sets them.
pub(crate) fn networks(engine: &Engine) -> Result<Networks, NetworkError> {
    let config = &engine.config().network;
    let subnet = config.subnet.as_ref().and_then(|text| text.parse().ok());
    Networks::open(
        engine.run_root(),
        NetworkConfig {
            subnet,
            mtu: config.mtu,
        },
    )
}

/// The number of a signal by name (`TERM`, `SIGTERM`) or number.
fn signal_number(text: &str) -> Result<i32, ContainerError> {
    let bad = || ContainerError::Signal {
        signal: text.chars().take(60).collect(),
    };
    gantry_sys::signal::number(text).ok_or_else(bad)
}

/// A fresh id.
pub(crate) fn random_id() -> io::Result<ContainerId> {
    let mut bytes = [0_u8; 32];
    fill_random(&mut bytes)?;
    // An id whose first digits are all decimal could be taken for a number by shells and
    // tools; Docker draws again, too.
    if ContainerId::from_random(bytes)
        .short()
        .bytes()
        .all(|byte| byte.is_ascii_digit())
    {
        return random_id();
    }
    Ok(ContainerId::from_random(bytes))
}

fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        match rustix::rand::getrandom(&mut bytes[filled..], flags) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
