//! checkpoint, restore.

use std::path::PathBuf;

use gantry_oci::{CgroupMode, Checkpoint, CriuFlag, CriuRequest, Restore};

use super::Call;
use crate::failure::{Exit, Failure, Outcome};

/// The switches that criu has itself.
const FLAGS: [(&str, CriuFlag); 7] = [
    ("tcp-established", CriuFlag::Connections),
    ("tcp-skip-in-flight", CriuFlag::SkipConnecting),
    ("ext-unix-sk", CriuFlag::ExternalSockets),
    ("shell-job", CriuFlag::ShellJob),
    ("file-locks", CriuFlag::FileLocks),
    ("link-remap", CriuFlag::Links),
    ("auto-dedup", CriuFlag::Deduplicate),
];

const CGROUP_MODES: [(&str, CgroupMode); 4] = [
    ("soft", CgroupMode::Soft),
    ("full", CgroupMode::Full),
    ("strict", CgroupMode::Strict),
    ("ignore", CgroupMode::Ignore),
];

pub(super) fn checkpoint(call: &Call<'_>) -> Outcome {
    let words = &call.words;
    let hooks = gantry_oci::checkpoint(
        &call.root,
        &Checkpoint {
            id: &call.id(),
            criu: request(call, "checkpoint")?,
            parent: words.path("parent-path"),
            leave_running: words.is_set("leave-running"),
            pre_dump: words.is_set("pre-dump"),
        },
    )?;
    call.warn_of(hooks);
    Ok(Exit::SUCCESS)
}

pub(super) fn restore(call: &Call<'_>) -> Outcome {
    let words = &call.words;
    if call.systemd.is_some() {
        return Err(Failure::unsupported(
            "restore with the systemd cgroup driver is not supported: criu puts processes into \
             cgroups itself (use cgroupfs)",
        ));
    }
    let criu = request(call, "restore")?;
    let detach = words.is_set("detach");
    call.take_in_orphans(detach)?;
    let bundle = call.bundle();
    let (code, hooks) = gantry_oci::restore(
        &call.root,
        &Restore {
            id: &call.id(),
            bundle: &bundle,
            console_socket: words.path("console-socket").as_deref(),
            pid_file: words.path("pid-file").as_deref(),
            criu,
            detach,
        },
    )?;
    call.warn_of(hooks);
    Ok(Exit::from_code(code))
}

/// What both commands say to criu.
fn request(call: &Call<'_>, action: &str) -> Result<CriuRequest, Failure> {
    if !gantry_sys::system::is_root() {
        return Err(Failure::unsupported(format!(
            "{action} needs root: criu makes and reads processes that only root may"
        )));
    }
    let words = &call.words;
    let asked = FLAGS.iter().filter(|(name, _)| words.is_set(name));
    let cgroups = words.value("manage-cgroups-mode").map(|mode| {
        let known = CGROUP_MODES.iter().find(|(name, _)| *name == mode);
        known.map(|(_, mode)| *mode).ok_or_else(|| {
            Failure::invalid(format!(
                "--manage-cgroups-mode: {mode:?} is none of soft, full, strict and ignore"
            ))
        })
    });
    let left_out = words.values("empty-ns");
    if let Some(other) = left_out.iter().find(|kind| *kind != "network") {
        return Err(Failure::invalid(format!(
            "--empty-ns: only network can be left out, not {other:?}"
        )));
    }
    Ok(CriuRequest {
        program: call.criu.clone(),
        images: words
            .path("image-path")
            .unwrap_or_else(|| PathBuf::from("checkpoint")),
        work: words.path("work-path"),
        flags: asked.map(|(_, flag)| *flag).collect(),
        cgroups: cgroups.transpose()?,
        empty_network: !left_out.is_empty(),
    })
}
