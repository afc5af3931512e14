//! OCI's image layout: `index.json` and `blobs/`.

use gantry_model::image::{Descriptor, Index, Manifest};
use gantry_model::{Platform, Reference, media_type};
use serde::de::DeserializeOwned;

use super::{Found, FoundLayer, diff_ids};
use crate::images::archive::{Archive, ArchiveError};
use crate::images::document::{self, DOCUMENT_LIMIT};
use crate::images::{ImageError, select};

/// The entry that tells this layout.
pub(super) const INDEX: &str = "index.json";

/// What containerd and Docker write a whole name into.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The specification's own; a tag, or a whole name, as the writer likes.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// All images; of indexes the one for the platform.
pub(super) fn find(
    archive: &Archive,
    platform: Option<&Platform>,
) -> Result<Vec<Found>, ImageError> {
    let bytes = archive.read(INDEX, "layout", DOCUMENT_LIMIT)?;
    let index: Index = parse(INDEX, &bytes)?;
    let mut found: Vec<Found> = Vec::new();
    for entry in index
        .manifests
        .iter()
        .filter(|entry| !entry.is_attestation())
    {
        let image = image(archive, entry, platform)?;
        // One entry for each name is how several names of one image are written.
        match found.iter_mut().find(|known| known.config == image.config) {
            Some(known) => known.references.extend(image.references),
            None => found.push(image),
        }
    }
    if found.is_empty() {
        return Err(ArchiveError::NoImages.into());
    }
    Ok(found)
}

fn image(
    archive: &Archive,
    entry: &Descriptor,
    platform: Option<&Platform>,
) -> Result<Found, ImageError> {
    let mut documents = vec![blob(archive, entry, INDEX)?];
    let mut manifest_entry = entry.clone();
    if media_type::is_index(&entry.media_type) {
        let index: Index = parse(&blob_name(entry), &documents[0])?;
        let wanted = platform.cloned().unwrap_or_else(Platform::host);
        let chosen = select::choose(&index, &wanted).map_err(|offered| ImageError::NoPlatform {
            reference: name(entry).map_or_else(|| entry.digest.to_string(), |r| r.familiar()),
            wanted: vec![wanted],
            offered,
        })?;
        manifest_entry = chosen.clone();
        documents.push(blob(archive, &manifest_entry, "index")?);
    }
    let manifest: Manifest = parse(
        &blob_name(&manifest_entry),
        documents.last().map_or(&[], Vec::as_slice),
    )?;
    let config = blob(archive, &manifest.config, "manifest")?;
    let diff_ids = diff_ids(&blob_name(&manifest.config), &config, manifest.layers.len())?;
    let mut layers = Vec::new();
    for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
        if media_type::layer_compression(&layer.media_type).is_none() {
            let media_type = layer.media_type.clone();
            return Err(ImageError::LayerType {
                digest: layer.digest,
                media_type,
            });
        }
        let name = blob_name(layer);
        let content = archive.open(&name, "manifest")?;
        layers.push(FoundLayer {
            name,
            diff_id,
            content,
            blob: Some(layer.clone()),
        });
    }
    Ok(Found {
        config,
        documents,
        layers,
        references: name(entry).into_iter().collect(),
    })
}

fn blob_name(descriptor: &Descriptor) -> String {
    format!("blobs/sha256/{}", descriptor.digest.hex())
}

fn blob(
    archive: &Archive,
    descriptor: &Descriptor,
    by: &'static str,
) -> Result<Vec<u8>, ArchiveError> {
    let name = blob_name(descriptor);
    let bytes = archive.read(&name, by, DOCUMENT_LIMIT)?;
    let (actual, expected) = (document::digest(&bytes), descriptor.digest);
    if actual != expected {
        return Err(ArchiveError::Digest {
            name,
            expected,
            actual,
        });
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|error| ArchiveError::Document {
        name: name.to_owned(),
        reason: error.to_string(),
    })
}

/// The name an entry has; a bare tag is none.
fn name(entry: &Descriptor) -> Option<Reference> {
    let written = entry.annotations.get(CONTAINERD_NAME).or_else(|| {
        entry
            .annotations
            .get(REF_NAME)
            .filter(|name| name.contains([':', '/']))
    })?;
    written
        .parse()
        .ok()
        .filter(|reference: &Reference| reference.digest().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::Digest;

    #[test]
    fn names_are_found_where_tools_write_them() {
        let named = |key: &str, value: &str| {
            let mut entry = Descriptor::new("m", Digest::from_bytes([0; 32]), 1);
            entry.annotations.insert(key.to_owned(), value.to_owned());
            name(&entry).map(|r| r.familiar())
        };
        assert_eq!(
            named(CONTAINERD_NAME, "docker.io/library/a:1").as_deref(),
            Some("a:1")
        );
        assert_eq!(named(REF_NAME, "mine:1").as_deref(), Some("mine:1"));
        assert_eq!(
            named(REF_NAME, "localhost/mine").as_deref(),
            Some("localhost/mine:latest")
        );
        assert_eq!(named(REF_NAME, "latest"), None);
        assert_eq!(named(REF_NAME, "a b:c"), None);
        assert_eq!(named("other", "a:1"), None);
    }
}
