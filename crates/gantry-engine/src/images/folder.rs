//! An OCI layout in a folder, to be read: nothing outside of it is opened, whatever its links say.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use gantry_model::image::Descriptor;
use gantry_sys::path::Directory;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::archive::ArchiveError;
use super::bundle::{Bundle, Section};

/// The files of a layout.
#[derive(Debug)]
pub(crate) struct LayoutFolder {
    top: Directory,
}

impl LayoutFolder {
    /// The layout in `folder`.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            top: Directory::open(folder)?,
        })
    }

    /// What its index has; nothing where there is none.
    pub(crate) fn entries_if_any(&self) -> Result<Vec<Descriptor>, ArchiveError> {
        match self.entries() {
            Err(ArchiveError::Lacks { .. }) => Ok(Vec::new()),
            entries => entries,
        }
    }
}

impl Bundle for LayoutFolder {
    fn has(&self, name: &str) -> bool {
        self.top.open_beneath(name, OFlags::PATH, 0).is_ok()
    }

    /// Opens a file; no link is followed.
    fn open(&self, name: &str, by: &'static str) -> Result<Section, ArchiveError> {
        let foreign = |reason: String| ArchiveError::Foreign {
            name: name.to_owned(),
            reason,
        };
        // Whoever opens a pipe would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match self.top.open_beneath(name, flags, 0) {
            Ok(descriptor) => File::from(descriptor),
            Err(error) => {
                return Err(match Errno::from_io_error(&error) {
                    Some(Errno::NOENT | Errno::NOTDIR) => ArchiveError::Lacks {
                        name: name.to_owned(),
                        by,
                    },
                    Some(Errno::LOOP | Errno::XDEV) => foreign(
                        "it is a link, and what an OCI layout has is in its folder".to_owned(),
                    ),
                    _ => foreign(error.to_string()),
                });
            }
        };
        let status = file
            .metadata()
            .map_err(|source| ArchiveError::Read { source })?;
        if !status.is_file() {
            return Err(foreign("it is no file".to_owned()));
        }
        Ok(Section::new(Arc::new(file), 0, status.len()))
    }
}
