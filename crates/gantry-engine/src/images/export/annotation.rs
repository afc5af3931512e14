//! Annotations, and on which document each is written.

use std::collections::BTreeMap;

use gantry_model::Platform;

/// A document that annotations are written on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationPlace {
    /// The manifest of an image.
    Manifest,
    /// What points to a manifest, in an index.
    ManifestDescriptor,
    /// The index.
    Index,
    /// What points to an index, in a layout.
    IndexDescriptor,
}

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// On which document.
    pub place: AnnotationPlace,
    /// The one platform whose manifest is meant; all without.
    pub platform: Option<Platform>,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The annotations of an export.
pub(super) struct Annotations<'a>(pub(super) &'a [Annotation]);

impl Annotations<'_> {
    /// Those of one document; of two with the same name the later.
    pub(super) fn of(
        &self,
        place: AnnotationPlace,
        platform: Option<&Platform>,
    ) -> BTreeMap<String, String> {
        let fitting = self.0.iter().filter(|annotation| {
            let meant = annotation.platform.as_ref();
            annotation.place == place && meant.is_none_or(|meant| Some(meant) == platform)
        });
        fitting
            .map(|annotation| (annotation.name.clone(), annotation.value.clone()))
            .collect()
    }

    /// Whether one is for an index.
    pub(super) fn any_of_index(&self) -> bool {
        use AnnotationPlace::{Index, IndexDescriptor};
        self.0
            .iter()
            .any(|annotation| matches!(annotation.place, Index | IndexDescriptor))
    }
}
