//! Images of several platforms under one name, and which of them is meant.

use gantry_model::{Digest, Platform, Reference, media_type};
use gantry_store::{Image, Index, IndexMember, RepoDigest};

use super::progress::Transfer;
use super::{ImageError, Images, PullOptions, PullPolicy};

impl Images<'_> {
    /// The image that a person means by a name, for a platform. Without one it is that which
    /// serves this machine best.
    ///
    /// # Errors
    /// [`ImageError::NotFound`] when there is none of that name, [`ImageError::OtherPlatform`] and
    /// [`ImageError::NoPlatform`] when there is none of that name for the platform.
    pub fn id_for(&self, name: &str, platform: Option<&Platform>) -> Result<Digest, ImageError> {
        let id = self.id(name)?;
        let Some(wanted) = platform else {
            return Ok(id);
        };
        if let Some(index) = self.index(name)? {
            return match index.member_for(wanted) {
                Some(member) => Ok(member.image),
                None => Err(none_for(name, wanted, &index.members)),
            };
        }
        let found = self.store()?.images().config(&id)?.platform();
        match wanted.rank(&found) {
            Some(_) => Ok(id),
            None => Err(ImageError::OtherPlatform {
                reference: name.to_owned(),
                wanted: Box::new(wanted.clone()),
                found: Box::new(found),
            }),
        }
    }

    /// The same with all that the store knows of the image; its names are those of the index,
    /// where it has one.
    ///
    /// # Errors
    /// As with [`Images::id_for`].
    pub fn resolve_for(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Image, ImageError> {
        let images = self.store()?.images();
        let id = self.id_for(name, platform)?;
        let mut image = images.image(&id)?;
        let named = images.names(&self.id(name)?)?;
        if named.id != id {
            image.tags = named.tags;
            image.digests = named.digests;
        }
        Ok(image)
    }

    /// The image to build on: as [`Images::resolve_or_pull`], but where its registry has nothing
    /// under the name than one image, for another platform, it is that one.
    ///
    /// # Errors
    /// As with [`Images::resolve_or_pull`].
    pub fn base(
        &self,
        reference: &Reference,
        platform: &Platform,
        policy: PullPolicy,
        transfer: &dyn Transfer,
    ) -> Result<Image, ImageError> {
        let name = reference.to_string();
        let other = match self.resolve_or_pull(&name, Some(platform), policy, transfer) {
            Err(other @ ImageError::OtherPlatform { .. }) => other,
            result => return result,
        };
        if policy != PullPolicy::Never {
            // Where there is no registry to ask, what it said before counts.
            drop(self.pull(reference, &PullOptions::default(), transfer));
        }
        let is_all = |known: &RepoDigest| {
            known.repository == reference.name() && !media_type::is_index(&known.media_type)
        };
        match self.resolve_for(&name, None) {
            Ok(image) if image.digests.iter().any(is_all) => Ok(image),
            _ => Err(other),
        }
    }

    /// The index that a name is the name of.
    pub(crate) fn index(&self, name: &str) -> Result<Option<Index>, ImageError> {
        match name.parse::<Reference>() {
            Ok(reference) if self.store()?.images().find(&reference)?.is_some() => {
                Ok(self.store()?.images().index_of(&reference)?)
            }
            // An id may be that of an index as well as of one image.
            _ => {
                let index = self.store()?.images().index_by_id(name)?;
                let own = self.store()?.images().resolve_id(name)?;
                Ok(index.filter(|index| own == index.best().map(|best| best.image)))
            }
        }
    }
}

/// That an index has nothing for a platform, and what it has.
fn none_for(name: &str, wanted: &Platform, members: &[IndexMember]) -> ImageError {
    ImageError::NoPlatform {
        reference: name.to_owned(),
        wanted: vec![wanted.clone()],
        offered: members.iter().map(|m| m.platform.clone()).collect(),
    }
}
