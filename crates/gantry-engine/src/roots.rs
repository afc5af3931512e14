//! What containers need of the store, read from their documents.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use gantry_model::{ContainerId, Digest};
use gantry_store::Roots;
use gantry_sys::damage::is_damage;
use gantry_sys::lock::{self, Kind};
use gantry_sys::path::is_missing;
use serde::Deserialize;

use crate::Engine;
use crate::containers::{Damaged, empty_document};

/// The image that a container uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUse {
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// The image it was made of.
    pub image_id: Digest,
    /// Images whose files it has mounted.
    pub mounted_images: Vec<Digest>,
    /// The layers it stands on, and those of its mounted images.
    pub layers: Vec<Digest>,
    /// The image as it was asked for.
    pub image_name: String,
    /// Whether its supervisor lives.
    pub running: bool,
}

/// What containers use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// By those whose document can be read.
    pub known: Vec<ContainerUse>,
    /// Whether there is one that cannot: it may use anything.
    pub unknown: bool,
}

/// The documents of containers cannot be read: what they need is unknown, so nothing may be
/// collected.
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
    #[serde(default)]
    mounts: Vec<Mounted>,
}

/// A mount of it, when it is one of an image.
#[derive(Debug, Deserialize)]
struct Mounted {
    kind: MountedKind,
}

#[derive(Debug, Deserialize)]
struct MountedKind {
    image_id: Option<Digest>,
    #[serde(default)]
    layers: Vec<Digest>,
}

impl ContainerUse {
    /// Whether the container needs this image.
    #[must_use]
    pub fn needs(&self, image: &Digest) -> bool {
        self.image_id == *image || self.mounted_images.contains(image)
    }
}

impl Engine {
    /// What every container of this installation uses, and whether that is all: a damaged
    /// document is left out, and [`Engine::take_damaged`] tells of it.
    ///
    /// # Errors
    /// [`RootsError`] naming a document that cannot be read.
    pub fn container_uses(&self) -> Result<Uses, RootsError> {
        let folder = self.root().join("containers");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RootsError { path, source }
        };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Uses::default()),
            entries => entries.map_err(failed(&folder))?,
        };
        let mut uses = Uses::default();
        for entry in entries {
            let path = entry
                .map_err(failed(&folder))?
                .path()
                .join("container.json");
            let bytes = match fs::read(&path) {
                // Being made or being removed: a lease holds what it needs.
                Err(error) if is_missing(&error) => continue,
                // A folder in its place, a bad block: this one is damaged, not all of them.
                Err(error) if is_damage(&error) => {
                    uses.unknown = true;
                    self.note_unreadable(&path, &error);
                    continue;
                }
                bytes => bytes.map_err(failed(&path))?,
            };
            let document = match bytes.as_slice() {
                [] => Err(empty_document()),
                bytes => serde_json::from_slice(bytes).map_err(io::Error::from),
            };
            let document: Document = match document {
                Ok(document) => document,
                Err(error) => {
                    uses.unknown = true;
                    self.note_unreadable(&path, &error);
                    continue;
                }
            };
            let running = self.is_supervised(&document.id);
            let kinds = || document.mounts.iter().map(|mount| &mount.kind);
            let mounted_images = kinds().filter_map(|kind| kind.image_id).collect();
            let further = kinds().flat_map(|kind| kind.layers.iter().copied());
            let layers = document.layers.iter().copied().chain(further).collect();
            uses.known.push(ContainerUse {
                id: document.id,
                name: document.name,
                image_id: document.image_id,
                mounted_images,
                layers,
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
        let uses = self.container_uses()?;
        let mut roots = Roots {
            unknown: uses.unknown,
            ..Roots::default()
        };
        for used in uses.known {
            roots.images.insert(used.image_id);
            roots.images.extend(used.mounted_images);
            roots.layers.extend(used.layers);
        }
        Ok(roots)
    }

    fn note_unreadable(&self, path: &Path, error: &io::Error) {
        let id = path.parent().and_then(Path::file_name);
        if let Some(id) = id.and_then(|name| name.to_str()?.parse().ok()) {
            self.note_damage(Damaged::new(id, path.to_owned(), error));
        }
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
