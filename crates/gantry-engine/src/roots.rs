//! What containers need of the store, read from their documents.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use gantry_model::{ContainerId, Digest};
use gantry_store::Roots;
use gantry_sys::lock::{self, Kind};
use serde::Deserialize;

use crate::Engine;

/// The image that a container uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUse {
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// The image it was made of.
    pub image_id: Digest,
    /// The layers it stands on.
    pub layers: Vec<Digest>,
    /// The image as it was asked for.
    pub image_name: String,
    /// Whether its supervisor lives.
    pub running: bool,
}

/// A document of a container that is there and cannot be read: what it needs is unknown, so
/// nothing may be collected.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the container's document {}", path.display())]
pub struct RootsError {
    /// The document.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// The part of [`gantry_model::ContainerRecord`] that counts here, so that a document of a
/// newer version still keeps its layers.
#[derive(Debug, Deserialize)]
struct Document {
    id: ContainerId,
    name: String,
    image_id: Digest,
    #[serde(default)]
    image_name: String,
    layers: Vec<Digest>,
}

impl Engine {
    /// What every container of this installation uses.
    ///
    /// # Errors
    /// [`RootsError`] naming a document that cannot be read.
    pub fn container_uses(&self) -> Result<Vec<ContainerUse>, RootsError> {
        let folder = self.root().join("containers");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RootsError { path, source }
        };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed(&folder))?,
        };
        let mut uses = Vec::new();
        for entry in entries {
            let path = entry
                .map_err(failed(&folder))?
                .path()
                .join("container.json");
            let bytes = match fs::read(&path) {
                // Being made or being removed: a lease holds what it needs.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) =>
                {
                    continue;
                }
                bytes => bytes.map_err(failed(&path))?,
            };
            // What a power cut leaves of a document that was not on disk yet.
            if bytes.is_empty() {
                continue;
            }
            let document: Document = serde_json::from_slice(&bytes)
                .map_err(io::Error::from)
                .map_err(failed(&path))?;
            let running = self.is_supervised(&document.id);
            uses.push(ContainerUse {
                id: document.id,
                name: document.name,
                image_id: document.image_id,
                layers: document.layers,
                image_name: document.image_name,
                running,
            });
        }
        Ok(uses)
    }

    /// What a collection must leave alone because containers need it.
    ///
    /// # Errors
    /// As [`Engine::container_uses`].
    pub fn roots(&self) -> Result<Roots, RootsError> {
        let mut roots = Roots::default();
        for used in self.container_uses()? {
            roots.images.insert(used.image_id);
            roots.layers.extend(used.layers);
        }
        Ok(roots)
    }

    fn is_supervised(&self, id: &ContainerId) -> bool {
        let path = self
            .run_root()
            .join("containers")
            .join(id.as_str())
            .join("lock");
        let Ok(file) = File::open(path) else {
            return false;
        };
        // The supervisor holds it for as long as it lives; the trial lock goes with `file`.
        matches!(lock::try_lock(&file, Kind::Shared), Ok(false))
    }
}
