//! The mounts of a container that is being created: volumes are made and filled, those of
//! other containers taken over, images looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gantry_model::ContainerSpec;
use gantry_model::image::StringSet;
use gantry_model::mount::{MountFlag, MountSource, MountSpec, clean};
use gantry_model::record::{ResolvedMount, ResolvedMountKind};
use gantry_model::userns::IdRanges;
use gantry_sys::path::Owners;

use super::Attempt;
use crate::containers::error::{ContainerError, file};
use crate::containers::folders::make_folder;
use crate::containers::spec::SpecError;
use crate::containers::userns;
use crate::volumes::{Volume, copy_up};

/// A volume as a mount asks for it.
struct WantedVolume<'a> {
    name: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
    driver: &'a str,
    options: &'a BTreeMap<String, String>,
    subpath: Option<&'a str>,
    no_copy: bool,
}

impl Attempt<'_> {
    /// All mounts: the user's own, then those of other containers, then the image's volumes;
    /// a place that is taken stays taken.
    pub(super) fn mounts(
        &mut self,
        spec: &ContainerSpec,
        image_volumes: &StringSet,
        lowers: &[PathBuf],
    ) -> Result<Vec<ResolvedMount>, ContainerError> {
        let driver = spec.volume_driver.as_deref().unwrap_or_default();
        let mut taken = BTreeSet::new();
        let mut all = Vec::with_capacity(spec.mounts.len() + image_volumes.len());
        for mount in &spec.mounts {
            if !taken.insert(mount.target.clone()) {
                return Err(ContainerError::DuplicateMount {
                    target: mount.target.clone(),
                });
            }
            all.push(self.mount(mount, driver, lowers)?);
        }
        for from in &spec.volumes_from {
            for mount in self.volumes_from(from)? {
                if taken.insert(mount.target.clone()) {
                    self.hold(&mount)?;
                    all.push(mount);
                }
            }
        }
        for target in image_volumes.keys() {
            let target = clean(target);
            if target == "/" {
                return Err(SpecError::Value {
                    field: "volume of the image (it would hide everything in it)",
                    value: target,
                }
                .into());
            }
            if !taken.insert(target.clone()) {
                continue;
            }
            let mount = MountSpec {
                target,
                source: MountSource::Volume {
                    name: None,
                    no_copy: false,
                    labels: BTreeMap::new(),
                    driver: String::new(),
                    options: BTreeMap::new(),
                    subpath: None,
                },
                read_only: false,
                flag: MountFlag::Volume,
            };
            all.push(self.mount(&mount, driver, lowers)?);
        }
        Ok(all)
    }

    fn mount(
        &mut self,
        mount: &MountSpec,
        default_driver: &str,
        lowers: &[PathBuf],
    ) -> Result<ResolvedMount, ContainerError> {
        let kind = match &mount.source {
            MountSource::Bind {
                path,
                create,
                propagation,
                non_recursive,
                read_only_below,
                owners,
            } => {
                let source = Path::new(path);
                if !source.exists() {
                    if !create {
                        return Err(ContainerError::BindSource {
                            path: source.to_owned(),
                        });
                    }
                    make_folder(source, 0o755)?;
                }
                ResolvedMountKind::Bind {
                    source: path.clone(),
                    propagation: *propagation,
                    non_recursive: *non_recursive,
                    read_only_below: *read_only_below,
                    owners: *owners,
                }
            }
            MountSource::Volume {
                name,
                no_copy,
                labels,
                driver,
                options,
                subpath,
            } => {
                let wanted = WantedVolume {
                    name: name.as_deref(),
                    labels,
                    driver: if driver.is_empty() {
                        default_driver
                    } else {
                        driver
                    },
                    options,
                    subpath: subpath.as_deref(),
                    no_copy: *no_copy,
                };
                self.volume(&wanted, Path::new(&mount.target), lowers)?
            }
            MountSource::Image { image, subpath } => {
                let (image_id, config) =
                    self.containers
                        .image(image, None)
                        .map_err(|error| match error {
                            // Not the image of the container: a pull of that one would not help.
                            ContainerError::NoImage { name } => {
                                ContainerError::NoMountedImage { name }
                            }
                            other => other,
                        })?;
                ResolvedMountKind::Image {
                    image: image.clone(),
                    image_id,
                    layers: config.rootfs.diff_ids,
                    subpath: subpath.clone(),
                }
            }
            MountSource::Tmpfs {
                size,
                mode,
                options,
            } => ResolvedMountKind::Tmpfs {
                size: *size,
                mode: *mode,
                options: options.clone(),
            },
        };
        Ok(ResolvedMount {
            target: mount.target.clone(),
            read_only: mount.read_only,
            kind,
        })
    }

    fn volume(
        &mut self,
        wanted: &WantedVolume<'_>,
        target: &Path,
        lowers: &[PathBuf],
    ) -> Result<ResolvedMountKind, ContainerError> {
        let volumes = self.containers.engine.volumes();
        let (volume, held) =
            volumes.take(wanted.name, wanted.driver, wanted.labels, wanted.options)?;
        self.held.push(held);
        if wanted.name.is_none() {
            self.volumes.push(volume.name.clone());
        }
        let mounted = volume.mount()?;
        let data = match &mounted {
            None => Some(volume.mountpoint.clone()),
            // What is bound is a folder that can be filled; a device is not looked into.
            Some(mount) if mount.kind == "none" => Some(PathBuf::from(&mount.device)),
            Some(_) if wanted.subpath.is_some() => {
                return Err(ContainerError::SubpathOfDevice {
                    volume: volume.name,
                });
            }
            Some(_) => None,
        };
        if let Some(data) = data.filter(|_| !wanted.no_copy && wanted.subpath.is_none()) {
            let failed = || file("copy the image's content into", &data);
            let owners = |uid, gid| self.owner_on_disk(uid, gid).map_err(io::Error::other);
            let owners = self.on_disk.is_some().then_some(&owners as Owners<'_>);
            copy_up(lowers, target, &data, owners).map_err(failed())?;
            if let Some(own) = &self.on_disk {
                give_new(&data, own)?;
            }
        }
        let anonymous = volume.anonymous;
        let Volume {
            name, mountpoint, ..
        } = volume;
        Ok(ResolvedMountKind::Volume {
            anonymous,
            name,
            source: mountpoint.to_string_lossy().into_owned(),
            mounted,
            subpath: wanted.subpath.map(str::to_owned),
        })
    }

    /// Holds a volume of another container until this one's document says that it has it.
    fn hold(&mut self, mount: &ResolvedMount) -> Result<(), ContainerError> {
        if let ResolvedMountKind::Volume { name, .. } = &mount.kind {
            let none = BTreeMap::new();
            let volumes = self.containers.engine.volumes();
            let (_, held) = volumes.take(Some(name), "", &none, &none)?;
            self.held.push(held);
        }
        Ok(())
    }

    /// The binds and volumes of another container, as `NAME[:MODE]` asks for them.
    fn volumes_from(&self, text: &str) -> Result<Vec<ResolvedMount>, ContainerError> {
        let (name, read_only) = split_mode(text)?;
        let engine = self.containers.engine;
        let id = crate::containers::folders::resolve(engine, name)?;
        let record = crate::containers::folders::Folders::of(engine, &id)
            .record()?
            .ok_or_else(|| ContainerError::NotFound {
                name: name.to_owned(),
            })?;
        let shared = record.mounts.into_iter().filter(|mount| {
            matches!(
                mount.kind,
                ResolvedMountKind::Bind { .. } | ResolvedMountKind::Volume { .. }
            )
        });
        Ok(shared
            .map(|mut mount| {
                mount.read_only |= read_only;
                mount
            })
            .collect())
    }
}

/// Gives a volume that nobody has written to yet to the container's root.
fn give_new(data: &Path, own: &IdRanges) -> Result<(), ContainerError> {
    let failed = || file("look at", data);
    let status = fs::metadata(data).map_err(failed())?;
    let is_empty = fs::read_dir(data).map_err(failed())?.next().is_none();
    match is_empty && (status.uid(), status.gid()) == (0, 0) {
        true => userns::give_to_root(data, own),
        false => Ok(()),
    }
}

/// The name, and whether what it has is to be read-only. As Docker, which takes the modes of
/// `-v` here.
fn split_mode(text: &str) -> Result<(&str, bool), ContainerError> {
    let Some((name, mode)) = text.split_once(':') else {
        return Ok((text, false));
    };
    let known = |word: &str| matches!(word, "ro" | "rw" | "z" | "Z" | "nocopy");
    if name.is_empty() || !mode.split(',').all(known) {
        return Err(ContainerError::VolumesFromMode {
            mode: mode.chars().take(100).collect(),
        });
    }
    Ok((name, mode.split(',').any(|word| word == "ro")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, want) in [
            ("/a//b/", "/a/b"),
            ("a/../b", "/b"),
            ("/../..", "/"),
            ("/a/./b/..", "/a"),
        ] {
            assert_eq!(clean(path), want);
        }
    }

    #[test]
    fn modes_are_dockers() {
        assert_eq!(split_mode("web").unwrap(), ("web", false));
        assert_eq!(split_mode("web:ro").unwrap(), ("web", true));
        assert_eq!(split_mode("web:rw,z").unwrap(), ("web", false));
        for bad in ["web:zz", "web:", ":ro"] {
            assert!(split_mode(bad).is_err(), "{bad}");
        }
    }
}
