//! The image in the store.

use gantry_model::{Digest, Reference};
use gantry_store::{NewImage, Store};

use crate::error::BuildError;
use crate::outcome::{BuiltImage, BuiltTarget};
use crate::report::{Reporter, titled};

/// Puts the image of a target into the store under names; gives its id.
///
/// # Errors
/// [`BuildError::Store`] when it cannot be written.
pub fn image(
    store: &Store,
    target: &BuiltTarget,
    image: &BuiltImage,
    tags: &[Reference],
    reporter: &Reporter<'_>,
) -> Result<Digest, BuildError> {
    let vertex = reporter.begin(&titled(target.title.as_deref(), "exporting to image"));
    reporter.part(vertex, "exporting layers", true);
    let bytes = image.config_bytes();
    let put = || -> Result<Digest, BuildError> {
        // Nothing is written for an image that is there under all its names.
        let id = image.id();
        if present(store, &id, tags)? {
            return Ok(id);
        }
        let image = NewImage {
            config: &bytes,
            tags: tags.to_vec(),
            ..NewImage::default()
        };
        Ok(store.images().put(&image)?)
    };
    match put() {
        Ok(id) => {
            reporter.part(vertex, &format!("writing image {id}"), true);
            for tag in tags {
                reporter.part(vertex, &format!("naming to {tag}"), true);
            }
            reporter.done(vertex);
            Ok(id)
        }
        Err(error) => {
            reporter.failed(vertex, &error.to_string());
            Err(error)
        }
    }
}

/// Whether the image is in the store and has these names.
fn present(store: &Store, id: &Digest, tags: &[Reference]) -> Result<bool, BuildError> {
    if !store.images().contains(id)? {
        return Ok(false);
    }
    for tag in tags {
        if store.images().find(tag)? != Some(*id) {
            return Ok(false);
        }
    }
    Ok(true)
}
