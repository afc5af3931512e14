//! What a build made, before anything is exported.

use gantry_model::image::{History, ImageConfig};
use gantry_model::{Digest, Platform, StepRecord};
use gantry_store::Lease;

use crate::borrowed::CachedStep;
use crate::cache::Layer;
use crate::cache_mounts::CacheMounts;

/// Something from outside that went into a build.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Material {
    /// What it is: a purl of an image, an address.
    pub uri: String,
    /// Name of the digest's algorithm and the digest, where it is known.
    pub digest: Option<(String, String)>,
}

/// What a build made: a target for each request, in their order.
///
/// Nothing of it has a name yet; that is what exporters are for. Its layers are in the store and
/// stay there at least as long as this value lives.
#[derive(Debug)]
pub struct Outcome {
    /// One for each request.
    pub targets: Vec<BuiltTarget>,
    /// The steps, for caches elsewhere.
    pub steps: Vec<CachedStep>,
    /// The same by BuildKit's names, with what they work on, where [`Builder::named`] asks for it;
    /// those without such a name are left out.
    ///
    /// [`Builder::named`]: crate::Builder::named
    pub records: Vec<StepRecord>,
    /// Steps that were run.
    pub executed: usize,
    /// Steps that were in the cache.
    pub cached: usize,
    /// The cache mounts that the steps use, whether these ran or not.
    pub mounts: CacheMounts,
    /// Keeps the layers.
    pub(crate) lease: Lease,
}

impl Outcome {
    /// The lease that keeps the layers, for what an exporter adds to them.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }
}

/// What was made of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltTarget {
    /// The request's name.
    pub name: Option<String>,
    /// What its vertices are titled with: its name, where it was not the only request.
    pub title: Option<String>,
    /// Whether an image of several platforms was asked for (a single one may be in it).
    pub multi_platform: bool,
    /// What the Dockerfile is called.
    pub dockerfile_name: String,
    /// Its text.
    pub dockerfile: String,
    /// The context, where it is not on this machine.
    pub context: Option<Material>,
    /// One for each platform, in the order of the request.
    pub images: Vec<BuiltImage>,
}

/// What was made for one platform.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltImage {
    /// The platform it was made for.
    pub platform: Platform,
    /// The whole configuration, with diff IDs, history and times.
    pub config: ImageConfig,
    /// How many of its layers, from the base on, were there before: those of the base image.
    pub base_layers: usize,
    /// What it was made of.
    pub materials: Vec<Material>,
}

impl BuiltImage {
    /// Puts the layers into a configuration.
    pub(crate) fn new(
        platform: Platform,
        mut config: ImageConfig,
        history: Vec<History>,
        layers: &[Layer],
        materials: Vec<Material>,
    ) -> Self {
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
        config.history = dated(history, layers);
        if config.created.is_none() {
            config.created = config
                .history
                .iter()
                .rev()
                .find_map(|entry| entry.created.clone());
        }
        Self {
            platform,
            config,
            base_layers: layers
                .iter()
                .take_while(|layer| layer.created.is_none())
                .count(),
            materials,
        }
    }

    /// Its layers by diff ID, base first.
    #[must_use]
    pub fn layers(&self) -> &[Digest] {
        &self.config.rootfs.diff_ids
    }

    /// The configuration as it is stored; the same image gives the same bytes.
    #[must_use]
    pub fn config_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.config).expect("a configuration is JSON")
    }

    /// The image's id: the digest of its configuration.
    #[must_use]
    pub fn id(&self) -> Digest {
        use sha2::Digest as _;
        Digest::from_bytes(sha2::Sha256::digest(self.config_bytes()).into())
    }
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
