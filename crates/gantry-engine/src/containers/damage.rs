//! Containers whose document is damaged: telling of them, mending them, removing them.
//!
//! What such a container needs is not known. Nothing that it could need is collected until it
//! is mended or removed, and every other container works as before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gantry_model::{ContainerId, ContainerRecord};
use gantry_supervisor::client::{ClientError, Session};
use gantry_supervisor::removal::Removal;

use super::error::{ContainerError, file};
use super::folders::{Folders, NAMES, TRASH, read_document};
use super::lifecycle::RemoveOptions;
use super::{Containers, status};
use crate::LeftOut;

/// A container that cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Its id, by its folder.
    pub id: ContainerId,
    /// Its document.
    pub path: PathBuf,
    /// What is wrong with that.
    pub reason: String,
}

impl Damaged {
    pub(crate) fn new(id: ContainerId, path: PathBuf, error: &io::Error) -> Self {
        let reason = error.to_string();
        Self { id, path, reason }
    }
}

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "container {} is left out: its document {} is damaged: {}",
            self.id.short(),
            self.path.display(),
            self.reason
        )
    }
}

/// What to do about a damaged container.
pub(crate) fn advice(id: &ContainerId) -> Vec<String> {
    vec![
        "mend it if it can be mended: gantry system check --repair".into(),
        format!("or remove it: gantry rm -f {}", id.short()),
    ]
}

impl Damaged {
    /// What to do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        advice(&self.id)
    }
}

impl From<Damaged> for LeftOut {
    fn from(damaged: Damaged) -> Self {
        Self {
            sentence: damaged.to_string(),
            hints: damaged.hints(),
        }
    }
}

impl Containers<'_> {
    /// All containers with a damaged document.
    ///
    /// # Errors
    /// [`ContainerError::File`].
    pub fn damaged(&self) -> Result<Vec<Damaged>, ContainerError> {
        Ok(self.documents()?.1)
    }

    /// Mends a document from what is on the disk: the copy that was about to replace it, or the
    /// document itself without what follows it. False when neither says what the container was.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn mend(&self, damaged: &Damaged) -> Result<bool, ContainerError> {
        let folders = Folders::of(self.engine, &damaged.id);
        if !matches!(folders.record(), Err(ContainerError::Damaged { .. })) {
            return Ok(true);
        }
        let whole = [folders.document_aside(), folders.document()]
            .iter()
            .filter_map(|path| read_document(path).ok())
            .find_map(|text| salvage(&text, &damaged.id));
        let Some(record) = whole else {
            return Ok(false);
        };
        if folders.document().is_dir() {
            let path = folders.document();
            fs::remove_dir_all(&path).map_err(file("remove", &path))?;
        }
        folders.write_record(&record, true)?;
        Ok(true)
    }

    /// Removes a container of which only the id is known: kills what runs, takes its folders
    /// and its name. Its anonymous volumes are not known and stay.
    pub(super) fn remove_damaged(
        &self,
        name: &str,
        options: RemoveOptions,
        error: ContainerError,
    ) -> Result<(), ContainerError> {
        let ContainerError::Damaged { id, .. } = &error else {
            return Err(error);
        };
        if !options.force {
            return Err(error);
        }
        let folders = Folders::of(self.engine, id);
        match Session::connect(&folders.run_folder) {
            Ok(mut session) => {
                super::silent::expect_answer(&mut session, std::time::Duration::ZERO);
                drop(session.stop(Some(super::lifecycle::SIGKILL), Some(0)));
            }
            Err(ClientError::NotRunning) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(lock) = folders.lock_unless(|| false)? else {
            return Err(ContainerError::Busy {
                name: name.to_owned(),
            });
        };
        status::clear_remains(self.engine, id, &folders)?;
        let removal = Removal {
            name_link: name_of(&self.engine.root().join(NAMES), id).unwrap_or_default(),
            folder: folders.folder,
            run_folder: folders.run_folder,
            volumes: Vec::new(),
            trash: self.engine.root().join(TRASH),
        };
        removal.hide()?;
        drop(lock);
        removal.delete()?;
        Ok(())
    }
}

/// The link that reserves this container's name.
fn name_of(names: &Path, id: &ContainerId) -> Option<PathBuf> {
    fs::read_dir(names).ok()?.flatten().find_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        (target.as_os_str() == id.as_str()).then(|| entry.path())
    })
}

/// The record at the beginning of the text, when it is that container's.
fn salvage(text: &[u8], id: &ContainerId) -> Option<ContainerRecord> {
    let record = serde_json::Deserializer::from_slice(text)
        .into_iter::<ContainerRecord>()
        .next()?
        .ok()?;
    (record.id == *id).then_some(record)
}
