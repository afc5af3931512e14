//! Mounts as `-v`, `--mount` and `--tmpfs` spell them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::check_name;
use crate::quantity::parse_bytes;

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Absolute path inside the container.
    pub target: String,
    /// What is mounted there.
    pub source: MountSource,
    /// Whether writing is refused.
    pub read_only: bool,
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
    },
    /// A named volume, or an anonymous one.
    Volume {
        /// Name; `None` for an anonymous volume.
        name: Option<String>,
        /// Whether the content of the image below the target is not copied in.
        no_copy: bool,
        /// Labels for a volume that is created by this mount.
        labels: BTreeMap<String, String>,
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
    #[error("invalid mount option: {0:?}")]
    Option(String),
    /// A field of `--mount` that is not known, or of another type.
    #[error("unexpected key {key:?} in {text:?}")]
    Key {
        /// The key.
        key: String,
        /// What was written.
        text: String,
    },
    /// A value of `--mount` that does not parse.
    #[error("invalid value for {key}: {value:?}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// An option that Gantry does not support.
    #[error("mount option {0:?} is not supported")]
    Unsupported(String),
    /// A field that must be there.
    #[error("field {0:?} is required")]
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
    Some(format!("/{}", parts.join("/")))
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
        for option in options.split(',').filter(|o| !o.is_empty()) {
            match option {
                "ro" => read_only = true,
                "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" => {}
                "nocopy" => no_copy = true,
                word => match propagation(word) {
                    Some(found) => spread = Some(found),
                    None => return Err(MountError::Option(clip(word))),
                },
            }
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
                }
            }
            other => {
                if spread.is_some() {
                    return Err(MountError::Option(clip(options)));
                }
                MountSource::Volume {
                    name: other.map(volume_name).transpose()?,
                    no_copy,
                    labels: BTreeMap::new(),
                }
            }
        };
        Ok(Self {
            target: destination,
            source,
            read_only,
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
            fields.set(&key, value, text)?;
        }
        fields.finish(text)
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
        })
    }
}

#[derive(Default)]
struct Fields {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    propagation: Option<Propagation>,
    non_recursive: bool,
    no_copy: bool,
    labels: BTreeMap<String, String>,
    size: Option<u64>,
    mode: Option<u32>,
    used: Vec<(&'static str, String)>,
}

impl Fields {
    fn set(&mut self, key: &str, value: Option<&str>, text: &str) -> Result<(), MountError> {
        let bad = || MountError::Value {
            key: clip(key),
            value: clip(value.unwrap_or_default()),
        };
        let needed = || value.filter(|v| !v.is_empty()).ok_or_else(bad);
        let truth = || match value {
            None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
            Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
            Some(_) => Err(bad()),
        };
        let mut belongs_to = |kind| self.used.push((kind, key.to_owned()));
        match key {
            "type" => self.kind = Some(needed()?.to_ascii_lowercase()),
            "source" | "src" => self.source = Some(needed()?.to_owned()),
            "target" | "dst" | "destination" => self.target = Some(needed()?.to_owned()),
            "readonly" | "ro" => self.read_only = truth()?,
            "consistency" => {
                needed()?;
            }
            "bind-propagation" => {
                belongs_to("bind");
                self.propagation = Some(propagation(needed()?).ok_or_else(bad)?);
            }
            "bind-nonrecursive" => {
                belongs_to("bind");
                self.non_recursive = truth()?;
            }
            "bind-recursive" => {
                belongs_to("bind");
                match needed()? {
                    "enabled" => self.non_recursive = false,
                    "disabled" => self.non_recursive = true,
                    _ => return Err(MountError::Unsupported(clip(text))),
                }
            }
            "volume-nocopy" => {
                belongs_to("volume");
                self.no_copy = truth()?;
            }
            "volume-label" => {
                belongs_to("volume");
                let (name, value) = needed()?.split_once('=').unwrap_or((needed()?, ""));
                self.labels.insert(name.to_owned(), value.to_owned());
            }
            "tmpfs-size" => {
                belongs_to("tmpfs");
                self.size = Some(parse_bytes(needed()?).map_err(|_| bad())?);
            }
            "tmpfs-mode" => {
                belongs_to("tmpfs");
                self.mode = Some(u32::from_str_radix(needed()?, 8).map_err(|_| bad())?);
            }
            "volume-driver" | "volume-opt" | "volume-subpath" | "image-subpath" => {
                return Err(MountError::Unsupported(clip(key)));
            }
            _ => {
                return Err(MountError::Key {
                    key: clip(key),
                    text: clip(text),
                });
            }
        }
        Ok(())
    }

    fn finish(self, text: &str) -> Result<MountSpec, MountError> {
        let kind = self.kind.unwrap_or_else(|| "volume".to_owned());
        if let Some((_, key)) = self.used.iter().find(|(owner, _)| *owner != kind) {
            return Err(MountError::Key {
                key: key.clone(),
                text: clip(text),
            });
        }
        let target = target(&self.target.ok_or(MountError::Required("target"))?)?;
        let source = match kind.as_str() {
            "bind" => {
                let path = self.source.ok_or(MountError::Required("source"))?;
                MountSource::Bind {
                    path: clean_absolute(&path).ok_or_else(|| MountError::Source(clip(&path)))?,
                    create: false,
                    propagation: self.propagation.unwrap_or_default(),
                    non_recursive: self.non_recursive,
                }
            }
            "volume" => MountSource::Volume {
                name: self.source.as_deref().map(volume_name).transpose()?,
                no_copy: self.no_copy,
                labels: self.labels,
            },
            "tmpfs" => {
                if self.source.is_some() {
                    return Err(MountError::Key {
                        key: "source".into(),
                        text: clip(text),
                    });
                }
                MountSource::Tmpfs {
                    size: self.size,
                    mode: self.mode,
                    options: Vec::new(),
                }
            }
            other => return Err(MountError::Unsupported(format!("type={}", clip(other)))),
        };
        Ok(MountSpec {
            target,
            source,
            read_only: self.read_only,
        })
    }
}

fn split_csv(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let last = out.last_mut().expect("never empty");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                last.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(String::new()),
            c => last.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_parse() {
        let bind = MountSpec::parse_volume("/a/../b:/c/:ro").unwrap();
        assert_eq!(bind.target, "/c");
        assert!(bind.read_only);
        assert!(
            matches!(bind.source, MountSource::Bind { ref path, create: true, .. } if path == "/b")
        );
        let named = MountSpec::parse_volume("data:/var/lib").unwrap();
        assert!(
            matches!(named.source, MountSource::Volume { name: Some(ref n), .. } if n == "data")
        );
        let anonymous = MountSpec::parse_volume("/data").unwrap();
        assert!(matches!(
            anonymous.source,
            MountSource::Volume { name: None, .. }
        ));
        for bad in [
            "",
            ":",
            "a:b",
            ":/x",
            "x:",
            "/",
            "/a:/",
            "/a:/b:xx",
            "a b:/c",
            "/a:/b:ro:x",
            "d:/x:rshared",
        ] {
            assert!(MountSpec::parse_volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts_parse() {
        let bind = MountSpec::parse_mount("type=bind,src=/a,dst=/b,readonly").unwrap();
        assert!(bind.read_only);
        assert!(matches!(
            bind.source,
            MountSource::Bind { create: false, .. }
        ));
        let quoted = MountSpec::parse_mount(r#"type=bind,"src=/a,b",dst=/b"#).unwrap();
        assert!(matches!(quoted.source, MountSource::Bind { ref path, .. } if path == "/a,b"));
        let tmpfs =
            MountSpec::parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770").unwrap();
        assert!(matches!(
            tmpfs.source,
            MountSource::Tmpfs {
                size: Some(1_048_576),
                mode: Some(0o1770),
                ..
            }
        ));
        for bad in [
            "",
            "type=bind,dst=/b",
            "type=bind,src=a,dst=/b",
            "type=volume,src=v",
            "type=x,dst=/a",
            "type=bind,src=/a,dst=/b,tmpfs-size=1",
            "dst=/a,foo=bar",
            "type=tmpfs,src=/a,dst=/b",
        ] {
            assert!(MountSpec::parse_mount(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tmpfs_options_parse() {
        let spec = MountSpec::parse_tmpfs("/run:size=64k,mode=755,exec,ro").unwrap();
        assert!(spec.read_only);
        assert_eq!(
            spec.source,
            MountSource::Tmpfs {
                size: Some(65536),
                mode: Some(0o755),
                options: vec!["exec".into()]
            }
        );
        assert!(MountSpec::parse_tmpfs("run").is_err());
        assert!(MountSpec::parse_tmpfs("/run:foo").is_err());
    }
}
