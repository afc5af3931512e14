//! Images of which several layers became one.

use gantry_model::image::{History, ImageConfig};
use gantry_model::quantity::counted;
use gantry_model::{Digest, Event, EventType, Platform, Reference};
use gantry_store::NewImage;

use super::{ImageError, Images, document};

/// What stays below the layer that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SquashOnto {
    /// So many layers, from the lowest on.
    Layers(usize),
    /// The layers of this image, by name or id.
    Image(String),
}

/// How an image is squashed.
#[derive(Debug, Clone)]
pub struct SquashOptions {
    /// What stays.
    pub onto: SquashOnto,
    /// The platform that the image must be for; the host's is preferred without.
    pub platform: Option<Platform>,
    /// The names of the image that is made.
    pub tags: Vec<Reference>,
}

impl Images<'_> {
    /// Makes an image with the files and the configuration of another one, but one layer above
    /// what stays; its id. The same image gives the same one again.
    ///
    /// # Errors
    /// As with [`Images::id_for`]; [`ImageError::ByDigest`] for a name with a digest;
    /// [`ImageError::Form`] when what is to stay is not what the image begins with; else as with
    /// [`Images::squashed`].
    pub fn squash(&self, name: &str, options: &SquashOptions) -> Result<Digest, ImageError> {
        let by_digest = |tag: &&Reference| tag.digest().is_some();
        if let Some(reference) = options.tags.iter().find(by_digest) {
            return Err(ImageError::ByDigest {
                verb: "squash to",
                reference: Box::new(reference.clone()),
            });
        }
        let image = self.resolve_for(name, options.platform.as_ref())?;
        let base = match &options.onto {
            SquashOnto::Layers(number) => *number,
            SquashOnto::Image(base) => {
                let platform = Some(image.config.platform());
                let stays = self.resolve_for(base, platform.as_ref())?.layers;
                if !image.layers.starts_with(&stays) {
                    return Err(ImageError::Form {
                        reason: format!("{name} does not begin with the layers of {base}"),
                    });
                }
                stays.len()
            }
        };
        let config = self.squashed(&image.id, &image.config, base)?;
        let new = NewImage {
            config: &document::json(&config),
            tags: options.tags.clone(),
            ..NewImage::default()
        };
        let id = self.store()?.images().put(&new)?;
        for tag in &options.tags {
            let event = Event::new(EventType::Image, "tag", id.to_string());
            self.engine.tell(event.with("name", tag.familiar()));
        }
        Ok(id)
    }

    /// The configuration `config` of the image `id` with one layer, which is made, above its first
    /// `base` ones. The history keeps the entries of the others as empty ones; its last entry is
    /// the one layer's and, so that the image is the same every time, as old as the image.
    ///
    /// # Errors
    /// [`ImageError::Form`] when there are fewer than `base` layers, [`ImageError::Unpack`] when
    /// the layer cannot be made, and the store's.
    pub fn squashed(
        &self,
        id: &Digest,
        config: &ImageConfig,
        base: usize,
    ) -> Result<ImageConfig, ImageError> {
        let layers = &config.rootfs.diff_ids;
        if base > layers.len() {
            return Err(ImageError::Form {
                reason: format!("it has {}, not {base}", counted(layers.len(), "layer")),
            });
        }
        let (stay, merge) = layers.split_at(base);
        // One layer with nothing below is one already, even if it hides what is not there.
        if merge.len() < 2 {
            return Ok(config.clone());
        }
        let made = self
            .store()?
            .layers()
            .squash(merge, base > 0)
            .map_err(|source| ImageError::Unpack {
                layer: format!("of {} layers", merge.len()),
                source,
            })?;
        let mut squashed = config.clone();
        squashed.rootfs.diff_ids = stay.iter().copied().chain([made.diff_id]).collect();
        let filled = squashed
            .history
            .iter_mut()
            .filter(|entry| !entry.empty_layer);
        for entry in filled.skip(base) {
            entry.empty_layer = true;
        }
        squashed.history.push(History {
            created: config.created.clone(),
            comment: match stay.last() {
                Some(below) => format!("merge {id} to {below}"),
                None => format!("create new from {id}"),
            },
            ..History::default()
        });
        Ok(squashed)
    }
}
