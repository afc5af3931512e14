//! User namespaces of containers: which IDs one gets, and what that changes in its document.

mod pool;
mod subordinate;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use gantry_model::container::NetworkMode;
use gantry_model::mount::MountOwners;
use gantry_model::record::ResolvedMountKind;
use gantry_model::userns::{IdRange, IdRanges, USUAL_SIZE, UsernsMode};
use gantry_model::{ContainerRecord, ContainerSpec};
use gantry_sys::process::{self, IdMapping};
use oci_spec::runtime::{
    LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType, Mount, Spec,
};

use super::error::{ContainerError, file};
use super::user::ResolvedUser;
use crate::Engine;

/// The IDs of a new container.
#[derive(Debug)]
pub(super) struct Decided {
    /// What they are.
    pub(super) ranges: IdRanges,
    /// Keeps others from choosing the same ones, until the container's document has them.
    pub(super) held: Option<fs::File>,
}

impl From<IdRanges> for Decided {
    fn from(ranges: IdRanges) -> Self {
        Self { ranges, held: None }
    }
}

fn refused(reason: impl Into<String>) -> ContainerError {
    ContainerError::Userns {
        reason: reason.into(),
    }
}

/// The IDs of a new container; `None` when it has the caller's namespace. `most` tells the highest
/// ID that its image has.
pub(super) fn decide(
    engine: &Engine,
    spec: &ContainerSpec,
    most: impl FnOnce() -> Result<u32, ContainerError>,
) -> Result<Option<Decided>, ContainerError> {
    let own = Some(spec.userns_mode.as_str()).filter(|mode| !mode.is_empty());
    let mode = own.or(engine.config().userns.as_deref()).unwrap_or("host");
    let mode = mode
        .parse::<UsernsMode>()
        .map_err(|error| refused(error.to_string()))?;
    if mode == UsernsMode::Host {
        return Ok(None);
    }
    let power = process::is_in_initial_user_namespace();
    if let Some(shared) = shared(spec, power) {
        return Err(refused(format!(
            "{shared} cannot be had in a user namespace of the container's own; add --userns host"
        )));
    }
    let decided = match power {
        true => of_root(engine, mode)?,
        false => subordinate::decide(engine, mode, most)?,
    };
    Ok(Some(decided))
}

/// IDs of the machine, for root.
fn of_root(engine: &Engine, mode: UsernsMode) -> Result<Decided, ContainerError> {
    let ranges = match mode {
        UsernsMode::Host | UsernsMode::NoMap => {
            return Err(refused(
                "nomap leaves out the ordinary user who asks for it, and this is root; use auto",
            ));
        }
        UsernsMode::Mapped(ranges) => IdRanges {
            uids: ranges.clone(),
            gids: ranges,
        },
        UsernsMode::Auto { size } => {
            let size = size.unwrap_or(USUAL_SIZE);
            let range = IdRange {
                container: 0,
                host: pool::free(engine, size)?,
                size,
            };
            IdRanges {
                uids: vec![range],
                gids: vec![range],
            }
        }
        UsernsMode::KeepId { uid, gid } => {
            let (own_uid, own_gid) = engine.surroundings().person.unwrap_or_default();
            let first = pool::free(engine, USUAL_SIZE)?;
            IdRanges {
                uids: around(first, uid.unwrap_or(own_uid), own_uid, USUAL_SIZE),
                gids: around(first, gid.unwrap_or(own_gid), own_gid, USUAL_SIZE),
            }
        }
    };
    Ok(ranges.into())
}

/// The users of a container whose files on the disk have the numbers of the caller's namespace,
/// and not the container's own: only root may show files with other owners.
pub(super) fn on_disk(record: &ContainerRecord) -> Option<&IdRanges> {
    shifted(record.id_ranges.as_ref())
}

/// The same of a container that is being made.
pub(super) fn shifted(own: Option<&IdRanges>) -> Option<&IdRanges> {
    let own = own?;
    (!process::is_in_initial_user_namespace()).then_some(own)
}

/// What cannot be, because the namespace that it needs belongs to other users. Without root what
/// is the host's is shown as it is, so that only other containers' are out of reach.
fn shared(spec: &ContainerSpec, power: bool) -> Option<&'static str> {
    let joined = |mode: &str| (power && mode == "host") || mode.starts_with("container:");
    let network = match spec.network {
        NetworkMode::Host => power,
        NetworkMode::Container(_) => true,
        NetworkMode::Bridge | NetworkMode::None => false,
    };
    [
        (spec.privileged && power, "--privileged"),
        (network, "the network of the host or another container"),
        (
            joined(&spec.pid_mode),
            "the processes of the host or another container",
        ),
        (
            joined(&spec.ipc_mode),
            "the IPC namespace of the host or another container",
        ),
        (power && spec.uts_mode == "host", "the host's name"),
    ]
    .into_iter()
    .find_map(|(asked, what)| asked.then_some(what))
}

/// A range of `size` IDs and one more, which is the caller's.
fn around(first: u32, inside: u32, outside: u32, size: u32) -> Vec<IdRange> {
    let before = inside.min(size);
    let mut ranges = vec![IdRange {
        container: inside,
        host: outside,
        size: 1,
    }];
    if before > 0 {
        ranges.push(IdRange {
            container: 0,
            host: first,
            size: before,
        });
    }
    if before < size {
        ranges.push(IdRange {
            container: inside + 1,
            host: first + before,
            size: size - before,
        });
    }
    ranges
}

/// Changes the document of a container for its own user namespace, and for mounts whose files
/// change owners. `folder` is where the container's own files are, which become its root's where
/// they cannot be shown so.
pub(super) fn apply(
    document: &mut Spec,
    record: &ContainerRecord,
    user: &ResolvedUser,
    folder: &Path,
) -> Result<(), ContainerError> {
    let own = record.id_ranges.as_ref();
    let on_disk = on_disk(record);
    let mapped = if on_disk.is_some() { None } else { own };
    if let (Some(ranges), Some(linux)) = (own, document.linux_mut()) {
        let mut namespaces = linux.namespaces().clone().unwrap_or_default();
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(LinuxNamespaceType::User);
        namespaces.push(namespace);
        linux.set_namespaces(Some(namespaces));
        linux.set_uid_mappings(Some(mappings(&ranges.uids)));
        linux.set_gid_mappings(Some(mappings(&ranges.gids)));
        let most = ranges
            .gids
            .iter()
            .map(|ids| ids.container + (ids.size - 1))
            .max();
        if let Some(sysctls) = linux.sysctl_mut() {
            let name = "net.ipv4.ping_group_range";
            let all = format!("0 {}", most.unwrap_or_default());
            sysctls
                .entry(name.to_owned())
                .and_modify(|value| *value = all);
        }
    }
    for mount in document.mounts_mut().iter_mut().flatten() {
        let target = mount.destination().to_string_lossy().into_owned();
        let wanted = record.mounts.iter().find(|wanted| wanted.target == target);
        match wanted.map(|wanted| &wanted.kind) {
            Some(ResolvedMountKind::Bind { source, owners, .. }) => match owners {
                MountOwners::Host => {}
                MountOwners::Container => map(mount, own),
                MountOwners::Me => {
                    let exchanged = exchange(Path::new(source), own, user)?;
                    // Only root may exchange owners; where they are the same there is no need.
                    if process::is_in_initial_user_namespace() || !changes_nothing(&exchanged) {
                        map(mount, Some(&exchanged));
                    }
                }
            },
            Some(ResolvedMountKind::Volume { mounted: None, .. }) => map(mount, mapped),
            Some(_) => {}
            // The container's own files.
            None if mount.typ().as_deref() == Some("bind") => {
                map(mount, mapped);
                let source = mount
                    .source()
                    .as_deref()
                    .filter(|at| at.starts_with(folder));
                if let (Some(source), Some(own)) = (source, on_disk) {
                    give_to_root(source, own)?;
                }
            }
            None => {}
        }
    }
    Ok(())
}

/// Makes a file of the caller's the container's root's.
pub(super) fn give_to_root(path: &Path, own: &IdRanges) -> Result<(), ContainerError> {
    match own.outside(0, 0) {
        Some((uid, gid)) => {
            chown(path, Some(uid), Some(gid)).map_err(file("set the owner of", path))
        }
        // A container without a root sees it as nobody's.
        None => Ok(()),
    }
}

/// The owner of the source on the one side, the container's user on the other.
fn exchange(
    source: &Path,
    own: Option<&IdRanges>,
    user: &ResolvedUser,
) -> Result<IdRanges, ContainerError> {
    let status = fs::metadata(source).map_err(file("look at", source))?;
    let host = match own {
        None => Some((user.uid, user.gid)),
        Some(own) => own.outside(user.uid, user.gid),
    };
    let Some((uid, gid)) = host else {
        return Err(ContainerError::Userns {
            reason: format!("user {}:{} is not in it", user.uid, user.gid),
        });
    };
    let one = |container, host| {
        vec![IdRange {
            container,
            host,
            size: 1,
        }]
    };
    Ok(IdRanges {
        uids: one(status.uid(), uid),
        gids: one(status.gid(), gid),
    })
}

fn changes_nothing(ranges: &IdRanges) -> bool {
    let mut all = ranges.uids.iter().chain(&ranges.gids);
    all.all(|range| range.container == range.host)
}

fn map(mount: &mut Mount, ranges: Option<&IdRanges>) {
    if let Some(ranges) = ranges {
        mount.set_uid_mappings(Some(mappings(&ranges.uids)));
        mount.set_gid_mappings(Some(mappings(&ranges.gids)));
    }
}

/// As the kernel takes them.
pub(super) fn maps(ranges: &[IdRange]) -> Vec<IdMapping> {
    let mapping = |range: &IdRange| IdMapping {
        inside: range.container,
        outside: range.host,
        size: range.size,
    };
    ranges.iter().map(mapping).collect()
}

fn mappings(ranges: &[IdRange]) -> Vec<LinuxIdMapping> {
    let mapping = |range: &IdRange| {
        LinuxIdMappingBuilder::default()
            .container_id(range.container)
            .host_id(range.host)
            .size(range.size)
            .build()
            .expect("every required field is set")
    };
    ranges.iter().map(mapping).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_stays_who_it_is() {
        let text = |ranges: Vec<IdRange>| {
            let line = |r: &IdRange| format!("{}:{}:{}", r.container, r.host, r.size);
            ranges.iter().map(line).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            text(around(100_000, 0, 0, USUAL_SIZE)),
            "0:0:1 1:100000:65536"
        );
        assert_eq!(
            text(around(100_000, 1000, 500, USUAL_SIZE)),
            "1000:500:1 0:100000:1000 1001:101000:64536"
        );
        assert_eq!(
            text(around(100_000, 70_000, 5, USUAL_SIZE)),
            "70000:5:1 0:100000:65536"
        );
    }
}
