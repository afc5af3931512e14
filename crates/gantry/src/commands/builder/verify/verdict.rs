//! What the comparison of an image with its rebuild comes to.

use gantry_build::{BuiltImage, CachedStep};
use gantry_engine::images::compare::{
    Aspect, Comparison, FieldDifference, FileDifference, LayerDifference,
};
use gantry_model::{Digest, Platform};

/// An image and its rebuild.
#[derive(Debug)]
pub(super) struct Verdict {
    /// The image as it was asked for.
    pub(super) name: String,
    pub(super) id: Digest,
    /// The id of the rebuild.
    pub(super) rebuilt: Digest,
    pub(super) platform: Platform,
    /// How many layers are those of the base image.
    pub(super) base_layers: usize,
    /// What made each layer of the rebuild.
    pub(super) steps: Vec<String>,
    pub(super) comparison: Comparison,
    /// `SOURCE_DATE_EPOCH`
    pub(super) epoch: Option<i64>,
    pub(super) has_provenance: bool,
    /// Whether times count that the configuration has.
    pub(super) fields_have_times: bool,
    /// Whether times of files count.
    pub(super) files_have_times: bool,
}

impl Verdict {
    /// Whether the rebuild is the image to the byte.
    pub(super) fn is_identical(&self) -> bool {
        self.id == self.rebuilt
    }

    /// Whether nothing differs that counts.
    pub(super) fn is_verified(&self) -> bool {
        self.fields().next().is_none() && self.layers().next().is_none()
    }

    /// The fields that differ and count.
    pub(super) fn fields(&self) -> impl Iterator<Item = &FieldDifference> {
        let all = self.comparison.fields.iter();
        all.filter(|field| self.fields_have_times || !field.is_time)
    }

    /// The layers that differ in what counts. How an archive is written does not.
    pub(super) fn layers(&self) -> impl Iterator<Item = &LayerDifference> {
        let all = self.comparison.layers.iter();
        all.filter(|layer| {
            let missing = layer.first.is_none() || layer.second.is_none();
            missing || layer.changed > 0 || (self.files_have_times && layer.retimed > 0)
        })
    }

    /// The files of a layer that differ in what counts.
    pub(super) fn files<'l>(
        &self,
        layer: &'l LayerDifference,
    ) -> impl Iterator<Item = &'l FileDifference> {
        let times = self.files_have_times;
        layer
            .files
            .iter()
            .filter(move |file| times || !file.is_time())
    }

    /// How many files of a layer differ in what counts.
    pub(super) fn count(&self, layer: &LayerDifference) -> u64 {
        match self.files_have_times {
            true => layer.changed + layer.retimed,
            false => layer.changed,
        }
    }

    /// How many times differ that do not count.
    pub(super) fn passed_over(&self) -> u64 {
        let fields = match self.fields_have_times {
            true => 0,
            false => self.comparison.fields.iter().filter(|f| f.is_time).count() as u64,
        };
        let files: u64 = match self.files_have_times {
            true => 0,
            false => self
                .comparison
                .layers
                .iter()
                .map(|layer| layer.retimed)
                .sum(),
        };
        fields + files
    }

    /// What made a layer.
    pub(super) fn step(&self, layer: usize) -> &str {
        let unknown = match layer < self.base_layers {
            true => "the base image",
            false => "no step of the rebuild",
        };
        self.steps.get(layer).map_or(unknown, String::as_str)
    }

    /// The first difference that counts, in a sentence: what differs in more than its time first.
    pub(super) fn first(&self) -> Option<String> {
        let field = self.fields().min_by_key(|field| field.is_time);
        if let Some(field) = field.filter(|field| !field.is_time) {
            return Some(told(field));
        }
        let mut layers: Vec<&LayerDifference> = self.layers().collect();
        layers.sort_by_key(|layer| {
            layer.changed == 0 && layer.first.is_some() == layer.second.is_some()
        });
        if let Some(layer) = layers.first() {
            let step = self.step(layer.layer);
            let number = layer.layer + 1;
            return Some(match (layer.first, layer.second) {
                (Some(_), None) => format!(
                    "the image has a layer {number} and its rebuild has not, only {}",
                    self.steps.len()
                ),
                (None, Some(_)) => {
                    format!("the rebuild has a layer {number} by {step}, the image has not")
                }
                _ => match self.files(layer).next() {
                    Some(file) => format!("layer {number}, made by {step}: {}", sentence(file)),
                    None => format!("layer {number}, made by {step}, differs"),
                },
            });
        }
        field.map(told)
    }
}

fn told(field: &FieldDifference) -> String {
    format!(
        "the configuration has {} for {} in the image and {} in its rebuild",
        field.first, field.field, field.second
    )
}

/// What differs first of a file, in a sentence.
fn sentence(file: &FileDifference) -> String {
    let path = &file.path;
    let Some(aspect) = file.aspects.first() else {
        return format!("{path} differs");
    };
    match (&*aspect.name, aspect.offset) {
        ("presence", _) => match &*aspect.first {
            "there" => format!("{path} is in the image and not in its rebuild"),
            _ => format!("{path} is in the rebuild and not in the image"),
        },
        ("content", Some(offset)) => format!(
            "the content of {path} differs from byte {offset} on ({} in the image, {} in its rebuild)",
            aspect.first, aspect.second
        ),
        (name, _) => format!(
            "the {name} of {path} is {} in the image and {} in its rebuild",
            aspect.first, aspect.second
        ),
    }
}

/// An aspect in a few words: `mode 0644 → 0600`.
pub(super) fn short(aspect: &Aspect) -> String {
    let Aspect {
        name,
        first,
        second,
        offset,
    } = aspect;
    match (&**name, offset) {
        ("presence", _) if first == "there" => "only in the image".to_owned(),
        ("presence", _) => "only in the rebuild".to_owned(),
        ("content", Some(offset)) if first == second => {
            format!("content from byte {offset} on ({first})")
        }
        ("content", Some(offset)) => format!("content from byte {offset} on ({first} → {second})"),
        _ => format!("{name} {first} → {second}"),
    }
}

/// What made each layer of an image that was built.
pub(super) fn steps(image: &BuiltImage, steps: &[CachedStep]) -> Vec<String> {
    let layers = image.layers();
    let mut filled = image
        .config
        .history
        .iter()
        .filter(|entry| !entry.empty_layer);
    let made = |number: usize| {
        let entry = filled.next();
        if number < image.base_layers {
            return "the base image".to_owned();
        }
        let step = steps.iter().find(|step| step.layers == layers[..=number]);
        let by_history = || entry.map(|entry| entry.created_by.clone());
        step.map(|step| step.name.clone())
            .or_else(by_history)
            .unwrap_or_default()
    };
    (0..layers.len()).map(made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn aspect(name: &str, offset: Option<u64>) -> Aspect {
        Aspect {
            name: name.to_owned(),
            first: "1".to_owned(),
            second: "2".to_owned(),
            offset,
        }
    }

    fn verdict(fields: &[(&str, bool)], files: &[&[Aspect]], times: bool) -> Verdict {
        let digest = |byte| Digest::from_bytes([byte; 32]);
        let files: Vec<FileDifference> = files
            .iter()
            .map(|aspects| FileDifference {
                path: "/f".to_owned(),
                aspects: aspects.to_vec(),
            })
            .collect();
        let retimed = files.iter().filter(|file| file.is_time()).count() as u64;
        Verdict {
            name: "i".to_owned(),
            id: digest(1),
            rebuilt: digest(2),
            platform: Platform::host(),
            base_layers: 1,
            steps: vec!["the base image".to_owned(), "[2/2] RUN date".to_owned()],
            comparison: Comparison {
                fields: fields
                    .iter()
                    .map(|(field, is_time)| FieldDifference {
                        field: (*field).to_owned(),
                        first: json!("a"),
                        second: json!(null),
                        is_time: *is_time,
                    })
                    .collect(),
                layers: vec![LayerDifference {
                    layer: 1,
                    first: Some(digest(3)),
                    second: Some(digest(4)),
                    changed: files.len() as u64 - retimed,
                    retimed,
                    files,
                }],
            },
            epoch: None,
            has_provenance: true,
            fields_have_times: times,
            files_have_times: times,
        }
    }

    #[test]
    fn what_counts_is_told_first() {
        let content = [aspect("content", Some(11)), aspect("mtime", None)];
        let time = [aspect("mtime", None)];
        for (verdict, want) in [
            (verdict(&[("created", true)], &[&time], false), None),
            (verdict(&[], &[], true), None),
            (
                verdict(&[("created", true)], &[&time, &content], false),
                Some(
                    "layer 2, made by [2/2] RUN date: the content of /f differs from byte 11 on (1 \
                     in the image, 2 in its rebuild)",
                ),
            ),
            (
                verdict(&[("created", true)], &[&time], true),
                Some(
                    "layer 2, made by [2/2] RUN date: the mtime of /f is 1 in the image and 2 in \
                     its rebuild",
                ),
            ),
            (
                verdict(
                    &[("created", true), ("config.User", false)],
                    &[&content],
                    true,
                ),
                Some(
                    "the configuration has \"a\" for config.User in the image and null in its rebuild",
                ),
            ),
            (
                verdict(&[("created", true)], &[], true),
                Some(
                    "the configuration has \"a\" for created in the image and null in its rebuild",
                ),
            ),
        ] {
            let first = verdict.first();
            assert!(first.is_none() || !verdict.is_verified());
            // Of what is listed, too, the first is the first that differs in more than its time.
            match want {
                None => assert!(verdict.is_verified()),
                Some(want) if want.contains("content") => {
                    assert_eq!(verdict.count(&verdict.comparison.layers[0]), 1);
                    assert_eq!(first.as_deref(), Some(want));
                }
                Some(_) => assert_eq!(first.as_deref(), want),
            }
        }
        assert_eq!(
            verdict(&[("created", true)], &[&time], false).passed_over(),
            2
        );
    }
}
