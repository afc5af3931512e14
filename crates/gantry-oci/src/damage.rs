//! What can be done with a container whose record is damaged or gone: its processes are found
//! through the document it was made from.

use gantry_sys::cgroup::{Cgroup, Layout};
use gantry_sys::process::Process;
use oci_spec::runtime::Spec;

use crate::container::Container;
use crate::create::{has_own_pids, name_cgroup};
use crate::error::OciError;
use crate::kill::KILL;

/// Kills the processes in the cgroup that the container's document names, and removes the cgroup
/// if nobody else is in it. Without a document, or with a cgroup that systemd names, nothing is
/// known of any.
pub(crate) fn end_unrecorded(container: &Container) -> Result<(), OciError> {
    let Ok(mut spec) = container.spec() else {
        return Ok(());
    };
    name_cgroup(&mut spec, container.id(), false);
    let Some(cgroup) = cgroup_of(&spec) else {
        return Ok(());
    };
    let Ok(pids) = cgroup.pids() else {
        return Ok(());
    };
    let own_pids = spec.linux().as_ref().is_some_and(has_own_pids);
    for pid in pids {
        let process = Process::open(pid).ok();
        // The cgroup may be one that the host's processes are in, too.
        if let Some(process) = process.filter(|_| !own_pids || is_inside(pid)) {
            process
                .signal(KILL)
                .map_err(OciError::system("kill the container"))?;
        }
    }
    // One that others use stays.
    drop(cgroup.remove());
    Ok(())
}

/// The cgroup that is a container's own by its document: never the one of the whole machine.
fn cgroup_of(spec: &Spec) -> Option<Cgroup> {
    let path = spec.linux().as_ref()?.cgroups_path().as_ref()?;
    let text = path.to_str()?;
    if text.contains(':') || text.split('/').all(|part| part.is_empty() || part == ".") {
        return None;
    }
    Cgroup::at(&Layout::detect().ok()?, path).ok()
}

/// Whether a process is in another PID namespace than this one.
fn is_inside(pid: i32) -> bool {
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/pid")).ok();
    let (its, own) = (namespace(&pid.to_string()), namespace("self"));
    its.is_some() && its != own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_cgroup_is_no_containers() {
        for path in ["/", "", "./", "//", "system.slice:a:b"] {
            let text = format!(r#"{{"ociVersion":"1.0.0","linux":{{"cgroupsPath":"{path}"}}}}"#);
            let spec: Spec = serde_json::from_str(&text).unwrap();
            assert!(cgroup_of(&spec).is_none(), "{path}");
        }
        assert!(!is_inside(i32::try_from(std::process::id()).unwrap()));
        assert!(!is_inside(i32::MAX));
    }
}
