//! Changing what a container may use.

use std::path::Path;

use gantry_runtime::Status;
use oci_spec::runtime::LinuxResources;
use serde_json::Value;

use crate::bundle::{parse, read_document};
use crate::error::OciError;
use crate::pause::cgroup;
use crate::root::Root;

/// Reads resources from a file, or from the standard input when it is `-`.
pub fn read_resources(path: &Path) -> Result<LinuxResources, OciError> {
    read_document(path)
}

/// Applies resources to the cgroup of a container; what they do not name stays as it is.
pub fn update(root: &Root, id: &str, resources: &LinuxResources) -> Result<(), OciError> {
    let container = root.take(id)?;
    if container.status() == Status::Stopped {
        return Err(OciError::NotRunning {
            id: id.to_owned(),
            action: "update",
        });
    }
    gantry_runtime::update(cgroup(&container, "update")?, resources)?;
    let mut spec = container.spec()?;
    if let Some(linux) = spec.linux_mut() {
        let known = linux.resources().clone().unwrap_or_default();
        linux.set_resources(Some(merged(&known, resources)?));
    }
    container.keep_spec(&spec)
}

/// The known resources with the new ones over them, field by field.
fn merged(known: &LinuxResources, new: &LinuxResources) -> Result<LinuxResources, OciError> {
    let document = |resources| {
        serde_json::to_value(resources).map_err(|error| OciError::Document {
            path: "resources".into(),
            field: "linux.resources".to_owned(),
            reason: error.to_string(),
        })
    };
    let mut whole = document(known)?;
    overlay(&mut whole, document(new)?);
    parse(Path::new("resources"), whole.to_string().as_bytes())
}

fn overlay(known: &mut Value, new: Value) {
    match (known, new) {
        (Value::Object(known), Value::Object(new)) => {
            for (key, value) in new {
                overlay(known.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (known, new) => *known = new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_values_lie_over_known_ones() {
        let read = |text: &str| serde_json::from_str::<LinuxResources>(text).unwrap();
        let known = read(r#"{"memory":{"limit":1,"swap":2},"pids":{"limit":3}}"#);
        let new = read(r#"{"memory":{"limit":5}}"#);
        let want = read(r#"{"memory":{"limit":5,"swap":2},"pids":{"limit":3}}"#);
        assert_eq!(merged(&known, &new).unwrap(), want);
    }
}
