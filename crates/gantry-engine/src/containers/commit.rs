//! An image of a container (`commit`): its image's layers, and what it changed as one more.

use gantry_model::image::{History, ImageConfig, ProcessConfig};
use gantry_model::record::Status;
use gantry_model::{ContainerRecord, Digest, Reference};
use gantry_store::{LayerInfo, NewImage};
use gantry_sys::path::{Directory, Marks, Owners, TreeCopy};

use super::error::{ContainerError, file};
use super::folders::Folders;
use super::{Containers, stubs, userns, view};
use crate::images::{change, document};

/// How the image is to be.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// Its name.
    pub reference: Option<Reference>,
    /// Who made it.
    pub author: Option<String>,
    /// Remark in the history.
    pub message: Option<String>,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
    /// Whether a running container is frozen while its files are taken; `None`: if it can be.
    pub pause: Option<bool>,
}

impl Containers<'_> {
    /// Makes an image of a container, running or not; its id.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`], [`ContainerError::Change`] and others.
    pub fn commit(&self, name: &str, options: &CommitOptions) -> Result<Digest, ContainerError> {
        let (record, state) = self.look(name)?;
        let mut process = record.process.clone();
        change::apply(&mut process, &options.changes)?;
        let store = self.engine.store()?;
        let base = store.images().config(&record.image_id)?;
        let freezable = || self.cgroup_of(&record).is_some();
        let frozen = state.status == Status::Running && options.pause.unwrap_or_else(freezable);
        if frozen {
            self.pause(record.id.as_str())?;
        }
        let layer = self.layer(&record);
        if frozen {
            // A container that ended meanwhile is as good as thawed.
            match self.unpause(record.id.as_str()) {
                Ok(()) | Err(ContainerError::NotRunning { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let config = configuration(base, &record, process, &layer?, options);
        let image = NewImage {
            config: &document::json(&config),
            tags: options.reference.iter().cloned().collect(),
            ..NewImage::default()
        };
        let id = store.images().put(&image)?;
        let name = options.reference.as_ref().map(Reference::familiar);
        self.engine.tell_of(
            &record,
            "commit",
            &[
                ("comment", options.message.as_deref().unwrap_or_default()),
                ("imageID", &id.to_string()),
                ("imageRef", name.as_deref().unwrap_or_default()),
            ],
        );
        Ok(id)
    }

    /// What the container changed, as a layer.
    fn layer(&self, record: &ContainerRecord) -> Result<LayerInfo, ContainerError> {
        let layers = self.engine.store()?.layers();
        let lowers = layers.lowers(&record.layers)?;
        let mut draft = layers.draft()?;
        if let Some(top) = lowers.last() {
            draft.inherit_root(top)?;
        }
        let upper = Folders::of(self.engine, &record.id).upper();
        let copy = || -> std::io::Result<()> {
            let (from, into) = (Directory::open(&upper)?, Directory::open(draft.upper())?);
            let own = userns::on_disk(record);
            let inside = own.map(|own| |uid, gid| Ok(own.inside(uid, gid)));
            let copy = TreeCopy {
                marks: Marks::Kept,
                owners: inside.as_ref().map(|inside| inside as Owners<'_>),
                contents: None,
            };
            copy.run(&from, &into)?;
            stubs::remove(&into, view::image_root(lowers.into())?.as_ref())
        };
        copy().map_err(file("take the files of", &upper))?;
        Ok(draft.commit()?)
    }
}

fn configuration(
    base: ImageConfig,
    record: &ContainerRecord,
    process: ProcessConfig,
    layer: &LayerInfo,
    options: &CommitOptions,
) -> ImageConfig {
    let created = document::now();
    let author = options.author.clone().filter(|author| !author.is_empty());
    let command = record.process.cmd.as_deref().unwrap_or_default();
    let empty = layer.files == 0;
    let mut config = ImageConfig {
        author: author.clone(),
        created: Some(created.clone()),
        config: process,
        ..base
    };
    // Of how the image below came to be, not of this one.
    for field in [
        "container",
        "container_config",
        "docker_version",
        "id",
        "parent",
    ] {
        config.other.remove(field);
    }
    if !empty {
        config.rootfs.diff_ids.push(layer.diff_id);
    }
    config.history.push(History {
        created: Some(created),
        created_by: command.join(" "),
        author: author.unwrap_or_default(),
        comment: options.message.clone().unwrap_or_default(),
        empty_layer: empty,
    });
    config
}
