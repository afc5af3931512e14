//! Verifying everything that is stored.

use gantry_store::{CheckOptions, CheckReport};

use super::{System, SystemError};

impl System<'_> {
    /// Verifies the store: every digest, every reference, what containers refer to.
    ///
    /// # Errors
    /// When it cannot be looked at; what is wrong with it is in the report.
    pub fn check(&self, options: CheckOptions) -> Result<CheckReport, SystemError> {
        Ok(self.engine.store()?.check(&self.engine.roots()?, options)?)
    }
}
