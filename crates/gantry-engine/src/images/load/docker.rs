//! Docker's layout: `manifest.json` names configurations and layers.

use gantry_model::{Digest, Reference};
use serde::Deserialize;

use super::{Found, FoundLayer, diff_ids};
use crate::images::ImageError;
use crate::images::archive::ArchiveError;
use crate::images::bundle::Bundle;
use crate::images::document::{self, DOCUMENT_LIMIT};

/// The entry that tells this layout.
pub(super) const MANIFEST: &str = "manifest.json";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// All images.
pub(super) fn find(bundle: &dyn Bundle) -> Result<Vec<Found>, ImageError> {
    let bytes = bundle.read(MANIFEST, "layout", DOCUMENT_LIMIT)?;
    let items: Vec<Item> =
        serde_json::from_slice(&bytes).map_err(|error| ArchiveError::Document {
            name: MANIFEST.to_owned(),
            reason: error.to_string(),
        })?;
    if items.is_empty() {
        return Err(ArchiveError::NoImages.into());
    }
    items.into_iter().map(|item| image(bundle, item)).collect()
}

fn image(bundle: &dyn Bundle, item: Item) -> Result<Found, ImageError> {
    let config = bundle.read(&item.config, MANIFEST, DOCUMENT_LIMIT)?;
    if let Some(expected) = named_digest(&item.config) {
        let actual = document::digest(&config);
        if actual != expected {
            return Err(ArchiveError::Digest {
                name: item.config,
                expected,
                actual,
            }
            .into());
        }
    }
    let names = item.layers.unwrap_or_default();
    let diff_ids = diff_ids(&item.config, &config, names.len())?;
    let mut layers = Vec::new();
    for (name, diff_id) in names.into_iter().zip(diff_ids) {
        let content = bundle.open(&name, MANIFEST)?;
        layers.push(FoundLayer {
            name,
            diff_id,
            content,
            blob: None,
        });
    }
    let mut references = Vec::new();
    for tag in item.repo_tags.unwrap_or_default() {
        let reference: Reference = tag.parse()?;
        if reference.digest().is_some() {
            return Err(ImageError::ByDigest {
                verb: "load",
                reference: Box::new(reference),
            });
        }
        references.push(reference);
    }
    Ok(Found {
        config,
        documents: Vec::new(),
        layers,
        references,
        member: None,
    })
}

/// The digest that a configuration's name promises: `<hex>.json` or `blobs/sha256/<hex>`.
fn named_digest(name: &str) -> Option<Digest> {
    let last = name.rsplit('/').next()?;
    Digest::from_hex(last.strip_suffix(".json").unwrap_or(last)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_named_by_their_digest() {
        let hex = "a".repeat(64);
        for (name, want) in [
            (format!("{hex}.json"), true),
            (format!("blobs/sha256/{hex}"), true),
            ("config.json".to_owned(), false),
        ] {
            assert_eq!(named_digest(&name).is_some(), want, "{name}");
        }
    }
}
