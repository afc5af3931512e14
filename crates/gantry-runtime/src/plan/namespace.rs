//! The namespaces of a document.

use gantry_sys::process::{IdMapping, Namespace};
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType};

use super::{IdMaps, NamespacePlan};
use crate::error::PlanError;

/// Which namespaces are made and which are joined (OCI runtime-spec, `config-linux.md`,
/// "Namespaces").
pub(super) fn namespaces(linux: &Linux) -> Result<NamespacePlan, PlanError> {
    let mut plan = NamespacePlan::default();
    let mut seen = Vec::new();
    for document in linux.namespaces().iter().flatten() {
        let kind = kind(document.typ());
        if seen.contains(&kind) {
            return Err(PlanError::Invalid {
                field: "linux.namespaces",
                value: document.typ().to_string(),
                reason: "is given twice",
            });
        }
        seen.push(kind);
        match document.path() {
            Some(path) if !path.as_os_str().is_empty() => plan.join.push((kind, path.clone())),
            _ if kind == Namespace::Cgroup => plan.new_cgroup = true,
            _ if kind == Namespace::Time => plan.new_time = true,
            _ => plan.new.insert(kind),
        }
    }
    refuse(&plan)?;
    // The user namespace decides what may be done about the others.
    plan.join.sort();
    let maps = id_maps(linux, &plan)?;
    match plan.joins_users() {
        true => plan.expected_maps = maps,
        false => plan.id_maps = maps,
    }
    Ok(plan)
}

fn refuse(plan: &NamespacePlan) -> Result<(), PlanError> {
    let unsupported = |feature: &str| {
        Err(PlanError::Unsupported {
            feature: feature.to_owned(),
        })
    };
    if !plan.new.contains(Namespace::Mount) {
        return unsupported("a container without a new mount namespace");
    }
    Ok(())
}

fn id_maps(linux: &Linux, plan: &NamespacePlan) -> Result<Option<IdMaps>, PlanError> {
    let mapped = linux.uid_mappings().is_some() || linux.gid_mappings().is_some();
    let joins = plan.joins_users();
    if !mapped && (joins || !plan.new.contains(Namespace::User)) {
        return Ok(None);
    }
    if !joins && !plan.new.contains(Namespace::User) {
        return Err(PlanError::Missing {
            field: "user namespace for its ID mappings",
        });
    }
    let maps = IdMaps {
        uids: mappings(linux.uid_mappings()),
        gids: mappings(linux.gid_mappings()),
    };
    if maps.uids.is_empty() || maps.gids.is_empty() {
        return Err(PlanError::Missing {
            field: "ID mappings for its user namespace",
        });
    }
    Ok(Some(maps))
}

/// The lines that set the clocks of a new time namespace (time_namespaces(7)).
pub(super) fn time_offsets(linux: &Linux, plan: &NamespacePlan) -> Result<Vec<String>, PlanError> {
    let mut lines = Vec::new();
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        let invalid = |reason| PlanError::Invalid {
            field: "linux.timeOffsets",
            value: clock.clone(),
            reason,
        };
        if !plan.new_time {
            return Err(invalid("needs a new time namespace"));
        }
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(invalid("is neither monotonic nor boottime"));
        }
        let nanoseconds = offset.nanosecs().unwrap_or(0);
        lines.push(format!(
            "{clock} {} {nanoseconds}",
            offset.secs().unwrap_or(0)
        ));
    }
    lines.sort();
    Ok(lines)
}

/// The mappings of a document.
pub(super) fn mappings(document: &Option<Vec<LinuxIdMapping>>) -> Vec<IdMapping> {
    document
        .iter()
        .flatten()
        .map(|mapping| IdMapping {
            inside: mapping.container_id(),
            outside: mapping.host_id(),
            size: mapping.size(),
        })
        .collect()
}

fn kind(kind: LinuxNamespaceType) -> Namespace {
    match kind {
        LinuxNamespaceType::Mount => Namespace::Mount,
        LinuxNamespaceType::Cgroup => Namespace::Cgroup,
        LinuxNamespaceType::Uts => Namespace::Uts,
        LinuxNamespaceType::Ipc => Namespace::Ipc,
        LinuxNamespaceType::User => Namespace::User,
        LinuxNamespaceType::Pid => Namespace::Pid,
        LinuxNamespaceType::Network => Namespace::Network,
        LinuxNamespaceType::Time => Namespace::Time,
    }
}
