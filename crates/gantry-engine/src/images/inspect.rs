//! All there is to know of an image, in the shape of `docker image inspect`.

use std::collections::BTreeMap;

use gantry_model::image::{ImageConfig, ProcessConfig};
use gantry_model::{Digest, Platform};
use gantry_store::Image;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{ImageError, Images};

/// The document, its fields in Docker's order and under Docker's names.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(
    missing_docs,
    reason = "the fields are Docker's, and are documented there"
)]
pub struct ImageDocument {
    pub id: Digest,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    pub parent: String,
    pub comment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    pub docker_version: String,
    pub author: String,
    pub architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub os: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    pub size: u64,
    pub graph_driver: GraphDriver,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    pub metadata: Metadata,
    pub config: Map<String, Value>,
}

/// Where the layers are on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(
    missing_docs,
    reason = "the fields are Docker's, and are documented there"
)]
pub struct GraphDriver {
    pub data: BTreeMap<String, String>,
    pub name: String,
}

/// The layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(
    missing_docs,
    reason = "the fields are Docker's, and are documented there"
)]
pub struct RootFs {
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Digest>,
}

/// What the engine knows beside the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(
    missing_docs,
    reason = "the fields are Docker's, and are documented there"
)]
pub struct Metadata {
    pub last_tag_time: String,
}

impl Images<'_> {
    /// Everything about an image; of several platforms that one.
    ///
    /// # Errors
    /// As with [`Images::id_for`].
    pub fn inspect(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<ImageDocument, ImageError> {
        let image = self.resolve_for(name, platform)?;
        let size = self.size(&image)?;
        let layers = self.store()?.layers();
        let mut folders: Vec<String> = image
            .layers
            .iter()
            .rev()
            .flat_map(|diff_id| layers.trees(diff_id).unwrap_or_default().into_iter().rev())
            .map(|tree| tree.display().to_string())
            .collect();
        let mut data = BTreeMap::new();
        if !folders.is_empty() {
            data.insert("UpperDir".to_owned(), folders.remove(0));
        }
        if !folders.is_empty() {
            data.insert("LowerDir".to_owned(), folders.join(":"));
        }
        Ok(document(&image, size, data))
    }
}

fn document(image: &Image, size: u64, data: BTreeMap<String, String>) -> ImageDocument {
    let ImageConfig {
        config,
        architecture,
        os,
        os_version,
        variant,
        author,
        created,
        ..
    } = &image.config;
    let text = |name: &str| {
        image
            .config
            .other
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let comment = match image.config.history.last() {
        Some(last) if text("comment").is_empty() => last.comment.clone(),
        _ => text("comment"),
    };
    let tagged = jiff::Timestamp::from_second(image.stored).unwrap_or_default();
    let digests = image.digests.iter().filter_map(|d| {
        let name = d.repository.parse::<gantry_model::Reference>().ok()?;
        Some(name.with_digest(d.digest).familiar())
    });
    ImageDocument {
        id: image.id,
        repo_tags: image
            .tags
            .iter()
            .map(gantry_model::Reference::familiar)
            .collect(),
        repo_digests: digests.collect(),
        parent: String::new(),
        comment,
        created: created.clone(),
        docker_version: text("docker_version"),
        author: author.clone().unwrap_or_default(),
        architecture: architecture.clone(),
        variant: variant.clone(),
        os: os.clone(),
        os_version: os_version.clone(),
        size,
        graph_driver: GraphDriver {
            data,
            name: "overlay2".to_owned(),
        },
        root_fs: RootFs {
            kind: "layers".to_owned(),
            layers: image.layers.clone(),
        },
        metadata: Metadata {
            last_tag_time: tagged.to_string(),
        },
        config: process_config(config),
    }
}

/// The `Config` object as Docker 28 writes it: the fields which every image has are there even
/// when empty (`null` for lists), the others only when they say something.
pub(crate) fn process_config(config: &ProcessConfig) -> Map<String, Value> {
    // What old engines wrote of the container they committed (`Hostname`, `AttachStdin`, …) is no
    // matter of an image, and Docker shows it no more.
    let own = ProcessConfig {
        other: BTreeMap::new(),
        ..config.clone()
    };
    let written = match serde_json::to_value(own) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let mut out = Map::new();
    for (name, default) in [
        ("Cmd", Value::Null),
        ("Entrypoint", Value::Null),
        ("Env", Value::Null),
        ("Labels", Value::Null),
        ("OnBuild", Value::Null),
        ("User", Value::from("")),
        ("Volumes", Value::Null),
        ("WorkingDir", Value::from("")),
    ] {
        out.insert(name.to_owned(), default);
    }
    out.extend(written);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_dockers() {
        let config: ImageConfig = serde_json::from_str(
            r#"{"architecture":"amd64","os":"linux","created":"2026-01-02T03:04:05Z",
            "config":{"Hostname":"x","Tty":false,"Cmd":["sh"],"ExposedPorts":{"80/tcp":{}}},"comment":"Imported from -",
            "rootfs":{"type":"layers","diff_ids":[]}}"#,
        )
        .unwrap();
        let image = Image {
            id: Digest::from_bytes([1; 32]),
            config,
            layers: vec![Digest::from_bytes([2; 32])],
            tags: vec!["busybox:1".parse().unwrap()],
            digests: Vec::new(),
            indexes: Vec::new(),
            blobs: Vec::new(),
            stored: 0,
        };
        let value = serde_json::to_value(document(&image, 5, BTreeMap::new())).unwrap();
        assert_eq!(value["RepoTags"][0], "busybox:1");
        assert_eq!(value["Comment"], "Imported from -");
        assert_eq!(value["Config"]["Cmd"][0], "sh");
        assert_eq!(value["Config"]["Entrypoint"], Value::Null);
        assert!(value["Config"]["ExposedPorts"]["80/tcp"].is_object());
        assert_eq!(value["RootFS"]["Layers"].as_array().unwrap().len(), 1);
        assert!(value.get("Variant").is_none() && value["Config"].get("Tty").is_none());
    }
}
