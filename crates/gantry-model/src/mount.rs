//! Mounts as `-v`, `--mount` and `--tmpfs` spell them.

mod fields;

use self::fields::Fields;
pub use self::fields::split_csv;
use crate::id::check_name;
use crate::quantity::parse_bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Absolute path inside the container.
    pub target: String,
    /// What is mounted there.
    pub source: MountSource,
    /// Whether writing is refused.
    pub read_only: bool,
    /// The flag that it was written with.
    #[serde(default)]
    pub flag: MountFlag,
}

/// The flags that ask for mounts; Docker tells of each in another place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountFlag {
    /// `-v`, or no flag but the image.
    #[default]
    Volume,
    /// `--mount`.
    Mount,
    /// `--tmpfs`.
    Tmpfs,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum MountSource {
    /// A file or folder of the host.
    Bind {
        /// Absolute path on the host.
        path: String,
        /// Whether a missing folder is created (`-v` does, `--mount` does not).
        create: bool,
        /// Propagation (`rprivate` by default).
        propagation: Propagation,
        /// Whether mounts below the path are left out.
        non_recursive: bool,
        /// Which mounts below the path are read-only when it is.
        #[serde(default)]
        read_only_below: ReadOnlyBelow,
        /// Whose the files are in the container.
        #[serde(default)]
        owners: MountOwners,
    },
    /// A named volume, or an anonymous one.
    Volume {
        /// Name; `None` for an anonymous volume.
        name: Option<String>,
        /// Whether the content of the image below the target is not copied in.
        no_copy: bool,
        /// Labels for a volume that is created by this mount.
        labels: BTreeMap<String, String>,
        /// Driver of such a volume; empty for the local one.
        #[serde(default)]
        driver: String,
        /// Options of the driver.
        #[serde(default)]
        options: BTreeMap<String, String>,
        /// The folder or file of the volume that is shown instead of all of it; relative.
        #[serde(default)]
        subpath: Option<String>,
    },
    /// The files of an image, read-only.
    Image {
        /// The image as written.
        image: String,
        /// The folder or file of it that is shown instead of all of it; relative.
        subpath: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// Size in bytes.
        size: Option<u64>,
        /// Permission bits.
        mode: Option<u32>,
        /// Further options of `--tmpfs` (`exec`, `uid=…`), as written.
        options: Vec<String>,
    },
}

/// Whose the files of a bind mount are in the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountOwners {
    /// The host's users'.
    #[default]
    Host,
    /// What belongs to the owner of the source belongs to the container's user, and the other way
    /// round (`map=me`).
    Me,
    /// The container's users', by number (`idmap`).
    Container,
}

impl MountOwners {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "map=me" => Some(Self::Me),
            "idmap" => Some(Self::Container),
            _ => None,
        }
    }
}

/// What becomes of the mounts below a read-only bind mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadOnlyBelow {
    /// They are read-only too.
    #[default]
    Enabled,
    /// They stay as they are.
    Writable,
    /// They must be read-only too.
    Required,
}

/// How mounts propagate between host and container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Not at all.
    Private,
    /// Not at all, recursively.
    #[default]
    Rprivate,
    /// Both ways.
    Shared,
    /// Both ways, recursively.
    Rshared,
    /// From the host only.
    Slave,
    /// From the host only, recursively.
    Rslave,
}

/// A text that is no mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// `-v` has too few or too many parts.
    #[error("invalid volume specification: {0:?}")]
    Format(String),
    /// The target is no absolute path, or the root.
    #[error("invalid mount path: {0:?}, it must be absolute and not '/'")]
    Target(String),
    /// The source is no absolute path where one is needed.
    #[error("invalid mount source: {0:?}, a bind mount needs an absolute path")]
    Source(String),
    /// The name of the volume has characters that are not allowed.
    #[error(
        "{0:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, \
         use absolute path"
    )]
    VolumeName(String),
    /// An option that is not known.
    #[error("invalid mode: {0}")]
    Option(String),
    /// A field of `--mount` that is not known.
    #[error("unexpected key '{key}' in '{field}'")]
    Key {
        /// The key.
        key: String,
        /// The field.
        field: String,
    },
    /// A field of `--mount` that has no value.
    #[error("invalid field '{0}' must be a key=value pair")]
    NoValue(String),
    /// A field of `--mount` that belongs to another type.
    #[error("cannot mix '{owner}-*' options with mount type '{kind}'")]
    Mixed {
        /// Whose field it is.
        owner: &'static str,
        /// The type.
        kind: String,
    },
    /// A field of `--mount` that means nothing without another.
    #[error("option '{option}' requires '{other}' to be specified in conjunction")]
    Alone {
        /// The field.
        option: &'static str,
        /// What it needs.
        other: &'static str,
    },
    /// A type of `--mount` that does not take what was written.
    #[error("invalid mount config for type {kind:?}: {reason}")]
    Config {
        /// The type.
        kind: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A value of `--mount` that does not parse.
    #[error("invalid value for {key}: {value}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// A field that must be there.
    #[error("{0} is required")]
    Required(&'static str),
}

fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Brings an absolute path to its shortest lexical form; `None` when it is not absolute,
/// or has a NUL byte. `..` at the root stays at the root.
#[must_use]
pub fn clean_absolute(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.contains('\0') {
        return None;
    }
    Some(clean(path))
}

/// The absolute path without `.`, `..` and double slashes that a path from the root means.
#[must_use]
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn target(path: &str) -> Result<String, MountError> {
    clean_absolute(path)
        .filter(|p| p != "/")
        .ok_or_else(|| MountError::Target(clip(path)))
}

fn volume_name(name: &str) -> Result<String, MountError> {
    check_name(name).map_err(|_| MountError::VolumeName(clip(name)))?;
    Ok(name.to_owned())
}

fn propagation(word: &str) -> Option<Propagation> {
    Some(match word {
        "private" => Propagation::Private,
        "rprivate" => Propagation::Rprivate,
        "shared" => Propagation::Shared,
        "rshared" => Propagation::Rshared,
        "slave" => Propagation::Slave,
        "rslave" => Propagation::Rslave,
        _ => return None,
    })
}

impl MountSpec {
    /// Parses `-v`: `[SOURCE:]TARGET[:OPTIONS]`. A relative source such as `./data` is first
    /// made absolute by the caller, who knows the working directory.
    ///
    /// # Errors
    /// [`MountError`] naming the offending part.
    pub fn parse_volume(text: &str) -> Result<Self, MountError> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, destination, options) = match parts.as_slice() {
            [target] => (None, *target, ""),
            [source, target] => (Some(*source), *target, ""),
            [source, target, options] => (Some(*source), *target, *options),
            _ => return Err(MountError::Format(clip(text))),
        };
        if source == Some("") || destination.is_empty() {
            return Err(MountError::Format(clip(text)));
        }
        let destination = target(destination)?;
        let mut read_only = false;
        let mut no_copy = false;
        let mut spread = None;
        let mut owners = None;
        let mut kinds = Vec::new();
        for option in options.split(',').filter(|o| !o.is_empty()) {
            let kind = match option {
                "ro" | "rw" => {
                    read_only = option == "ro";
                    "mode"
                }
                "z" | "Z" => "label",
                "consistent" | "cached" | "delegated" => "consistency",
                "nocopy" => {
                    no_copy = true;
                    "copy"
                }
                word if MountOwners::parse(word).is_some() => {
                    owners = MountOwners::parse(word);
                    "owners"
                }
                word => {
                    spread =
                        Some(propagation(word).ok_or_else(|| MountError::Option(clip(options)))?);
                    "propagation"
                }
            };
            // As Docker: one of each kind.
            if kinds.contains(&kind) {
                return Err(MountError::Option(clip(options)));
            }
            kinds.push(kind);
        }
        let source = match source {
            Some(path) if path.starts_with('/') => {
                if no_copy {
                    return Err(MountError::Option("nocopy".into()));
                }
                MountSource::Bind {
                    path: clean_absolute(path).ok_or_else(|| MountError::Source(clip(path)))?,
                    create: true,
                    propagation: spread.unwrap_or_default(),
                    non_recursive: false,
                    read_only_below: ReadOnlyBelow::default(),
                    owners: owners.unwrap_or_default(),
                }
            }
            other => {
                if spread.is_some() || owners.is_some() {
                    return Err(MountError::Option(clip(options)));
                }
                MountSource::Volume {
                    name: other.map(volume_name).transpose()?,
                    no_copy,
                    labels: BTreeMap::new(),
                    driver: String::new(),
                    options: BTreeMap::new(),
                    subpath: None,
                }
            }
        };
        Ok(Self {
            target: destination,
            source,
            read_only,
            flag: MountFlag::Volume,
        })
    }

    /// Parses `--mount`: comma-separated `key=value` fields (CSV quoting is honoured).
    ///
    /// # Errors
    /// [`MountError`] naming the offending field.
    pub fn parse_mount(text: &str) -> Result<Self, MountError> {
        let mut fields = Fields::default();
        for field in split_csv(text) {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
                None => (field.to_ascii_lowercase(), None),
            };
            fields.set(&key, value, &field)?;
        }
        fields.finish()
    }

    /// Parses `--tmpfs`: `TARGET[:OPTIONS]`.
    ///
    /// # Errors
    /// [`MountError`] naming the offending part.
    pub fn parse_tmpfs(text: &str) -> Result<Self, MountError> {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        let mut read_only = false;
        let (mut size, mut mode, mut rest) = (None, None, Vec::new());
        for option in options.split(',').filter(|o| !o.is_empty()) {
            let bad = || MountError::Value {
                key: "tmpfs".to_owned(),
                value: clip(option),
            };
            match option.split_once('=') {
                Some(("size", value)) => size = Some(parse_bytes(value).map_err(|_| bad())?),
                Some(("mode", value)) => {
                    mode = Some(u32::from_str_radix(value, 8).map_err(|_| bad())?);
                }
                Some(("uid" | "gid" | "nr_inodes" | "nr_blocks", value)) => {
                    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric()) {
                        return Err(bad());
                    }
                    rest.push(option.to_owned());
                }
                None if option == "ro" => read_only = true,
                None if matches!(
                    option,
                    "rw" | "exec"
                        | "noexec"
                        | "suid"
                        | "nosuid"
                        | "dev"
                        | "nodev"
                        | "sync"
                        | "async"
                        | "atime"
                        | "noatime"
                        | "relatime"
                        | "strictatime"
                ) =>
                {
                    rest.push(option.to_owned());
                }
                _ => return Err(MountError::Option(clip(option))),
            }
        }
        Ok(Self {
            target: target(path)?,
            source: MountSource::Tmpfs {
                size,
                mode,
                options: rest,
            },
            read_only,
            flag: MountFlag::Tmpfs,
        })
    }
}

#[cfg(test)]
mod tests;
