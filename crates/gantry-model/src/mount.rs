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
    read_only_below: ReadOnlyBelow,
    owners: MountOwners,
    no_copy: bool,
    labels: BTreeMap<String, String>,
    driver: String,
    options: BTreeMap<String, String>,
    subpath: Option<String>,
    size: Option<u64>,
    mode: Option<u32>,
    /// Types whose own fields were written.
    used: Vec<&'static str>,
}

impl Fields {
    fn set(&mut self, key: &str, value: Option<&str>, field: &str) -> Result<(), MountError> {
        let bad = || MountError::Value {
            key: clip(key),
            value: clip(value.unwrap_or_default()),
        };
        for owner in ["bind", "volume", "tmpfs", "image"] {
            if key
                .strip_prefix(owner)
                .is_some_and(|rest| rest.starts_with('-'))
            {
                self.used.push(owner);
            }
        }
        // These may stand alone.
        let truth = || match value {
            None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
            Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
            Some(_) => Err(bad()),
        };
        match key {
            "readonly" | "ro" => self.read_only = truth()?,
            "volume-nocopy" => self.no_copy = truth()?,
            "bind-nonrecursive" => self.non_recursive = truth()?,
            "idmap" => {
                self.used.push("bind");
                self.owners = match truth()? {
                    true => MountOwners::Container,
                    false => MountOwners::Host,
                };
            }
            _ => {
                let value = value.ok_or_else(|| MountError::NoValue(clip(field)))?;
                return self.set_value(key, value, field);
            }
        }
        Ok(())
    }

    fn set_value(&mut self, key: &str, value: &str, field: &str) -> Result<(), MountError> {
        let bad = || MountError::Value {
            key: clip(key),
            value: clip(value),
        };
        let needed = || {
            Some(value)
                .filter(|value| !value.is_empty())
                .ok_or_else(bad)
        };
        let pair = || {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            (name.to_owned(), value.to_owned())
        };
        match key {
            "type" => self.kind = Some(needed()?.to_ascii_lowercase()),
            "source" | "src" => self.source = Some(needed()?.to_owned()),
            "target" | "dst" | "destination" => self.target = Some(needed()?.to_owned()),
            "consistency" => {
                needed()?;
            }
            "bind-propagation" => {
                self.propagation = Some(propagation(needed()?).ok_or_else(bad)?);
            }
            "map" => {
                self.used.push("bind");
                self.owners = MountOwners::parse(&format!("map={value}")).ok_or_else(bad)?;
            }
            "bind-recursive" => match value {
                "enabled" => {
                    self.non_recursive = false;
                    self.read_only_below = ReadOnlyBelow::Enabled;
                }
                "disabled" => self.non_recursive = true,
                "writable" => self.read_only_below = ReadOnlyBelow::Writable,
                "readonly" => self.read_only_below = ReadOnlyBelow::Required,
                _ => {
                    return Err(MountError::Value {
                        key: key.to_owned(),
                        value: format!(
                            "{} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
                            clip(value)
                        ),
                    });
                }
            },
            "volume-label" => self.labels.extend([pair()]),
            "volume-driver" => value.clone_into(&mut self.driver),
            "volume-opt" => self.options.extend([pair()]),
            "volume-subpath" | "image-subpath" => self.subpath = Some(needed()?.to_owned()),
            "tmpfs-size" => self.size = Some(parse_bytes(needed()?).map_err(|_| bad())?),
            "tmpfs-mode" => {
                self.mode = Some(u32::from_str_radix(needed()?, 8).map_err(|_| bad())?);
            }
            _ => {
                return Err(MountError::Key {
                    key: clip(key),
                    field: clip(field),
                });
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<MountSpec, MountError> {
        let kind = self.kind.clone().unwrap_or_else(|| "volume".to_owned());
        if let Some(owner) = self.used.iter().find(|owner| **owner != kind) {
            return Err(MountError::Mixed {
                owner,
                kind: clip(&kind),
            });
        }
        let needs = |option, other| Err(MountError::Alone { option, other });
        match self.read_only_below {
            ReadOnlyBelow::Writable if !self.read_only => {
                return needs("bind-recursive=writable", "readonly");
            }
            ReadOnlyBelow::Required if !self.read_only => {
                return needs("bind-recursive=readonly", "readonly");
            }
            ReadOnlyBelow::Required if self.propagation != Some(Propagation::Rprivate) => {
                return needs("bind-recursive=readonly", "bind-propagation=rprivate");
            }
            _ => {}
        }
        let target = target(
            self.target
                .as_deref()
                .ok_or(MountError::Required("target"))?,
        )?;
        let read_only = self.read_only || kind == "image";
        Ok(MountSpec {
            target,
            source: self.source(&kind)?,
            read_only,
        })
    }

    fn source(self, kind: &str) -> Result<MountSource, MountError> {
        let config = |reason| MountError::Config {
            kind: clip(kind),
            reason,
        };
        let subpath = self.subpath.as_deref().map(relative).transpose();
        let subpath =
            subpath.map_err(|()| config("subpath must be a relative path within the volume"))?;
        Ok(match kind {
            "bind" => {
                let path = self.source.ok_or(MountError::Required("source"))?;
                MountSource::Bind {
                    path: clean_absolute(&path).ok_or_else(|| MountError::Source(clip(&path)))?,
                    create: false,
                    propagation: self.propagation.unwrap_or_default(),
                    non_recursive: self.non_recursive,
                    read_only_below: self.read_only_below,
                    owners: self.owners,
                }
            }
            "volume" => MountSource::Volume {
                name: self.source.as_deref().map(volume_name).transpose()?,
                no_copy: self.no_copy,
                labels: self.labels,
                driver: self.driver,
                options: self.options,
                subpath,
            },
            "image" => MountSource::Image {
                image: self.source.ok_or(MountError::Required("source"))?,
                subpath,
            },
            "tmpfs" if self.source.is_some() => {
                return Err(config("field Source must not be specified"));
            }
            "tmpfs" => MountSource::Tmpfs {
                size: self.size,
                mode: self.mode,
                options: Vec::new(),
            },
            _ => return Err(config("mount type unknown")),
        })
    }
}

/// A path within a volume: relative, and not out of it.
fn relative(path: &str) -> Result<String, ()> {
    let inside =
        !path.starts_with('/') && !path.contains('\0') && path.split('/').all(|part| part != "..");
    if inside { Ok(path.to_owned()) } else { Err(()) }
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
            "/a:/b:ro,rw",
            "/a:/b:shared,slave",
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
    fn what_cannot_be_mounted_is_told_in_dockers_words() {
        for (text, want) in [
            (
                "type=bind,src=/a,dst=/b,volume-nocopy",
                "cannot mix 'volume-*' options with mount type 'bind'",
            ),
            (
                "type=volume,src=v,dst=/b,tmpfs-size=1",
                "cannot mix 'tmpfs-*' options with mount type 'volume'",
            ),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=x",
                "invalid value for bind-recursive: x (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
            ),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=writable",
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
            ),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=readonly,ro",
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
            ),
            (
                "type=bind,src=/a,dst=/b,oops",
                "invalid field 'oops' must be a key=value pair",
            ),
            (
                "type=tmpfs,dst=/b,tmpfs-options=noexec",
                "unexpected key 'tmpfs-options' in 'tmpfs-options=noexec'",
            ),
            (
                "type=tmpfs,src=x,dst=/b",
                "invalid mount config for type \"tmpfs\": field Source must not be specified",
            ),
            (
                "type=npipe,src=x,dst=/b",
                "invalid mount config for type \"npipe\": mount type unknown",
            ),
            (
                "src=v,dst=/b,volume-subpath=../x",
                "invalid mount config for type \"volume\": subpath must be a relative path within the volume",
            ),
            ("type=volume", "target is required"),
            ("dst=/b,readonly=foo", "invalid value for readonly: foo"),
        ] {
            assert_eq!(
                MountSpec::parse_mount(text).unwrap_err().to_string(),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn volumes_and_images_take_their_options() {
        let volume = MountSpec::parse_mount(
            "src=vol,dst=/m,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/d,\
             volume-label=a=b,volume-driver=local,volume-subpath=x/y",
        )
        .unwrap();
        let MountSource::Volume {
            options,
            labels,
            driver,
            subpath,
            ..
        } = volume.source
        else {
            panic!("a volume");
        };
        assert_eq!(options["o"], "bind");
        assert_eq!(labels["a"], "b");
        assert_eq!(
            (driver.as_str(), subpath.as_deref()),
            ("local", Some("x/y"))
        );
        let image =
            MountSpec::parse_mount("type=image,src=busybox,dst=/m,image-subpath=bin").unwrap();
        assert!(image.read_only);
        assert_eq!(
            image.source,
            MountSource::Image {
                image: "busybox".into(),
                subpath: Some("bin".into())
            }
        );
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
