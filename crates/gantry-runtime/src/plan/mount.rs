//! The mounts of a document.

use std::path::{Path, PathBuf};

use gantry_sys::cgroup::Layout;
use oci_spec::runtime::{Linux, Mount, Spec};

use super::container::inside_path;
use super::mount_options::{self, MountOptions};
use super::namespace::mappings;
use super::{IdMaps, MountPlan, MountSource, Observed, labels};
use crate::error::PlanError;

/// The mounts of a document, in its order. `cgroup` is the path of the container's own.
pub(super) fn mounts(
    spec: &Spec,
    observed: &Observed,
    cgroup: Option<&Path>,
) -> Result<Vec<MountPlan>, PlanError> {
    let documents = spec.mounts().iter().flatten();
    documents
        .map(|document| mount(document, observed, cgroup))
        .collect()
}

/// What one mount of the document comes to.
fn mount(
    document: &Mount,
    observed: &Observed,
    cgroup: Option<&Path>,
) -> Result<MountPlan, PlanError> {
    let target = inside_path("mounts.destination", document.destination())?;
    let options = mount_options::parse(document.options().as_deref().unwrap_or_default());
    if let Some(option) = &options.unsupported {
        return Err(unsupported(format!("the mount option {option}")));
    }
    let fs_type = document.typ().as_deref().unwrap_or_default();
    let bind = match options.bind {
        Some(recursive) => Some(recursive),
        None if fs_type == "bind" => Some(false),
        None => None,
    };
    if options.copy_up && (fs_type != "tmpfs" || bind.is_some()) {
        return Err(unsupported("tmpcopyup on anything but a tmpfs".to_owned()));
    }
    let source = match bind {
        _ if options.remount => MountSource::Remount,
        Some(recursive) => bind_source(document, &options, recursive)?,
        None if fs_type == "cgroup" => cgroup_source(observed, cgroup)?,
        None if fs_type == "overlay" && options.parameters.iter().all(is_lower) => {
            overlay(&options)?
        }
        None if options.subpath.is_some() || options.namespace.is_some() => {
            return Err(unsupported(
                "a part of a mount that is no bind mount".to_owned(),
            ));
        }
        None => file_system(document, fs_type, &options)?,
    };
    Ok(MountPlan {
        target,
        id_map: id_map(document, &options, &source)?,
        source,
        change: options.change,
        change_all: options.change_all,
        propagation: options.propagation,
    })
}

fn unsupported(feature: String) -> PlanError {
    PlanError::Unsupported { feature }
}

fn bind_source(
    document: &Mount,
    options: &MountOptions,
    recursive: bool,
) -> Result<MountSource, PlanError> {
    if let Some((key, _)) = options.parameters.first() {
        return Err(unsupported(format!("the option {key} on a bind mount")));
    }
    let path = document.source().clone().ok_or(PlanError::Missing {
        field: "source for a bind mount",
    })?;
    if !path.is_absolute() {
        return Err(PlanError::Invalid {
            field: "mounts.source",
            value: path.display().to_string(),
            reason: "is not an absolute path",
        });
    }
    let absolute = |field, text: &String| {
        let path = PathBuf::from(text);
        if path.is_absolute() {
            return Ok(path);
        }
        Err(PlanError::Invalid {
            field,
            value: text.clone(),
            reason: "is not an absolute path",
        })
    };
    Ok(match (&options.namespace, &options.subpath) {
        (Some(_), Some(_)) => {
            return Err(unsupported(
                "a part of a mount of another namespace".to_owned(),
            ));
        }
        (Some(namespace), None) => MountSource::BindElsewhere {
            namespace: absolute("mounts.options x-gantry.namespace", namespace)?,
            path,
            recursive,
        },
        (None, Some(subpath)) => MountSource::BindBelow {
            path,
            subpath: PathBuf::from(subpath),
            recursive,
        },
        (None, None) => MountSource::Bind { path, recursive },
    })
}

fn is_lower((key, value): &(String, Option<String>)) -> bool {
    key == "lowerdir" && value.is_some()
}

/// An overlay without a writable layer, by its `lowerdir` as mount(8) takes it.
fn overlay(options: &MountOptions) -> Result<MountSource, PlanError> {
    let mut values = options.parameters.iter().rev();
    let text = values.find_map(|(_, value)| value.as_deref());
    let lowers = text.map(lowers).unwrap_or_default();
    if lowers.len() < 2 || !lowers.iter().all(|lower| lower.is_absolute()) {
        return Err(PlanError::Invalid {
            field: "mounts.options lowerdir",
            value: text.unwrap_or_default().to_owned(),
            reason: "is no list of two or more absolute paths",
        });
    }
    Ok(MountSource::Overlay {
        lowers,
        subpath: options.subpath.as_ref().map(PathBuf::from),
    })
}

/// Splits at colons; a backslash takes the next character as it is.
fn lowers(text: &str) -> Vec<PathBuf> {
    let mut all = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let last = all.last_mut().expect("never empty");
        match character {
            '\\' => last.extend(characters.next()),
            ':' => all.push(String::new()),
            other => last.push(other),
        }
    }
    all.into_iter().map(PathBuf::from).collect()
}

fn file_system(
    document: &Mount,
    fs_type: &str,
    options: &MountOptions,
) -> Result<MountSource, PlanError> {
    if fs_type.is_empty() {
        return Err(PlanError::Missing {
            field: "type for a mount that is no bind mount",
        });
    }
    let mut parameters = options.parameters.clone();
    if let Some(source) = document.source() {
        let source = source.display().to_string();
        parameters.insert(0, ("source".to_owned(), Some(source)));
    }
    // In a new devpts every instance is new; the option is history.
    parameters.retain(|(key, _)| !(fs_type == "devpts" && key == "newinstance"));
    let has_mode = parameters.iter().any(|(key, _)| key == "mode");
    Ok(MountSource::FileSystem {
        copy_up: options.copy_up,
        fs_type: fs_type.to_owned(),
        parameters,
        mode_of_target: fs_type == "tmpfs" && !has_mode,
        // Programs and this runtime trust what lies there.
        strict_target: matches!(fs_type, "proc" | "sysfs"),
    })
}

fn id_map(
    document: &Mount,
    options: &MountOptions,
    source: &MountSource,
) -> Result<Option<(IdMaps, bool)>, PlanError> {
    let maps = IdMaps {
        uids: mappings(document.uid_mappings()),
        gids: mappings(document.gid_mappings()),
    };
    let asked = options.id_map.is_some() || !maps.uids.is_empty() || !maps.gids.is_empty();
    if !asked {
        return Ok(None);
    }
    if maps.uids.is_empty() || maps.gids.is_empty() {
        return Err(PlanError::Missing {
            field: "uidMappings and gidMappings for an ID-mapped mount",
        });
    }
    if !matches!(
        source,
        MountSource::Bind { .. } | MountSource::BindBelow { .. }
    ) {
        return Err(unsupported(
            "an ID-mapped mount that is no bind mount".to_owned(),
        ));
    }
    Ok(Some((maps, options.id_map.unwrap_or(false))))
}

fn cgroup_source(observed: &Observed, cgroup: Option<&Path>) -> Result<MountSource, PlanError> {
    let cgroup = cgroup.ok_or(PlanError::Missing {
        field: "linux.cgroupsPath, which its cgroup mount needs",
    })?;
    let layout = observed
        .cgroups
        .as_ref()
        .ok_or_else(|| unsupported("a cgroup mount on a system without cgroups".to_owned()))?;
    let relative = cgroup.strip_prefix("/").unwrap_or(cgroup);
    if let (true, Some(v2)) = (layout.is_unified(), &layout.v2) {
        return Ok(MountSource::CgroupUnified {
            directory: v2.mount_point.join(relative),
        });
    }
    Ok(hierarchies(layout, relative))
}

fn hierarchies(layout: &Layout, relative: &Path) -> MountSource {
    let mut directories: Vec<(String, PathBuf)> = Vec::new();
    let mut links = Vec::new();
    for hierarchy in &layout.v1 {
        let name = base_name(&hierarchy.mount_point);
        if hierarchy.controllers.len() > 1 {
            for controller in &hierarchy.controllers {
                if *controller != name && !controller.contains('=') {
                    links.push((controller.clone(), name.clone()));
                }
            }
        }
        directories.push((name, hierarchy.mount_point.join(relative)));
    }
    // Version 2 beside them is for the caller's own use; programs expect one version or the other.
    MountSource::CgroupHierarchies { directories, links }
}

fn base_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Gives the files of new file systems the label of `linux.mountLabel`.
pub(super) fn labelled(
    mut mounts: Vec<MountPlan>,
    linux: &Linux,
    observed: &Observed,
) -> Result<Vec<MountPlan>, PlanError> {
    let Some(label) = labels::of_files(linux, observed.labels)? else {
        return Ok(mounts);
    };
    for mount in &mut mounts {
        if let MountSource::FileSystem {
            fs_type,
            parameters,
            ..
        } = &mut mount.source
            && !matches!(fs_type.as_str(), "proc" | "sysfs" | "mqueue")
        {
            parameters.push(("context".to_owned(), Some(label.clone())));
        }
    }
    Ok(mounts)
}

/// Whether a path of the container is a bind mount of the host's.
pub(super) fn binds(mounts: &[MountPlan], path: &Path) -> bool {
    mounts
        .iter()
        .rfind(|mount| mount.target == path)
        .is_some_and(|mount| matches!(mount.source, MountSource::Bind { .. }))
}
