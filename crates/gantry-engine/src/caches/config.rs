//! The document of a cache.

use std::collections::HashMap;

use gantry_model::{Digest, StepLink, StepRecord};
use serde::{Deserialize, Serialize};

use super::CacheStep;

/// Its media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";
/// The field of an image's configuration that has records within (base64 of JSON).
pub(crate) const INLINE: &str = "moby.buildkit.cache.v0";
/// The annotation of a layer that says what it is when it is unpacked.
pub(super) const DIFF_ID: &str = "containerd.io/uncompressed";
/// Most bytes of a document that are read.
pub(super) const LIMIT: u64 = 32 << 20;

/// Layers, and the steps that made them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CacheConfig {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) layers: Vec<CacheLayer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) records: Vec<CacheRecord>,
}

/// A layer on top of another of the list.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CacheLayer {
    pub(super) blob: Digest,
    /// Number of the layer below; -1 for none. Left out for the first of the list.
    #[serde(default, skip_serializing_if = "is_first")]
    pub(super) parent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<LayerFacts>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LayerFacts {
    #[serde(default)]
    pub(super) media_type: String,
    #[serde(rename = "diffID", default, skip_serializing_if = "Option::is_none")]
    pub(super) diff_id: Option<Digest>,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) created_at: String,
}

/// A step. BuildKit's steps have inputs, which lead to other records; Gantry's keys are complete
/// in themselves.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CacheRecord {
    /// Its results.
    #[serde(rename = "layers", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) results: Vec<CacheResult>,
    /// Results whose layers do not stand on each other in the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) chains: Vec<ChainedResult>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) digest: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) inputs: Vec<Vec<CacheInput>>,
}

/// A record that an input of a step may be.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CacheInput {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) selector: String,
    #[serde(default)]
    pub(super) link: usize,
}

/// A result by all of its layers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChainedResult {
    /// Numbers of its layers, base first.
    #[serde(default)]
    pub(super) layers: Vec<usize>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) created_at: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CacheResult {
    /// Number of the topmost layer.
    #[serde(default)]
    pub(super) layer: usize,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) created_at: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_first(parent: &i64) -> bool {
    *parent == 0
}

/// The digest under which a key stands in a record.
pub(super) fn digest_of(key: &[u8; 32]) -> String {
    Digest::from_bytes(*key).to_string()
}

/// The record of a step whose topmost layer is this one of the list.
pub(super) fn record(step: &CacheStep, layer: usize) -> CacheRecord {
    CacheRecord {
        results: vec![CacheResult {
            layer,
            created_at: step.created.clone(),
        }],
        digest: digest_of(&step.key),
        ..CacheRecord::default()
    }
}

/// A record of BuildKit's, behind `before` others; `top` is where the layers of what it made end.
pub(super) fn named(record: &StepRecord, top: Option<usize>, before: usize) -> CacheRecord {
    let made = record.made.as_ref().zip(top);
    let link = |link: &StepLink| CacheInput {
        selector: link
            .selector
            .map(|part| part.to_string())
            .unwrap_or_default(),
        link: before + link.record,
    };
    CacheRecord {
        results: made
            .map(|(made, layer)| CacheResult {
                layer,
                created_at: made.created.clone(),
            })
            .into_iter()
            .collect(),
        digest: record.digest.to_string(),
        inputs: (record.inputs.iter())
            .map(|links| links.iter().map(link).collect())
            .collect(),
        ..CacheRecord::default()
    }
}

impl CacheConfig {
    /// The document of these steps, whose layers left as `facts` say. Layers come in the order of
    /// the steps, each once on what is below it; the same steps give the same document.
    pub(super) fn new(
        steps: &[CacheStep],
        records: &[StepRecord],
        facts: &HashMap<Digest, (Digest, LayerFacts)>,
    ) -> Self {
        let mut config = Self::default();
        let mut known: HashMap<(i64, Digest), usize> = HashMap::new();
        let mut top = |config: &mut Self, layers: &[Digest]| {
            let mut parent = -1;
            for diff_id in layers {
                let (blob, of_layer) = facts.get(diff_id)?;
                let next = config.layers.len();
                let number = *known.entry((parent, *diff_id)).or_insert(next);
                if number == next {
                    config.layers.push(CacheLayer {
                        blob: *blob,
                        parent,
                        annotations: Some(of_layer.clone()),
                    });
                }
                parent = i64::try_from(number).unwrap_or(i64::MAX);
            }
            usize::try_from(parent).ok()
        };
        for step in steps {
            if let Some(top) = top(&mut config, &step.layers) {
                config.records.push(record(step, top));
            }
        }
        let before = config.records.len();
        for record in records {
            let made = record.made.as_ref();
            let top = made.and_then(|made| top(&mut config, &made.layers));
            config.records.push(named(record, top, before));
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use gantry_model::StepResult;

    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    #[test]
    fn layers_are_listed_once_on_what_is_below_them() {
        let step = |key, layers: &[u8]| CacheStep {
            key: [key; 32],
            layers: layers.iter().map(|byte| digest(*byte)).collect(),
            created: "2024-01-01T00:00:00Z".to_owned(),
        };
        let facts = [1, 2, 3].map(|byte| {
            let facts = LayerFacts {
                media_type: "m".to_owned(),
                diff_id: Some(digest(byte)),
                size: 7,
                created_at: String::new(),
            };
            (digest(byte), (digest(byte + 100), facts))
        });
        let steps = [step(9, &[1, 2]), step(8, &[1, 2, 3]), step(7, &[3])];
        let named = StepRecord {
            digest: digest(6),
            inputs: vec![vec![StepLink {
                record: 0,
                selector: None,
            }]],
            made: Some(StepResult {
                layers: vec![digest(1), digest(2)],
                created: String::new(),
            }),
        };
        let content = StepRecord {
            digest: digest(5),
            inputs: Vec::new(),
            made: None,
        };
        let config = CacheConfig::new(&steps, &[content, named], &facts.into());
        let parents: Vec<i64> = config.layers.iter().map(|layer| layer.parent).collect();
        assert_eq!(parents, [-1, 0, 1, -1]);
        let tops = config
            .records
            .iter()
            .map(|r| Some(r.results.first()?.layer));
        let tops: Vec<Option<usize>> = tops.collect();
        assert_eq!(tops, [Some(1), Some(2), Some(3), None, Some(1)]);
        assert_eq!(config.records[4].inputs[0][0].link, 3);
        let text = serde_json::to_string(&config).unwrap();
        assert!(
            text.contains(r#""annotations":{"mediaType":"m","diffID":"sha256:0101"#),
            "{text}"
        );
        assert!(
            text.contains(r#""records":[{"layers":[{"layer":1,"createdAt":"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<CacheConfig>(&text).unwrap(), config);
    }

    #[test]
    fn buildkits_documents_are_read() {
        let text = format!(
            r#"{{"layers":[{{"blob":"{0}","parent":-1,"annotations":{{"mediaType":"x","diffID":"{0}",
            "size":5,"createdAt":"2024-01-01T00:00:00Z"}}}},{{"blob":"{0}"}}],"records":[
            {{"digest":"{0}"}},{{"layers":[{{"layer":1}}],"digest":"{0};key",
            "inputs":[[{{"link":0}}],[{{"selector":"s","link":0}}]]}},{{"chains":[{{"layers":[0]}}],"digest":"{0}"}}]}}"#,
            digest(1)
        );
        let config: CacheConfig = serde_json::from_str(&text).unwrap();
        assert_eq!(config.layers[1].parent, 0);
        assert_eq!(config.records[1].inputs.len(), 2);
        assert_eq!(config.records[1].inputs[1][0].selector, "s");
        assert_eq!(config.records[2].chains[0].layers, [0]);
    }
}
