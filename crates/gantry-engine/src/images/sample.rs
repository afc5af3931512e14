//! An image for tests of what is decided about images.

use gantry_model::Digest;
use gantry_model::image::ImageConfig;
use gantry_store::{Image, ImageNames, RepoDigest};

/// The names of one whose id and digests are all sevens.
pub(super) fn names(tags: &[&str], digests: &[&str]) -> ImageNames {
    let digest = Digest::from_bytes([7; 32]);
    ImageNames {
        id: digest,
        tags: tags.iter().map(|t| t.parse().unwrap()).collect(),
        digests: digests
            .iter()
            .map(|r| RepoDigest {
                repository: (*r).to_owned(),
                digest,
                media_type: String::new(),
            })
            .collect(),
        indexes: Vec::new(),
    }
}

/// One with these names.
pub(super) fn image(tags: &[&str], digests: &[&str]) -> Image {
    let ImageNames {
        id,
        tags,
        digests,
        indexes,
    } = names(tags, digests);
    Image {
        id,
        config: ImageConfig::default(),
        layers: Vec::new(),
        tags,
        digests,
        indexes,
        blobs: Vec::new(),
        stored: 0,
    }
}
