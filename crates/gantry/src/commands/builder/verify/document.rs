//! The verdict for programs.

use gantry_engine::images::compare::{FieldDifference, FileDifference, LayerDifference};
use serde_json::{Value, json};

use super::verdict::Verdict;

/// The verdict as JSON, with at most so many files.
pub(super) fn of(verdict: &Verdict, limit: usize) -> Value {
    let mut left = limit;
    let layers = verdict.comparison.layers.iter();
    json!({
        "image": verdict.name,
        "id": verdict.id,
        "rebuilt": verdict.rebuilt,
        "platform": verdict.platform.to_string(),
        "provenance": verdict.has_provenance,
        "sourceDateEpoch": verdict.epoch,
        "verified": verdict.is_verified(),
        "identical": verdict.is_identical(),
        "timesPassedOver": verdict.passed_over(),
        "first": verdict.first(),
        "fields": verdict.comparison.fields.iter().map(field).collect::<Vec<_>>(),
        "layers": layers.map(|one| layer(verdict, one, &mut left)).collect::<Vec<_>>(),
    })
}

fn field(field: &FieldDifference) -> Value {
    json!({
        "field": field.field,
        "image": field.first,
        "rebuilt": field.second,
        "time": field.is_time,
    })
}

fn layer(verdict: &Verdict, layer: &LayerDifference, left: &mut usize) -> Value {
    let files: Vec<Value> = layer.files.iter().take(*left).map(file).collect();
    *left -= files.len();
    json!({
        "layer": layer.layer + 1,
        "step": verdict.step(layer.layer),
        "image": layer.first,
        "rebuilt": layer.second,
        "changed": layer.changed,
        "retimed": layer.retimed,
        "files": files,
    })
}

fn file(file: &FileDifference) -> Value {
    let aspects = file.aspects.iter().map(|aspect| {
        json!({
            "what": aspect.name,
            "image": aspect.first,
            "rebuilt": aspect.second,
            "offset": aspect.offset,
        })
    });
    json!({"path": file.path, "differences": aspects.collect::<Vec<_>>()})
}
