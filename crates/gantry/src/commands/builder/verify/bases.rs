//! Base images as they were when an image was built.

use gantry_build::base::{BaseSource, PullStatus};
use gantry_build::provenance::Recipe;
use gantry_build::{BaseImage, BaseImageError, BaseImages, PullPolicy};
use gantry_engine::Engine;
use gantry_model::{Digest, Fault, FaultKind, Platform};

use crate::commands::builder::build::EngineBases;

/// The engine's images, those that the provenance names by the digests that it names.
pub(super) struct PinnedBases<'a> {
    engine: EngineBases<'a>,
    recipe: Option<&'a Recipe>,
}

impl<'a> PinnedBases<'a> {
    pub(super) const fn new(engine: &'a Engine, recipe: Option<&'a Recipe>) -> Self {
        Self {
            engine: EngineBases::new(engine),
            recipe,
        }
    }
}

impl BaseImages for PinnedBases<'_> {
    fn resolve(
        &self,
        source: &BaseSource,
        platform: &Platform,
        policy: PullPolicy,
        status: &(dyn Fn(PullStatus) + Sync),
    ) -> Result<BaseImage, BaseImageError> {
        let known = match source {
            BaseSource::Named(reference) if reference.digest().is_none() => self
                .recipe
                .and_then(|recipe| Some((reference, recipe.base(reference, platform)?))),
            _ => None,
        };
        let Some((reference, digest)) = known else {
            return self.engine.resolve(source, platform, policy, status);
        };
        let pinned = BaseSource::Named(reference.with_digest(digest));
        let found = self.engine.resolve(&pinned, platform, policy, status);
        found.map_err(|source| match source.kind() {
            FaultKind::NotFound => BaseImageError::new(BaseMoved {
                base: reference.familiar(),
                digest,
                source,
            }),
            _ => source,
        })
    }
}

/// A base image is not what it was, and what it was cannot be had any more.
#[derive(Debug, thiserror::Error)]
#[error(
    "the base image {base} moved: the image was built on {digest}, which its registry does not \
     serve any more"
)]
struct BaseMoved {
    base: String,
    digest: Digest,
    source: BaseImageError,
}

impl Fault for BaseMoved {
    fn kind(&self) -> FaultKind {
        FaultKind::NotFound
    }

    fn hints(&self) -> Vec<String> {
        vec![format!(
            "load or pull that very image from elsewhere, or name what is to stand in its place: \
             --build-context {}=docker-image://IMAGE@DIGEST",
            self.base
        )]
    }
}
