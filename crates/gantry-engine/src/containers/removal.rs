//! What goes when a container goes.

use std::path::Path;

use gantry_model::ContainerRecord;
use gantry_model::record::ResolvedMountKind;
use gantry_supervisor::removal::Removal;

use super::folders::{Folders, TRASH, name_link};
use crate::Engine;

/// The container with its anonymous volumes, as `--rm` removes it.
pub(crate) fn removal_of(engine: &Engine, record: &ContainerRecord) -> Removal {
    let folders = Folders::of(engine, &record.id);
    let volumes = record
        .mounts
        .iter()
        .filter_map(|mount| match &mount.kind {
            ResolvedMountKind::Volume {
                source,
                anonymous: true,
                ..
            } => Path::new(source).parent().map(Path::to_owned),
            _ => None,
        })
        .collect();
    Removal {
        folder: folders.folder,
        run_folder: folders.run_folder,
        name_link: name_link(engine, &record.name),
        volumes,
        trash: engine.root().join(TRASH),
    }
}
