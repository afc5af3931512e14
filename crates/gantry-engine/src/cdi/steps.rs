//! Devices for the steps of a build, which name them more freely than containers do.

use std::path::PathBuf;

use oci_spec::runtime::Spec;

use super::{CdiError, Registry, apply, is_kind, is_plain, origins};
use crate::containers::{Origin, show_devices};

/// The annotation by which several devices of a kind have one more name.
const CLASS: &str = "org.mobyproject.buildkit.device.class";
/// The annotation of devices that every build may have.
const FREE: &str = "org.mobyproject.buildkit.device.autoallow";

/// The devices of the machine for the steps of a build.
#[derive(Debug, Clone)]
pub struct StepDevices {
    folders: Vec<PathBuf>,
}

impl StepDevices {
    /// Those that the specifications in these folders describe; in the standard ones where there
    /// are none.
    pub(crate) fn of(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// The whole names that a name stands for: `KIND` for the first device of a kind, `KIND=*` for
    /// all of them, `KIND=NAME` for one or, where none has that name, for those of that class. None
    /// where there is none.
    ///
    /// # Errors
    /// [`CdiError::Value`] for what is no name, and those of specifications that cannot be read.
    pub fn find(&self, name: &str) -> Result<Vec<String>, CdiError> {
        let (kind, device) = name.split_once('=').unwrap_or((name, ""));
        if !is_kind(kind) || !(matches!(device, "" | "*") || is_plain(device, b"_-.:")) {
            return Err(CdiError::Value {
                field: "device",
                value: name.chars().take(200).collect(),
            });
        }
        let registry = Registry::read(&self.folders)?;
        Ok(registry.named(kind, device))
    }

    /// Whether its specification lets every build have a device.
    ///
    /// # Errors
    /// Those of specifications that cannot be read.
    pub fn is_free(&self, device: &str) -> Result<bool, CdiError> {
        let registry = Registry::read(&self.folders)?;
        let value = registry.annotation(device, FREE);
        Ok(value.is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "True" | "TRUE")))
    }

    /// Makes in a document the changes of these devices, by their whole names.
    ///
    /// # Errors
    /// [`CdiError`].
    pub fn add(&self, devices: &[String], document: &mut Spec) -> Result<(), CdiError> {
        let registry = Registry::read(&self.folders)?;
        let edits = registry.resolve(devices)?;
        apply(document, &edits)?;
        if !gantry_sys::process::is_in_initial_user_namespace() {
            let origin = |(host, container)| Origin { host, container };
            show_devices(document, &origins(&edits).map(origin).collect::<Vec<_>>());
        }
        Ok(())
    }
}

impl Registry {
    fn named(&self, kind: &str, device: &str) -> Vec<String> {
        let prefix = format!("{kind}=");
        let of_kind = || self.devices.keys().filter(|name| name.starts_with(&prefix));
        match device {
            "" => of_kind().take(1).cloned().collect(),
            "*" => of_kind().cloned().collect(),
            _ => {
                let whole = format!("{prefix}{device}");
                if self.devices.contains_key(&whole) {
                    return vec![whole];
                }
                let is_of = |name: &&String| self.annotation(name, CLASS) == Some(device);
                of_kind().filter(is_of).cloned().collect()
            }
        }
    }

    fn annotation(&self, device: &str, name: &str) -> Option<&str> {
        let annotations = &self.devices.get(device)?.annotations;
        annotations.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_devices() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            r#"{{"cdiVersion":"0.6.0","kind":"v.com/c","annotations":{{"{FREE}":"true"}},"devices":[
            {{"name":"b","annotations":{{"{CLASS}":"fast"}},"containerEdits":{{}}}},
            {{"name":"a","annotations":{{"{CLASS}":"fast","{FREE}":"false"}},"containerEdits":{{}}}},
            {{"name":"slow","containerEdits":{{}}}}]}}"#
        );
        std::fs::write(folder.path().join("v.json"), text).unwrap();
        let devices = StepDevices::of(vec![folder.path().to_owned()]);
        for (name, found) in [
            ("v.com/c", &["v.com/c=a"][..]),
            ("v.com/c=*", &["v.com/c=a", "v.com/c=b", "v.com/c=slow"]),
            ("v.com/c=slow", &["v.com/c=slow"]),
            ("v.com/c=fast", &["v.com/c=a", "v.com/c=b"]),
            ("v.com/c=none", &[]),
            ("v.com/other", &[]),
        ] {
            assert_eq!(devices.find(name).unwrap(), found, "{name}");
        }
        for wrong in ["", "x", "v.com/c=a b", "/c=a", "v.com/c=/dev/x"] {
            assert!(devices.find(wrong).is_err(), "{wrong}");
        }
        assert!(devices.is_free("v.com/c=b").unwrap());
        assert!(!devices.is_free("v.com/c=a").unwrap());
        assert!(!devices.is_free("v.com/c=none").unwrap());
    }
}
