//! User namespaces of containers: which IDs one gets, and what that changes in its document.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use gantry_model::container::NetworkMode;
use gantry_model::mount::MountOwners;
use gantry_model::record::ResolvedMountKind;
use gantry_model::userns::{IdRange, IdRanges, USUAL_SIZE, UsernsMode};
use gantry_model::{ContainerRecord, ContainerSpec};
use oci_spec::runtime::{
    LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType, Mount, Spec,
};
use serde::Deserialize;

use super::error::{ContainerError, file};
use super::user::ResolvedUser;
use crate::Engine;

/// IDs that nobody's users have: above those of people, machines and container managers, below
/// those that count as negative somewhere.
const FIRST: u32 = 0x7000_0000;
const SLOTS: u32 = 0x0f00;

/// The part of [`ContainerRecord`] that tells which IDs are taken.
#[derive(Debug, Deserialize)]
struct Taken {
    #[serde(default)]
    id_ranges: Option<IdRanges>,
}

/// The IDs of a new container; `None` when it has the caller's namespace.
pub(super) fn decide(
    engine: &Engine,
    spec: &ContainerSpec,
) -> Result<Option<IdRanges>, ContainerError> {
    let own = Some(spec.userns_mode.as_str()).filter(|mode| !mode.is_empty());
    let mode = own.or(engine.config().userns.as_deref()).unwrap_or("host");
    let refused = |reason: String| ContainerError::Userns { reason };
    let mode = mode
        .parse::<UsernsMode>()
        .map_err(|error| refused(error.to_string()))?;
    if mode == UsernsMode::Host {
        return Ok(None);
    }
    if !engine.surroundings().root || !gantry_sys::process::is_in_initial_user_namespace() {
        let reason = "a user namespace of the container's own needs root: only root may show \
                      layers with other owners";
        return Err(refused(reason.to_owned()));
    }
    if let Some(shared) = shared_with_host(spec) {
        return Err(refused(format!(
            "{shared} cannot be had in a user namespace of the container's own; add --userns host"
        )));
    }
    let ranges = match mode {
        UsernsMode::Host => return Ok(None),
        UsernsMode::Mapped(ranges) => IdRanges {
            uids: ranges.clone(),
            gids: ranges,
        },
        UsernsMode::Auto { size } => {
            let range = IdRange {
                container: 0,
                host: free(engine, size)?,
                size,
            };
            IdRanges {
                uids: vec![range],
                gids: vec![range],
            }
        }
        UsernsMode::KeepId { uid, gid } => {
            let (own_uid, own_gid) = engine.surroundings().person.unwrap_or_default();
            let first = free(engine, USUAL_SIZE)?;
            IdRanges {
                uids: around(first, uid.unwrap_or(own_uid), own_uid),
                gids: around(first, gid.unwrap_or(own_gid), own_gid),
            }
        }
    };
    Ok(Some(ranges))
}

/// What cannot be, because the namespace that it needs belongs to the host's users.
fn shared_with_host(spec: &ContainerSpec) -> Option<&'static str> {
    let joined = |mode: &str| mode == "host" || mode.starts_with("container:");
    let network = matches!(spec.network, NetworkMode::Host | NetworkMode::Container(_));
    [
        (spec.privileged, "--privileged"),
        (network, "the network of the host or another container"),
        (
            joined(&spec.pid_mode),
            "the processes of the host or another container",
        ),
        (
            joined(&spec.ipc_mode),
            "the IPC namespace of the host or another container",
        ),
        (spec.uts_mode == "host", "the host's name"),
    ]
    .into_iter()
    .find_map(|(asked, what)| asked.then_some(what))
}

/// A range in which one ID is the caller's.
fn around(first: u32, inside: u32, outside: u32) -> Vec<IdRange> {
    let before = inside.min(USUAL_SIZE);
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
    if before < USUAL_SIZE {
        ranges.push(IdRange {
            container: inside + 1,
            host: first + before,
            size: USUAL_SIZE - before,
        });
    }
    ranges
}

/// The first of so many IDs that no container here has.
fn free(engine: &Engine, size: u32) -> Result<u32, ContainerError> {
    let folder = engine.root().join(super::folders::CONTAINERS);
    let mut taken = BTreeSet::new();
    for entry in fs::read_dir(&folder)
        .map_err(file("read", &folder))?
        .flatten()
    {
        // One that is just being made, or damaged, has said nothing yet.
        let text = fs::read(entry.path().join("container.json")).unwrap_or_default();
        let Ok(Taken {
            id_ranges: Some(ranges),
        }) = serde_json::from_slice(&text)
        else {
            continue;
        };
        for range in ranges.uids.iter().chain(&ranges.gids) {
            taken.extend(slots(range.host, range.size));
        }
    }
    let mut random = [0; 4];
    super::fill_random(&mut random)
        .map_err(file("read random numbers from", Path::new("the kernel")))?;
    choose(size, u32::from_ne_bytes(random), &taken).ok_or_else(|| ContainerError::Userns {
        reason: format!("no {size} IDs are free for the container's user namespace"),
    })
}

fn slots(first: u32, size: u32) -> impl Iterator<Item = u32> {
    let slot = |id: u32| id.checked_sub(FIRST).map(|above| above / USUAL_SIZE);
    let last = first.saturating_add(size.saturating_sub(1));
    let (from, to) = (slot(first), slot(last));
    from.zip(to)
        .into_iter()
        .flat_map(|(from, to)| from..=to.min(SLOTS))
}

/// Begins anywhere, so that two commands at once hardly ever meet.
fn choose(size: u32, random: u32, taken: &BTreeSet<u32>) -> Option<u32> {
    let needed = size.div_ceil(USUAL_SIZE);
    if needed > SLOTS {
        return None;
    }
    (0..SLOTS)
        .map(|step| (random % SLOTS + step) % SLOTS)
        .filter(|slot| slot + needed <= SLOTS)
        .find(|slot| (*slot..slot + needed).all(|slot| !taken.contains(&slot)))
        .map(|slot| FIRST + slot * USUAL_SIZE)
}

/// Changes the document of a container for its own user namespace, and for mounts whose files
/// change owners.
pub(super) fn apply(
    document: &mut Spec,
    record: &ContainerRecord,
    user: &ResolvedUser,
) -> Result<(), ContainerError> {
    let own = record.id_ranges.as_ref();
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
                    if gantry_sys::process::is_in_initial_user_namespace()
                        || !changes_nothing(&exchanged)
                    {
                        map(mount, Some(&exchanged));
                    }
                }
            },
            Some(ResolvedMountKind::Volume { mounted: None, .. }) => map(mount, own),
            Some(_) => {}
            // The container's own files.
            None if mount.typ().as_deref() == Some("bind") => map(mount, own),
            None => {}
        }
    }
    Ok(())
}

/// The owner of the source on the one side, the container's user on the other.
fn exchange(
    source: &Path,
    own: Option<&IdRanges>,
    user: &ResolvedUser,
) -> Result<IdRanges, ContainerError> {
    let status = fs::metadata(source).map_err(file("look at", source))?;
    let host = |id: u32, ranges: fn(&IdRanges) -> &Vec<IdRange>| match own {
        None => Some(id),
        Some(own) => IdRanges::host_id(ranges(own), id),
    };
    let (uid, gid) = (
        host(user.uid, |own| &own.uids),
        host(user.gid, |own| &own.gids),
    );
    let (Some(uid), Some(gid)) = (uid, gid) else {
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
    fn free_ids_do_not_overlap() {
        let mut taken = BTreeSet::new();
        assert_eq!(choose(65536, 0, &taken), Some(FIRST));
        taken.extend(slots(FIRST, 65536));
        assert_eq!(choose(65536, 0, &taken), Some(FIRST + 65536));
        taken.extend(slots(FIRST + 65536, 65537));
        assert_eq!(choose(1, 0, &taken), Some(FIRST + 3 * 65536));
        assert_eq!(choose(70_000, SLOTS - 1, &taken), Some(FIRST + 3 * 65536));
        assert_eq!(choose(u32::MAX, 5, &taken), None);
        taken.extend(0..SLOTS);
        assert_eq!(choose(1, 5, &taken), None);
        assert_eq!(slots(1000, 5).count(), 0, "IDs of people take no slot");
    }

    #[test]
    fn the_caller_stays_who_it_is() {
        let text = |ranges: Vec<IdRange>| {
            let line = |r: &IdRange| format!("{}:{}:{}", r.container, r.host, r.size);
            ranges.iter().map(line).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text(around(100_000, 0, 0)), "0:0:1 1:100000:65536");
        assert_eq!(
            text(around(100_000, 1000, 500)),
            "1000:500:1 0:100000:1000 1001:101000:64536"
        );
        assert_eq!(text(around(100_000, 70_000, 5)), "70000:5:1 0:100000:65536");
    }
}
