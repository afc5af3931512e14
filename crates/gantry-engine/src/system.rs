//! The installation as a whole: what it is ([`info`]), what it takes ([`usage`]), whether it is
//! sound ([`check`]), what it runs programs of other machines by ([`binfmt`]), and taking away what nobody needs ([`prune`]).

pub mod binfmt;
pub mod check;
mod error;
pub mod info;
pub mod prune;
pub mod usage;

pub use binfmt::BinfmtError;
pub use error::SystemError;
pub use info::Info;
pub use prune::{PruneOptions, Pruned};
pub use usage::DiskUsage;

use crate::Engine;

/// The handle of the installation.
#[derive(Debug, Clone, Copy)]
pub struct System<'a> {
    engine: &'a Engine,
}

impl<'a> System<'a> {
    pub(crate) const fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }
}
