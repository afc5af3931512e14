//! Documents that Gantry makes: configurations of imported images, manifests, indexes.

use std::collections::BTreeMap;

use gantry_model::image::{Descriptor, ImageConfig, Manifest};
use gantry_model::{Digest, media_type};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::ImageError;
use super::compress::LayerCompression;

/// Most bytes of a configuration or manifest that are read.
pub(crate) const DOCUMENT_LIMIT: u64 = 8 << 20;

/// The two families of media types; they differ in nothing else that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Docker's schema 2.
    Docker,
    /// OCI.
    Oci,
}

impl Family {
    pub(crate) fn of(manifest_type: &str) -> Self {
        match manifest_type {
            media_type::OCI_MANIFEST | media_type::OCI_INDEX => Self::Oci,
            _ => Self::Docker,
        }
    }

    pub(crate) const fn manifest(self) -> &'static str {
        match self {
            Self::Docker => media_type::DOCKER_MANIFEST,
            Self::Oci => media_type::OCI_MANIFEST,
        }
    }

    pub(crate) const fn index(self) -> &'static str {
        match self {
            Self::Docker => media_type::DOCKER_INDEX,
            Self::Oci => media_type::OCI_INDEX,
        }
    }

    /// What points to a configuration.
    pub(crate) fn configuration(self, config: &[u8]) -> Descriptor {
        let media_type = match self {
            Self::Docker => media_type::DOCKER_CONFIG,
            Self::Oci => media_type::OCI_CONFIG,
        };
        Descriptor::new(media_type, digest(config), config.len() as u64)
    }

    pub(crate) const fn gzip_layer(self) -> &'static str {
        match self {
            Self::Docker => media_type::DOCKER_LAYER_GZIP,
            Self::Oci => media_type::OCI_LAYER_GZIP,
        }
    }

    pub(crate) const fn plain_layer(self) -> &'static str {
        match self {
            Self::Docker => media_type::DOCKER_LAYER,
            Self::Oci => media_type::OCI_LAYER,
        }
    }

    /// The type of a layer that is compressed in this way.
    pub(crate) const fn layer_by(self, compression: LayerCompression) -> &'static str {
        match compression {
            LayerCompression::Gzip | LayerCompression::Estargz => self.gzip_layer(),
            LayerCompression::Zstd => media_type::OCI_LAYER_ZSTD,
            LayerCompression::Uncompressed => self.plain_layer(),
        }
    }

    /// The type of this family for a layer of that type; `None` when the family has none.
    pub(crate) fn layer(self, other: &str) -> Option<&'static str> {
        use media_type::Compression::{Gzip, None as Plain, Zstd};
        match (self, media_type::layer_compression(other)?) {
            (_, Gzip) => Some(self.gzip_layer()),
            (Self::Docker, Plain) => Some(self.plain_layer()),
            (Self::Oci, compression) => Some(compression.oci_layer()),
            (Self::Docker, Zstd) => None,
        }
    }
}

/// A document and what points to it.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) descriptor: Descriptor,
    pub(crate) bytes: Vec<u8>,
}

/// The digest of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Serialises something of ours.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("documents have string keys and no failing parts")
}

impl Document {
    /// A document of ours of that type.
    pub(crate) fn new(media_type: &str, value: &impl Serialize) -> Self {
        let bytes = json(value);
        let descriptor = Descriptor::new(media_type, digest(&bytes), bytes.len() as u64);
        Self { descriptor, bytes }
    }
}

/// A manifest of a configuration and layers, and nothing else.
pub(crate) fn bare_manifest(
    family: Family,
    config: Descriptor,
    layers: Vec<Descriptor>,
) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: family.manifest().to_owned(),
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: BTreeMap::new(),
    }
}

/// The manifest of a configuration and layers as a document.
pub(crate) fn manifest(family: Family, config: &[u8], layers: Vec<Descriptor>) -> Document {
    let manifest = bare_manifest(family, family.configuration(config), layers);
    Document::new(family.manifest(), &manifest)
}

/// The time now as configurations have it.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// A configuration read from outside.
pub(crate) fn parse_config(bytes: &[u8]) -> Result<ImageConfig, String> {
    let config: ImageConfig = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if config.rootfs.kind != "layers" {
        return Err("its root file system is not made of layers".to_owned());
    }
    Ok(config)
}

/// A document from outside; `what` is how an error calls it.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
    digest: &Digest,
) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::Document {
        what,
        digest: *digest,
        reason: error.to_string(),
    })
}
