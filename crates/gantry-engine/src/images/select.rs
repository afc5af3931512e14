//! Choosing the image for a platform out of an index.

use gantry_model::Platform;
use gantry_model::image::{Descriptor, Index};

/// The position of the entry of an index that serves `wanted` best, or the platforms that it offers.
///
/// Attestations are no images. Of entries that serve equally well the first counts; an entry
/// without a platform is taken only when it is the only one.
pub(crate) fn choose(index: &Index, wanted: &Platform) -> Result<usize, Vec<Platform>> {
    let images: Vec<(usize, &Descriptor)> = index
        .manifests
        .iter()
        .enumerate()
        .filter(|(_, entry)| !is_attestation(entry))
        .collect();
    let ranked = images
        .iter()
        .filter_map(|(at, entry)| Some((wanted.rank(entry.platform.as_ref()?)?, *at)))
        // `min_by_key` keeps the first of equals.
        .min_by_key(|(rank, _)| *rank);
    if let Some((_, position)) = ranked {
        return Ok(position);
    }
    if let [(position, only)] = images.as_slice()
        && only.platform.is_none()
    {
        return Ok(*position);
    }
    let mut offered: Vec<Platform> = images
        .iter()
        .filter_map(|(_, entry)| entry.platform.clone())
        .collect();
    offered.dedup();
    Err(offered)
}

/// Whether an entry is no image but says something of one.
pub(crate) fn is_attestation(entry: &Descriptor) -> bool {
    entry.is_attestation()
        || entry
            .platform
            .as_ref()
            .is_some_and(|p| p.os == "unknown" && p.architecture == "unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::Digest;

    fn index(platforms: &[&str]) -> Index {
        let manifests = platforms
            .iter()
            .zip(0_u8..)
            .map(|(text, number)| {
                let mut entry = Descriptor::new("m", Digest::from_bytes([number; 32]), 1);
                entry.platform = match *text {
                    "" => None,
                    "unknown" => Some(Platform {
                        os: "unknown".into(),
                        architecture: "unknown".into(),
                        ..Platform::default()
                    }),
                    text => Some(text.parse().unwrap()),
                };
                entry
            })
            .collect();
        Index {
            schema_version: 2,
            media_type: String::new(),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        }
    }

    fn chosen(platforms: &[&str], wanted: &str) -> Option<usize> {
        choose(&index(platforms), &wanted.parse().unwrap()).ok()
    }

    #[test]
    fn the_best_fit_wins() {
        assert_eq!(
            chosen(&["linux/arm64", "linux/amd64", "unknown"], "linux/amd64"),
            Some(1)
        );
        assert_eq!(
            chosen(
                &["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"],
                "linux/arm/v7"
            ),
            Some(1)
        );
        assert_eq!(
            chosen(&["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7"),
            Some(1)
        );
        assert_eq!(
            chosen(&["linux/amd64", "linux/amd64"], "linux/amd64"),
            Some(0)
        );
        assert_eq!(chosen(&["windows/amd64"], "linux/amd64"), None);
        assert_eq!(chosen(&[""], "linux/amd64"), Some(0));
        assert_eq!(chosen(&["unknown"], "linux/amd64"), None);
        assert_eq!(chosen(&[], "linux/amd64"), None);
    }

    #[test]
    fn what_there_is_is_told() {
        let index = index(&["linux/arm64", "linux/s390x", "unknown"]);
        let offered = choose(&index, &"linux/amd64".parse().unwrap()).unwrap_err();
        let names: Vec<String> = offered.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["linux/arm64", "linux/s390x"]);
    }
}
