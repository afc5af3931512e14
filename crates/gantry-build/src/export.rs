//! The image: configuration, history and names, put into the store.

use gantry_model::image::{History, ImageConfig};
use gantry_model::{Digest, Reference};
use gantry_store::{NewImage, Store};

use crate::cache::Layer;
use crate::error::BuildError;
use crate::report::Reporter;

/// Puts the image into the store under its names; gives its id.
pub(crate) fn export(
    store: &Store,
    mut config: ImageConfig,
    history: Vec<History>,
    layers: &[Layer],
    tags: &[Reference],
    reporter: &Reporter<'_>,
) -> Result<Digest, BuildError> {
    let vertex = reporter.begin("exporting to image");
    reporter.part(vertex, "exporting layers", true);
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
    config.history = dated(history, layers);
    if config.created.is_none() {
        config.created = config
            .history
            .iter()
            .rev()
            .find_map(|entry| entry.created.clone());
    }
    let bytes = serde_json::to_vec(&config).expect("a configuration is JSON");
    let put = || -> Result<Digest, BuildError> {
        let images = store.images();
        // Nothing is written for an image that is there under all its names.
        if let Some(id) = present(store, &bytes, tags)? {
            return Ok(id);
        }
        let image = NewImage {
            config: &bytes,
            tags: tags.to_vec(),
            ..NewImage::default()
        };
        Ok(images.put(&image)?)
    };
    match put() {
        Ok(id) => {
            reporter.part(vertex, &format!("writing image {id}"), true);
            for tag in tags {
                reporter.part(vertex, &format!("naming to {tag}"), true);
            }
            reporter.done(vertex);
            Ok(id)
        }
        Err(error) => {
            reporter.failed(vertex, &error.to_string());
            Err(error)
        }
    }
}

/// The id of the image if it is in the store and has these names.
fn present(store: &Store, config: &[u8], tags: &[Reference]) -> Result<Option<Digest>, BuildError> {
    let id = sha256(config);
    if !store.images().contains(&id)? {
        return Ok(None);
    }
    for tag in tags {
        if store.images().find(tag)? != Some(id) {
            return Ok(None);
        }
    }
    Ok(Some(id))
}

fn sha256(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

/// The history with times: a layer's entry has the time of the layer; an entry without a layer that
/// of the first new layer above all, else of the layer below.
fn dated(mut history: Vec<History>, layers: &[Layer]) -> Vec<History> {
    let mut layers = layers.iter();
    for entry in history.iter_mut().filter(|entry| !entry.empty_layer) {
        let layer = layers.next();
        if entry.created.is_none() {
            entry.created = layer.and_then(|layer| layer.created.clone());
        }
    }
    let undated = history
        .iter()
        .position(|entry| entry.created.is_none())
        .unwrap_or(history.len());
    let first_behind = history[undated..]
        .iter()
        .find_map(|entry| entry.created.clone());
    let last_before = history[..undated]
        .iter()
        .rev()
        .find_map(|entry| entry.created.clone());
    let mut time = first_behind.or(last_before);
    let mut gap = false;
    for entry in &mut history {
        match &entry.created {
            Some(created) => {
                if gap {
                    time = Some(created.clone());
                }
            }
            None => {
                gap = true;
                entry.created.clone_from(&time);
            }
        }
    }
    history
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(created: &str, empty_layer: bool) -> History {
        History {
            created: (!created.is_empty()).then(|| created.to_owned()),
            empty_layer,
            ..History::default()
        }
    }

    fn layer(created: &str) -> Layer {
        let created = (!created.is_empty()).then(|| created.to_owned());
        Layer {
            diff_id: Digest::from_bytes([0; 32]),
            created,
        }
    }

    #[test]
    fn times_of_entries_without_a_layer() {
        for (history, layers, want) in [
            // A base and metadata only: the time of the base.
            (
                vec![entry("1", false), entry("", true)],
                vec![layer("")],
                vec!["1", "1"],
            ),
            // Metadata before the first new layer: its time.
            (
                vec![
                    entry("1", false),
                    entry("", true),
                    entry("", false),
                    entry("", true),
                    entry("", false),
                    entry("", true),
                ],
                vec![layer(""), layer("5"), layer("7")],
                vec!["1", "5", "5", "5", "7", "7"],
            ),
            // No base, nothing at all.
            (vec![entry("", true)], vec![], vec![""]),
        ] {
            let dated = dated(history, &layers);
            let times: Vec<&str> = dated
                .iter()
                .map(|entry| entry.created.as_deref().unwrap_or_default())
                .collect();
            assert_eq!(times, want);
        }
    }
}
