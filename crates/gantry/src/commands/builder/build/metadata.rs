//! `--metadata-file`: what was made, under buildx's keys.

use serde_json::{Map, Value, json};

use super::deliver::Delivered;

/// The text of the file.
pub(super) fn text(delivered: &Delivered) -> String {
    format!("{:#}", document(delivered))
}

/// What is said of one target.
pub(in crate::commands::builder) fn document(delivered: &Delivered) -> Value {
    let mut all = Map::new();
    if let Some(id) = delivered.config {
        all.insert("containerimage.config.digest".into(), json!(id));
    }
    if let Some(top) = &delivered.top {
        all.insert("containerimage.descriptor".into(), json!(top));
    }
    let digest = delivered.top.as_ref().map(|top| top.digest);
    if let Some(digest) = digest.or(delivered.id) {
        all.insert("containerimage.digest".into(), json!(digest));
    }
    if !delivered.names.is_empty() {
        let names: Vec<String> = delivered.names.iter().map(ToString::to_string).collect();
        all.insert("image.name".into(), json!(names.join(",")));
    }
    Value::Object(all)
}
