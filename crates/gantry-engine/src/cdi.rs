//! Devices by the Container Device Interface: specifications that a vendor's tools write, and
//! what they change in a container (<https://github.com/cncf-tags/container-device-interface>).

mod edit;
mod steps;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gantry_model::{Fault, FaultKind};
use serde::Deserialize;

pub(crate) use edit::{apply, origins};
pub use steps::StepDevices;

/// Where specifications are when nobody says otherwise; what is in a later folder wins.
const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// Most bytes of one specification.
const MAX: u64 = 16 << 20;

/// Why devices cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum CdiError {
    /// Devices that no specification has.
    #[error("CDI device injection failed: unresolvable CDI devices {}", names.join(", "))]
    Unresolvable {
        /// Their names.
        names: Vec<String>,
    },
    /// Devices by what they can do, and nobody has such.
    #[error("could not select device driver {driver:?} with capabilities: [[{capabilities}]]")]
    NoDriver {
        /// The driver asked for.
        driver: String,
        /// What they must be able to do.
        capabilities: String,
    },
    /// A folder or file of specifications.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A specification that is none.
    #[error("{} is no CDI specification: {reason}", path.display())]
    Specification {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A device of the host that cannot be looked at.
    #[error("cannot look at the device {}", path.display())]
    Device {
        /// Its path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A change that cannot be made.
    #[error("CDI: invalid {field}: {value:?}")]
    Value {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
    },
}

impl Fault for CdiError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Read { .. } => FaultKind::Internal,
            _ => FaultKind::Invalid,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoDriver { .. } => vec![
                "GPUs come from specifications in /etc/cdi; NVIDIA's are written by: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
                    .into(),
            ],
            Self::Value {
                field: "device", ..
            } => vec![
                "a device is called vendor.com/class=name, by its specification in /etc/cdi, /var/run/cdi or the folders of cdi-spec-dirs"
                    .into(),
            ],
            _ => Vec::new(),
        }
    }
}

/// One specification: a kind of devices.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Specification {
    kind: String,
    annotations: BTreeMap<String, String>,
    devices: Vec<Named>,
    container_edits: Edits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    name: String,
    annotations: BTreeMap<String, String>,
    container_edits: Edits,
}

/// What a device changes in a container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Edits {
    env: Vec<String>,
    device_nodes: Vec<DeviceNode>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
    #[serde(rename = "additionalGids")]
    additional_gids: Vec<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeviceNode {
    path: String,
    host_path: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    major: Option<i64>,
    minor: Option<i64>,
    file_mode: Option<u32>,
    permissions: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mount {
    host_path: String,
    container_path: String,
    options: Vec<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Hook {
    hook_name: String,
    path: String,
    args: Vec<String>,
    env: Vec<String>,
    timeout: Option<i64>,
}

/// Whether a device is named as CDI does: `vendor.com/class=name`.
pub(crate) fn is_name(text: &str) -> bool {
    text.split_once('=')
        .is_some_and(|(kind, name)| is_kind(kind) && is_plain(name, b"_-.:"))
}

/// Whether a kind of devices is named so: `vendor.com/class`.
fn is_kind(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(vendor, class)| is_plain(vendor, b"_-.") && is_plain(class, b"_-"))
}

/// Letters and digits, and some more behind the first.
fn is_plain(text: &str, more: &[u8]) -> bool {
    text.bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
}

/// Every device that specifications describe, by its whole name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    devices: BTreeMap<String, Known>,
}

/// A device.
#[derive(Debug)]
struct Known {
    /// What its whole kind changes.
    of_kind: Edits,
    own: Edits,
    /// Those of its kind, and its own on top.
    annotations: BTreeMap<String, String>,
}

impl Registry {
    /// Reads the folders; one that is not there is empty.
    pub(crate) fn read(folders: &[PathBuf]) -> Result<Self, CdiError> {
        let standard: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
        let folders = if folders.is_empty() {
            &standard
        } else {
            folders
        };
        let mut registry = Self::default();
        for folder in folders {
            for path in specifications(folder)? {
                let text = crate::containers::read_limited(&path, MAX).map_err(|source| {
                    CdiError::Read {
                        path: path.clone(),
                        source,
                    }
                })?;
                registry.add(parse(&path, &text)?);
            }
        }
        Ok(registry)
    }

    fn add(&mut self, specification: Specification) {
        for device in specification.devices {
            let name = format!("{}={}", specification.kind, device.name);
            let mut annotations = specification.annotations.clone();
            annotations.extend(device.annotations);
            let known = Known {
                of_kind: specification.container_edits.clone(),
                own: device.container_edits,
                annotations,
            };
            self.devices.insert(name, known);
        }
    }

    /// What these devices change, in order; what is of a whole kind once.
    pub(crate) fn resolve(&self, names: &[String]) -> Result<Vec<&Edits>, CdiError> {
        let unknown = |name: &&String| !self.devices.contains_key(*name);
        let missing: Vec<String> = names.iter().filter(unknown).cloned().collect();
        if !missing.is_empty() {
            return Err(CdiError::Unresolvable { names: missing });
        }
        let mut all = Vec::new();
        for known in names.iter().filter_map(|name| self.devices.get(name)) {
            for edits in [&known.of_kind, &known.own] {
                if *edits != Edits::default() && !all.contains(&edits) {
                    all.push(edits);
                }
            }
        }
        Ok(all)
    }

    /// The devices that a request for GPUs comes to.
    pub(crate) fn gpus(
        &self,
        request: &gantry_model::container::DeviceRequest,
    ) -> Result<Vec<String>, CdiError> {
        let none = || CdiError::NoDriver {
            driver: request.driver.clone(),
            capabilities: request.capabilities.concat().join(" "),
        };
        let kinds: &[&str] = match request.driver.as_str() {
            "" | "cdi" => &["nvidia.com/gpu", "amd.com/gpu"],
            "nvidia" => &["nvidia.com/gpu"],
            "amd" => &["amd.com/gpu"],
            _ => return Err(none()),
        };
        let has = |kind: &&&str| {
            let prefix = format!("{kind}=");
            self.devices.keys().any(|name| name.starts_with(&prefix))
        };
        let kind = kinds.iter().find(has).ok_or_else(none)?;
        let names: Vec<String> = if !request.device_ids.is_empty() {
            request.device_ids.clone()
        } else if request.count < 0 {
            vec!["all".to_owned()]
        } else {
            (0..request.count)
                .map(|number| number.to_string())
                .collect()
        };
        let whole = |name: &String| match is_name(name) {
            true => name.clone(),
            false => format!("{kind}={name}"),
        };
        Ok(names.iter().map(whole).collect())
    }
}

/// The files of a folder that may be specifications, by name.
fn specifications(folder: &Path) -> Result<Vec<PathBuf>, CdiError> {
    let failed = |source| CdiError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let kind = path.extension().and_then(|extension| extension.to_str());
        if matches!(kind, Some("json" | "yaml" | "yml")) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn parse(path: &Path, text: &[u8]) -> Result<Specification, CdiError> {
    let bad = |reason: String| CdiError::Specification {
        path: path.to_owned(),
        reason,
    };
    let specification: Specification = if path.extension().is_some_and(|kind| kind == "json") {
        serde_json::from_slice(text).map_err(|error| bad(error.to_string()))?
    } else {
        let text = std::str::from_utf8(text).map_err(|error| bad(error.to_string()))?;
        serde_saphyr::from_str(text).map_err(|error| bad(error.to_string()))?
    };
    if !is_kind(&specification.kind) {
        return Err(bad(format!("invalid kind {:?}", specification.kind)));
    }
    Ok(specification)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::container::DeviceRequest;

    const YAML: &str = "cdiVersion: 0.6.0\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  \
        containerEdits:\n    deviceNodes:\n    - path: /dev/null\n- name: all\n  \
        containerEdits:\n    env: [GPU=all]\ncontainerEdits:\n  env:\n  - KIND=1\n";

    fn registry() -> Registry {
        let mut registry = Registry::default();
        registry.add(parse(Path::new("a.yaml"), YAML.as_bytes()).unwrap());
        registry
    }

    #[test]
    fn names_are_told_from_paths() {
        for name in ["vendor.com/class=name", "nvidia.com/gpu=0", "a/b=c:d"] {
            assert!(is_name(name), "{name}");
        }
        for path in [
            "/dev/x",
            "/dev/a=b",
            "vendor.com/class",
            "x=y",
            "v/c=",
            "v/c=a b",
        ] {
            assert!(!is_name(path), "{path}");
        }
    }

    #[test]
    fn both_spellings_are_read() {
        let json = r#"{"cdiVersion":"0.6.0","kind":"v.com/c","devices":[{"name":"d",
            "containerEdits":{"mounts":[{"hostPath":"/a","containerPath":"/b"}]}}]}"#;
        assert_eq!(
            parse(Path::new("x.json"), json.as_bytes())
                .unwrap()
                .devices
                .len(),
            1
        );
        assert_eq!(
            parse(Path::new("x.yaml"), YAML.as_bytes())
                .unwrap()
                .devices
                .len(),
            2
        );
        for (path, text) in [
            ("x.json", "{"),
            ("x.yaml", "kind: [nonsense"),
            ("x.yaml", "kind: x"),
        ] {
            assert!(parse(Path::new(path), text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn devices_resolve_with_their_kind_once() {
        let registry = registry();
        let names = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let both = names(&["nvidia.com/gpu=0", "nvidia.com/gpu=all"]);
        assert_eq!(registry.resolve(&both).unwrap().len(), 3);
        assert_eq!(
            registry
                .resolve(&names(&["x/y=z"]))
                .unwrap_err()
                .to_string(),
            "CDI device injection failed: unresolvable CDI devices x/y=z"
        );
    }

    #[test]
    fn gpus_become_names() {
        let request = |count: i64, ids: &[&str], driver: &str| DeviceRequest {
            driver: driver.into(),
            count,
            device_ids: ids.iter().map(ToString::to_string).collect(),
            capabilities: vec![vec!["gpu".into()]],
            ..DeviceRequest::default()
        };
        let registry = registry();
        assert_eq!(
            registry.gpus(&request(-1, &[], "")).unwrap(),
            ["nvidia.com/gpu=all"]
        );
        assert_eq!(
            registry.gpus(&request(2, &[], "nvidia")).unwrap(),
            ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]
        );
        assert_eq!(
            registry.gpus(&request(0, &["7"], "")).unwrap(),
            ["nvidia.com/gpu=7"]
        );
        assert_eq!(
            Registry::default()
                .gpus(&request(-1, &[], ""))
                .unwrap_err()
                .to_string(),
            "could not select device driver \"\" with capabilities: [[gpu]]"
        );
    }
}
