//! A container's files as one archive (`export`): its image and what it changed, without what
//! is mounted in it.

use std::io::Write;
use std::os::fd::AsFd;

use gantry_store::pack;

use super::Containers;
use super::error::ContainerError;

impl Containers<'_> {
    /// Writes the archive.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`], [`ContainerError::Pack`] and others.
    pub fn export(&self, name: &str, sink: &mut dyn Write) -> Result<(), ContainerError> {
        let (record, view) = self.bare_view(name)?;
        let options = pack::Options {
            owners: view.users.as_ref(),
            ..pack::Options::default()
        };
        pack::directory(view.root.as_fd(), sink, options)?;
        self.engine.tell_of(&record, "export", &[]);
        Ok(())
    }
}
