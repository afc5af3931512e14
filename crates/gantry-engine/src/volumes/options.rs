//! The options of the local volume driver: Docker's `type`, `device` and `o`, the arguments of a
//! mount. It is made in the mount namespace of each container that has the volume.

use std::collections::BTreeMap;

use gantry_model::record::VolumeMount;
use gantry_model::{Fault, FaultKind};

/// Options that do not make a mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// An option that the driver does not know.
    #[error("invalid option: {name:?}")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// An option that is needed with the others.
    #[error("missing required option: {name:?}")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A limit that the driver does not keep.
    #[error("quota size requested but no quota support")]
    Size,
    /// A file system that would not be the same one in two containers.
    #[error("a volume of type {kind:?} is not supported: {reason}")]
    Kind {
        /// The type.
        kind: String,
        /// Why not.
        reason: &'static str,
    },
}

impl Fault for OptionsError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Size | Self::Kind { .. } => FaultKind::Unsupported,
            _ => FaultKind::Invalid,
        }
    }
}

/// What the options mount; `None` without options.
pub(super) fn mount(
    options: &BTreeMap<String, String>,
) -> Result<Option<VolumeMount>, OptionsError> {
    if options.is_empty() {
        return Ok(None);
    }
    for name in options.keys() {
        match name.to_ascii_lowercase().as_str() {
            "type" | "device" | "o" => {}
            "size" => return Err(OptionsError::Size),
            _ => {
                let name = name.chars().take(100).collect();
                return Err(OptionsError::Unknown { name });
            }
        }
    }
    let value = |wanted: &str| {
        options
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    let words: Vec<String> = value("o")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let device = value("device").ok_or(OptionsError::Missing { name: "device" })?;
    let kind = value("type").ok_or(OptionsError::Missing { name: "type" })?;
    let bind = words.iter().any(|word| word == "bind" || word == "rbind");
    let refused = |reason| {
        Err(OptionsError::Kind {
            kind: kind.chars().take(100).collect(),
            reason,
        })
    };
    if !bind && matches!(kind.as_str(), "tmpfs" | "ramfs") {
        return refused(
            "its content would be another in each container, use --tmpfs or --mount type=tmpfs",
        );
    }
    if !device.starts_with('/') {
        return refused(
            "its device is no path of this host, and network file systems are mounted on the host first",
        );
    }
    Ok(Some(VolumeMount {
        kind: if bind { "none".to_owned() } else { kind },
        device,
        options: words,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<Option<VolumeMount>, String> {
        let options = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        mount(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_the_arguments_of_a_mount() {
        assert_eq!(read(&[]), Ok(None));
        let bind = read(&[("type", "none"), ("o", "bind,ro"), ("device", "/srv")]);
        let bind = bind.unwrap().unwrap();
        assert_eq!((bind.kind.as_str(), bind.device.as_str()), ("none", "/srv"));
        assert_eq!(bind.options, ["bind", "ro"]);
        let disk = read(&[("type", "ext4"), ("device", "/dev/sdb")]).unwrap();
        assert_eq!(disk.unwrap().kind, "ext4");
    }

    #[test]
    fn what_makes_no_mount_is_refused() {
        for (options, want) in [
            (&[("foo", "bar")][..], "invalid option: \"foo\""),
            (&[("type", "ext4")], "missing required option: \"device\""),
            (&[("device", "/x")], "missing required option: \"type\""),
            (&[("size", "1g")], "quota size requested"),
            (
                &[("type", "tmpfs"), ("device", "tmpfs")],
                "a volume of type \"tmpfs\" is not supported",
            ),
            (
                &[("type", "nfs"), ("device", ":/export")],
                "a volume of type \"nfs\" is not supported",
            ),
        ] {
            let error = read(options).unwrap_err();
            assert!(error.starts_with(want), "{error}");
        }
    }
}
