//! An image of an OCI layout in a folder, to be built on without getting a name.

use gantry_model::image::{Descriptor, ImageConfig};
use gantry_model::layout::{LayoutEntry, LayoutReference};
use gantry_model::{Digest, Platform, media_type};
use gantry_store::Lease;

use super::oci;
use crate::images::bundle::{Bundle, INDEX};
use crate::images::folder::LayoutFolder;
use crate::images::layout::REF_NAME;
use crate::images::progress::Transfer;
use crate::images::{ImageError, Images, archive::ArchiveError, document};

/// An image as a layout has it.
#[derive(Debug, Clone)]
pub struct LayoutImage {
    /// The image: the digest of its configuration.
    pub id: Digest,
    /// Digest of the manifest or index that was meant.
    pub digest: Digest,
    /// The configuration.
    pub config: ImageConfig,
}

impl Images<'_> {
    /// The image of an OCI layout, of an index the one that serves `platform` best. With `lease` its
    /// layers are brought into the store, where nothing but the lease holds them: it gets neither
    /// name nor record. Without, it is only looked at.
    ///
    /// # Errors
    /// [`ImageError::Layout`] around what is wrong: there is no layout or no such image in it, what
    /// it has is not what it says, or lies outside of it.
    pub fn from_layout(
        &self,
        from: &LayoutReference,
        platform: &Platform,
        lease: Option<&Lease>,
        transfer: &dyn Transfer,
    ) -> Result<LayoutImage, ImageError> {
        let take = || -> Result<LayoutImage, ImageError> {
            let folder = LayoutFolder::open(&from.folder).map_err(|source| ImageError::File {
                action: "open",
                path: from.folder.clone(),
                source,
            })?;
            let entry = match (chosen(folder.entries()?, &from.entry)?, &from.entry) {
                (Some(entry), _) => entry,
                (None, LayoutEntry::Digest(digest)) => undescribed(&folder, digest)?,
                (None, _) => return Err(ArchiveError::NoImages.into()),
            };
            let image = oci::images(&folder, &entry, Some(platform))?;
            let image = image.into_iter().next().ok_or(ArchiveError::NoImages)?;
            let top = image.member.as_ref().map(|member| member.index);
            let top = top.or_else(|| image.documents.first().map(|bytes| document::digest(bytes)));
            let id = document::digest(&image.config);
            let config = document::parse_config(&image.config).map_err(|reason| {
                let name = id.to_string();
                ArchiveError::Document { name, reason }
            })?;
            if let Some(lease) = lease {
                self.bring(image.layers, lease, transfer)?;
            }
            Ok(LayoutImage {
                id,
                digest: top.unwrap_or(id),
                config,
            })
        };
        take().map_err(|source| ImageError::Layout {
            folder: from.folder.clone(),
            source: Box::new(source),
        })
    }
}

/// The very digest, or the entry of that name. Where neither is asked for, the one called `latest` or
/// the only one there is; buildx takes the only one whatever it is called.
fn chosen(
    entries: Vec<Descriptor>,
    wanted: &LayoutEntry,
) -> Result<Option<Descriptor>, ImageError> {
    let tag = match wanted {
        LayoutEntry::Digest(digest) => {
            return Ok(entries.into_iter().find(|entry| entry.digest == *digest));
        }
        LayoutEntry::Tag(tag) => tag.as_str(),
        LayoutEntry::Usual => "latest",
    };
    let mut images: Vec<Descriptor> = entries
        .into_iter()
        .filter(|entry| !entry.is_attestation())
        .collect();
    let named = images.iter().position(|entry| is_called(entry, tag));
    let is_only = images.len() <= 1 && *wanted == LayoutEntry::Usual;
    if named.is_some() || is_only || images.is_empty() {
        return Ok(match named {
            Some(at) => Some(images.swap_remove(at)),
            None => images.pop(),
        });
    }
    let names: Vec<&str> = images
        .iter()
        .filter_map(|entry| entry.annotations.get(REF_NAME).map(String::as_str))
        .collect();
    Err(ImageError::NoEntry {
        tag: tag.to_owned(),
        count: images.len(),
        names: names.join(", "),
    })
}

/// Whether an entry has a name: a tag alone, or a whole name with that tag.
fn is_called(entry: &Descriptor, tag: &str) -> bool {
    let written = entry.annotations.get(REF_NAME);
    written.is_some_and(|name| name == tag)
        || oci::name(entry).is_some_and(|name| name.tag() == Some(tag))
}

/// What the index does not have may still be there.
fn undescribed(folder: &LayoutFolder, digest: &Digest) -> Result<Descriptor, ImageError> {
    let bytes = folder.blob(digest, INDEX, document::DOCUMENT_LIMIT)?;
    let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let kind = match document["manifests"].is_array() {
        true => media_type::OCI_INDEX,
        false => media_type::OCI_MANIFEST,
    };
    Ok(Descriptor::new(kind, *digest, bytes.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u8, name: &str) -> Descriptor {
        let mut entry = Descriptor::new("m", Digest::from_bytes([number; 32]), 1);
        if !name.is_empty() {
            entry
                .annotations
                .insert(REF_NAME.to_owned(), name.to_owned());
        }
        entry
    }

    #[test]
    fn an_entry_is_chosen() {
        let tag = |name: &str| LayoutEntry::Tag(name.to_owned());
        let digest = |number| LayoutEntry::Digest(Digest::from_bytes([number; 32]));
        let cases: &[(&[&str], LayoutEntry, Option<u8>)] = &[
            (&[""], LayoutEntry::Usual, Some(0)),
            (&["v1"], LayoutEntry::Usual, Some(0)),
            (&["v1"], tag("v1"), Some(0)),
            (&["v1"], tag("v2"), None),
            (&["v1", "latest"], LayoutEntry::Usual, Some(1)),
            (&["v1", "e.org/a:v2"], tag("v2"), Some(1)),
            (&["v1", "v2"], LayoutEntry::Usual, None),
            (&["", ""], tag("x"), None),
            (&["v1", "v2"], digest(1), Some(1)),
            (&[], LayoutEntry::Usual, None),
        ];
        for (names, wanted, want) in cases {
            let entries = (0..).zip(*names).map(|(number, name)| entry(number, name));
            let got = chosen(entries.collect(), wanted).ok().flatten();
            let got = got.map(|entry| entry.digest);
            let want = want.map(|number| Digest::from_bytes([number; 32]));
            assert_eq!(got, want, "{names:?} {wanted:?}");
        }
        assert!(chosen(vec![entry(1, "")], &digest(9)).unwrap().is_none());
    }
}
