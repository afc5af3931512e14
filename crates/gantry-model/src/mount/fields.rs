//! The fields of `--mount`.

use std::collections::BTreeMap;

use super::{
    MountError, MountFlag, MountOwners, MountSource, MountSpec, Propagation, ReadOnlyBelow,
    clean_absolute, clip, propagation, target, volume_name,
};
use crate::quantity::parse_bytes;

/// What was written so far.
#[derive(Default)]
pub(super) struct Fields {
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
    pub(super) fn set(
        &mut self,
        key: &str,
        value: Option<&str>,
        field: &str,
    ) -> Result<(), MountError> {
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

    pub(super) fn finish(self) -> Result<MountSpec, MountError> {
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
            flag: MountFlag::Mount,
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

/// The fields of a comma-separated line (RFC 4180); what is quoted stays together.
#[must_use]
pub fn split_csv(text: &str) -> Vec<String> {
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
