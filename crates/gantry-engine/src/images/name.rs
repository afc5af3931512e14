//! Names of images: finding by a name, giving one (`tag`).

use gantry_model::{Digest, Event, EventType, Reference};
use gantry_store::{Image, StoreError};

use super::{ImageError, Images};

impl<'a> Images<'a> {
    pub(crate) fn store(&self) -> Result<&'a gantry_store::Store, StoreError> {
        self.engine.store()
    }

    /// The image a person means by a name, a digest, an id or the beginning of one.
    ///
    /// # Errors
    /// [`ImageError::NotFound`] when there is none.
    pub fn resolve(&self, name: &str) -> Result<Image, ImageError> {
        let id = self.id(name)?;
        Ok(self.store()?.images().image(&id)?)
    }

    /// The id of the image a person means.
    ///
    /// # Errors
    /// [`ImageError::NotFound`] when there is none.
    pub fn id(&self, name: &str) -> Result<Digest, ImageError> {
        self.store()?.images().resolve_id(name)?.ok_or_else(|| {
            let name = match name.parse::<Reference>() {
                Ok(reference) => reference.familiar(),
                Err(_) => name.to_owned(),
            };
            ImageError::NotFound { name }
        })
    }

    /// Writes down what happened to an image, with its labels where it is still there.
    pub(crate) fn tell(&self, action: &str, id: &str, name: &str) {
        let image = self.resolve(id);
        let labels = image.map(|image| image.config.config.labels);
        let event = Event::new(EventType::Image, action, id);
        let event = event.with_all(&labels.unwrap_or_default());
        self.engine.tell(event.with("name", name));
    }

    /// Gives the image `source`, for all its platforms, the name `target`, which it takes from any
    /// other image.
    ///
    /// # Errors
    /// [`ImageError::NotFound`] when there is no image `source`, [`ImageError::ByDigest`] when
    /// the new name has a digest.
    pub fn tag(&self, source: &str, target: &Reference) -> Result<(), ImageError> {
        if target.digest().is_some() {
            return Err(ImageError::ByDigest {
                verb: "tag",
                reference: Box::new(target.clone()),
            });
        }
        let id = self.id(source)?;
        let images = self.store()?.images();
        match self.index(source)? {
            Some(index) => drop(images.tag_index(target, &index.digest)?),
            None => drop(images.tag(target, &id)?),
        }
        self.tell("tag", &id.to_string(), &target.familiar());
        Ok(())
    }
}
