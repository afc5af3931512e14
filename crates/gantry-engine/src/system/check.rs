//! Verifying everything that is stored.

use gantry_store::CheckOptions;
use gantry_supervisor::restore_networks;

use super::{System, SystemError};
use crate::containers::{CONTAINERS, Damaged};

/// What a check of the installation found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// In the store.
    pub store: gantry_store::CheckReport,
    /// Containers whose document is damaged, and whether it was mended.
    pub containers: Vec<(Damaged, bool)>,
    /// What is wrong with the note of who is on the bridge, and whether it was mended.
    pub network: Option<(String, bool)>,
}

impl System<'_> {
    /// Verifies the installation: every document of a container, every digest, every reference,
    /// what containers refer to.
    ///
    /// # Errors
    /// When it cannot be looked at; what is wrong with it is in the report.
    pub fn check(&self, options: CheckOptions) -> Result<CheckReport, SystemError> {
        let containers = self.engine.containers();
        let mut report = CheckReport::default();
        // First: what a mended document needs is known when the store is looked at.
        for damaged in containers.damaged()? {
            let mended = options.repair && containers.mend(&damaged)?;
            report.containers.push((damaged, mended));
        }
        report.network = self.check_network(options.repair)?;
        report.store = self.engine.store()?.check(&self.engine.roots()?, options)?;
        // They are in the report.
        drop(self.engine.take_damaged());
        Ok(report)
    }

    fn check_network(&self, repair: bool) -> Result<Option<(String, bool)>, SystemError> {
        let networks = crate::containers::networks(self.engine)?;
        let Some(damage) = networks.damage()? else {
            return Ok(None);
        };
        if repair {
            restore_networks(&networks, &self.engine.root().join(CONTAINERS))?;
        }
        Ok(Some((damage.to_string(), repair)))
    }
}
