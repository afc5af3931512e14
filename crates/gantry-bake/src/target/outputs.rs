//! `--push` and `--load`: they add an output, or turn on what an output has.

use std::collections::BTreeMap;

use super::Output;

/// With pushing turned on or off.
pub(super) fn with_push(mut outputs: Vec<Output>, push: bool) -> Vec<Output> {
    if !push {
        outputs.retain(|output| output.kind != "registry");
    }
    for output in outputs.iter_mut().filter(|output| output.kind == "image") {
        output
            .attributes
            .insert("push".to_owned(), push.to_string());
    }
    // Something else than an image in the local store is wanted where another output is named.
    if push && outputs.iter().all(|output| output.kind == "docker") {
        outputs.push(Output {
            kind: "image".to_owned(),
            attributes: BTreeMap::from([("push".to_owned(), "true".to_owned())]),
            destination: None,
        });
    }
    outputs
}

/// With the image in the local store too, where all outputs are images.
pub(super) fn with_load(mut outputs: Vec<Output>, load: bool) -> Vec<Output> {
    let is_image = |output: &Output| {
        matches!(output.kind.as_str(), "image" | "registry" | "oci")
            || output.kind == "docker" && output.destination.is_some()
    };
    if load && outputs.iter().all(is_image) {
        outputs.push(Output {
            kind: "docker".to_owned(),
            attributes: BTreeMap::new(),
            destination: None,
        });
    }
    outputs
}
