//! OCI's image layout: `index.json` and `blobs/`.

use gantry_model::image::{Descriptor, ImageConfig, Index, Manifest};
use gantry_model::{Platform, Reference, media_type};
use gantry_store::Membership;

use super::{Found, FoundLayer, diff_ids};
use crate::images::archive::ArchiveError;
use crate::images::attestations::{self, STATEMENT_LIMIT};
use crate::images::bundle::{Bundle, INDEX, parse};
use crate::images::document::DOCUMENT_LIMIT;
use crate::images::layout::{REF_NAME, blob_name};
use crate::images::{ImageError, select};

/// What containerd and Docker write a whole name into.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Whether an image of the layout is of several platforms.
pub(super) fn has_index(bundle: &dyn Bundle) -> Result<bool, ImageError> {
    let is_index = |entry: &Descriptor| media_type::is_index(&entry.media_type);
    Ok(bundle.entries()?.iter().any(is_index))
}

/// All images; of indexes those for the platform, or all whose content is there.
pub(super) fn find(
    bundle: &dyn Bundle,
    platform: Option<&Platform>,
) -> Result<Vec<Found>, ImageError> {
    let mut found: Vec<Found> = Vec::new();
    let entries = bundle.entries()?;
    for entry in entries.iter().filter(|entry| !entry.is_attestation()) {
        for image in images(bundle, entry, platform)? {
            let same =
                |known: &&mut Found| known.config == image.config && known.member == image.member;
            // One entry for each name is how several names of one image are written.
            match found.iter_mut().find(same) {
                Some(known) => known.references.extend(image.references),
                None => found.push(image),
            }
        }
    }
    if found.is_empty() {
        return Err(ArchiveError::NoImages.into());
    }
    Ok(found)
}

/// The images that an entry of the layout means.
pub(super) fn images(
    bundle: &dyn Bundle,
    entry: &Descriptor,
    platform: Option<&Platform>,
) -> Result<Vec<Found>, ImageError> {
    let names: Vec<Reference> = name(entry).into_iter().collect();
    let top = blob(bundle, entry, INDEX)?;
    if !media_type::is_index(&entry.media_type) {
        return Ok(vec![image(bundle, entry, &names, vec![top])?]);
    }
    let index: Index = parse(&blob_name(&entry.digest), &top)?;
    let mut chosen: Vec<usize> = Vec::new();
    if platform.is_none() {
        let entries = index.manifests.iter().enumerate();
        let there = entries
            .filter(|(_, one)| !select::is_attestation(one) && bundle.has(&blob_name(&one.digest)));
        chosen.extend(there.map(|(position, _)| position));
    }
    if chosen.is_empty() {
        let wanted = platform.cloned().unwrap_or_else(Platform::host);
        let position =
            select::choose(&index, &wanted).map_err(|offered| ImageError::NoPlatform {
                reference: names
                    .first()
                    .map_or_else(|| entry.digest.to_string(), Reference::familiar),
                wanted: vec![wanted],
                offered,
            })?;
        chosen.push(position);
    }
    let mut found = Vec::new();
    for position in chosen {
        let one = &index.manifests[position];
        let documents = vec![top.clone(), blob(bundle, one, "index")?];
        let mut image = image(bundle, one, &names, documents)?;
        for said in attestations::about(&index, &one.digest) {
            image.documents.extend(statements(bundle, said)?);
        }
        let platform = match &one.platform {
            Some(platform) => platform.clone(),
            None => parse::<ImageConfig>(&blob_name(&one.digest), &image.config)?.platform(),
        };
        image.member = Some(Membership {
            index: entry.digest,
            manifest: one.digest,
            position,
            platform,
        });
        found.push(image);
    }
    Ok(found)
}

/// The image of a manifest, which is the last of the documents.
fn image(
    bundle: &dyn Bundle,
    entry: &Descriptor,
    names: &[Reference],
    documents: Vec<Vec<u8>>,
) -> Result<Found, ImageError> {
    let manifest: Manifest = parse(
        &blob_name(&entry.digest),
        documents.last().map_or(&[], Vec::as_slice),
    )?;
    let config = blob(bundle, &manifest.config, "manifest")?;
    let diff_ids = diff_ids(
        &blob_name(&manifest.config.digest),
        &config,
        manifest.layers.len(),
    )?;
    let mut layers = Vec::new();
    for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
        if media_type::layer_compression(&layer.media_type).is_none() {
            let media_type = layer.media_type.clone();
            return Err(ImageError::LayerType {
                digest: layer.digest,
                media_type,
            });
        }
        let name = blob_name(&layer.digest);
        let content = bundle.open(&name, "manifest")?;
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
        references: names.to_vec(),
        member: None,
    })
}

/// The documents of an entry that says something of an image; none where they are not all there.
fn statements(bundle: &dyn Bundle, entry: &Descriptor) -> Result<Vec<Vec<u8>>, ArchiveError> {
    let name = blob_name(&entry.digest);
    if !bundle.has(&name) {
        return Ok(Vec::new());
    }
    let mut documents = vec![blob(bundle, entry, "index")?];
    let manifest: Manifest = parse(&name, &documents[0])?;
    for part in manifest.layers.iter().chain([&manifest.config]) {
        if !bundle.has(&blob_name(&part.digest)) {
            return Ok(Vec::new());
        }
        documents.push(bundle.blob(&part.digest, "manifest", STATEMENT_LIMIT)?);
    }
    Ok(documents)
}

fn blob(
    bundle: &dyn Bundle,
    descriptor: &Descriptor,
    by: &'static str,
) -> Result<Vec<u8>, ArchiveError> {
    bundle.blob(&descriptor.digest, by, DOCUMENT_LIMIT)
}

/// The name an entry has; a bare tag is none.
pub(super) fn name(entry: &Descriptor) -> Option<Reference> {
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
