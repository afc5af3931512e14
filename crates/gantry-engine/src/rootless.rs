//! Work without root: the user namespace that every command of an ordinary user enters before it
//! touches the store.
//!
//! In it the caller is user 0 and owns the caller's subordinate IDs, so that files of any owner can
//! be written, overlays mounted and namespaces made. All commands and supervisors of one
//! installation share one such namespace for as long as any of them lives: a command joins that of
//! a supervisor it finds, and makes a new one, with the help of `newuidmap` and `newgidmap`, only
//! when there is none. So a container's namespaces stay within reach of every later command.

mod entry;
mod error;
mod knobs;
mod mapping;
mod members;
mod record;
mod subordinate;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

pub use error::RootlessError;
use mapping::Mapping;

use crate::Engine;

impl Engine {
    /// Enters the user namespace of this installation if the caller is not root. Call it before
    /// anything else, from a process with one thread; a second call does nothing.
    ///
    /// # Errors
    /// [`RootlessError`], with what the machine's administrator can do about it.
    pub fn enter(&self) -> Result<(), RootlessError> {
        if self.surroundings.root || gantry_sys::system::is_root() {
            return Ok(());
        }
        let uid = self.surroundings.uid;
        let gid = rustix::process::getegid().as_raw();
        own_folder(&self.run_root, uid)?;
        let mapping = Mapping::of_caller(uid, gid)?;
        record::check(&self.root, &mapping)?;
        entry::enter(&self.run_root, &mapping)?;
        record::write(&self.root, &mapping)
    }
}

/// Makes `$RUN`, or makes sure that it is the caller's own: in `/tmp` somebody else may have been
/// faster.
fn own_folder(path: &Path, uid: u32) -> Result<(), RootlessError> {
    let failed = |source: io::Error| RootlessError::Folder {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let status = fs::symlink_metadata(path).map_err(failed)?;
    if !status.is_dir() || status.uid() != uid {
        return Err(RootlessError::ForeignFolder {
            path: path.to_owned(),
            owner: status.uid(),
        });
    }
    Ok(())
}
