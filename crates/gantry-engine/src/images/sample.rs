//! An image for tests of what is decided about images.

use gantry_model::Digest;
use gantry_model::image::ImageConfig;
use gantry_store::{Image, RepoDigest};

/// One whose id and digests are all sevens.
pub(super) fn image(tags: &[&str], digests: &[&str]) -> Image {
    let digest = Digest::from_bytes([7; 32]);
    Image {
        id: digest,
        config: ImageConfig::default(),
        layers: Vec::new(),
        tags: tags.iter().map(|t| t.parse().unwrap()).collect(),
        digests: digests
            .iter()
            .map(|r| RepoDigest {
                repository: (*r).to_owned(),
                digest,
                media_type: String::new(),
            })
            .collect(),
        blobs: Vec::new(),
        stored: 0,
    }
}
