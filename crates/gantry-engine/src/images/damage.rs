//! Images whose configuration cannot be read.
//!
//! The store's tables say what such an image needs and how it is called: it can be removed and
//! pulled again, and everything else goes on without it.

use gantry_model::Reference;
use gantry_store::{DamagedImage, Image};

use super::{ImageError, Images};
use crate::LeftOut;

impl From<&DamagedImage> for LeftOut {
    fn from(damaged: &DamagedImage) -> Self {
        let names = &damaged.names;
        let called = names.tags.first().map_or_else(
            || names.id.short(),
            |tag| format!("{} ({})", tag.familiar(), names.id.short()),
        );
        Self {
            sentence: format!("image {called} is left out: {}", damaged.error),
            hints: vec![
                "pull or build it again, which mends it".to_owned(),
                format!("or remove it: gantry rmi -f {}", names.id.short()),
                "or remove all that is damaged: gantry system check --repair".to_owned(),
            ],
        }
    }
}

impl Images<'_> {
    /// All images that can be shown; [`crate::Engine::take_damaged`] tells of the others.
    pub(super) fn whole(&self) -> Result<Vec<Image>, ImageError> {
        let list = self.store()?.images().list()?;
        for damaged in &list.damaged {
            self.engine.note_damage(damaged);
        }
        Ok(list.whole)
    }

    /// The images that have a tag in this repository, each with those tags.
    ///
    /// # Errors
    /// [`ImageError::Store`] also when one of them is damaged: what is wanted is all of them.
    pub(super) fn of_repository(
        &self,
        repository: &Reference,
    ) -> Result<Vec<(Image, Vec<Reference>)>, ImageError> {
        let list = self.store()?.images().list()?;
        let own = |tags: &[Reference]| -> Vec<Reference> {
            let same = |tag: &&Reference| tag.name() == repository.name();
            tags.iter().filter(same).cloned().collect()
        };
        for damaged in list.damaged {
            if !own(&damaged.names.tags).is_empty() {
                return Err(damaged.error.into());
            }
        }
        let found = list.whole.into_iter().map(|image| {
            let tags = own(&image.tags);
            (image, tags)
        });
        Ok(found.filter(|(_, tags)| !tags.is_empty()).collect())
    }
}
