//! The confinement and the limits of a step, written into the document of its container.

use gantry_runtime::{Confinement, SystemCalls, UnknownLimit, rlimits};
use oci_spec::runtime::{Linux, Spec};

use crate::graph::RunOperation;

/// Confines and limits what the document is for. A step that is confined by nothing keeps what it
/// was promised, and is limited all the same.
///
/// # Errors
/// [`UnknownLimit`].
pub(super) fn confine(
    document: &mut Spec,
    id: &str,
    operation: &RunOperation,
    confinement: &Confinement,
) -> Result<(), UnknownLimit> {
    let limits = rlimits(&operation.ulimits)?;
    if let Some(process) = document.process_mut() {
        process.set_apparmor_profile(confinement.apparmor.clone());
        process.set_no_new_privileges(Some(confinement.no_new_privileges));
        process.set_rlimits((!limits.is_empty()).then_some(limits));
    }
    if let Some(linux) = document.linux_mut() {
        limit(linux, confinement);
        linux.set_cgroups_path(Some(crate::run_folder::cgroup(
            &confinement.cgroup_parent,
            id,
        )));
        linux.set_seccomp(match &confinement.seccomp {
            SystemCalls::Profile(filter) if !operation.insecure => Some(filter.as_ref().clone()),
            _ => None,
        });
        if confinement.open_system_paths {
            linux.set_masked_paths(None);
            linux.set_readonly_paths(None);
        }
    }
    Ok(())
}

/// The rules for devices are those of the document.
fn limit(linux: &mut Linux, confinement: &Confinement) {
    let rules = linux
        .resources()
        .as_ref()
        .and_then(|own| own.devices().clone());
    let mut resources = confinement.resources.clone();
    resources.set_devices(rules);
    linux.set_resources(Some(resources));
}

/// Whether a step is let use the system calls of Docker's default profile; else the document says
/// which ones.
pub(super) fn has_usual_system_calls(operation: &RunOperation, confinement: &Confinement) -> bool {
    !operation.insecure && matches!(confinement.seccomp, SystemCalls::Usual)
}
