//! The parts of the document's `process` that need translating.

use gantry_sys::capability::{Capability, Set, Sets};
use gantry_sys::lsm::Modules;
use gantry_sys::rlimit::{self, Limit};
use oci_spec::runtime::{LinuxCapabilities, PosixRlimit, Process};

use super::{Placement, ProcessPlan, labels};
use crate::error::PlanError;

/// What the document's `process` comes to. The seccomp filter and the personality are the
/// container's and left out.
///
/// # Errors
/// [`PlanError`] naming what cannot be.
pub(crate) fn process(
    document: &Process,
    last_supported: Capability,
    modules: Modules,
) -> Result<ProcessPlan, PlanError> {
    let args = document.args().clone().unwrap_or_default();
    if args.first().is_none_or(String::is_empty) {
        return Err(PlanError::Missing {
            field: "process.args",
        });
    }
    if !document.cwd().is_absolute() {
        return Err(PlanError::Invalid {
            field: "process.cwd",
            value: document.cwd().display().to_string(),
            reason: "is not an absolute path",
        });
    }
    let zero = |text: &&String| text.contains('\0');
    let env = document.env().clone().unwrap_or_default();
    if let Some(text) = args.iter().chain(&env).find(zero) {
        return Err(PlanError::Invalid {
            field: "process.args or process.env",
            value: text.clone(),
            reason: "holds a zero byte",
        });
    }
    let user = document.user();
    let groups = user.additional_gids().clone().unwrap_or_default();
    if [user.uid(), user.gid()]
        .iter()
        .chain(&groups)
        .any(|id| *id == u32::MAX)
    {
        return Err(PlanError::Invalid {
            field: "process.user",
            value: u32::MAX.to_string(),
            reason: "is the ID of no user and no group",
        });
    }
    Ok(ProcessPlan {
        args,
        env,
        cwd: document.cwd().clone(),
        uid: user.uid(),
        gid: user.gid(),
        groups,
        umask: user.umask().unwrap_or(0o022) & 0o777,
        capabilities: capabilities(document.capabilities().as_ref(), last_supported)?,
        rlimits: rlimits(document.rlimits().as_deref().unwrap_or_default())?,
        strict_rlimits: false,
        keep_keyring: false,
        no_new_privileges: document.no_new_privileges().unwrap_or(false),
        oom_score_adj: document.oom_score_adj(),
        apparmor_profile: labels::profile(document, modules)?,
        selinux_label: labels::of_process(document, modules)?,
        personality: None,
        placement: Placement::of(document)?,
        seccomp: None,
    })
}

/// The capability sets (OCI runtime-spec, `config.md`, "Linux Process"); a document without
/// `capabilities` asks for none. What this kernel does not know is left out, as runc does.
///
/// # Errors
/// [`PlanError::Invalid`] for a name that is no capability.
pub(crate) fn capabilities(
    document: Option<&LinuxCapabilities>,
    last_supported: Capability,
) -> Result<Sets, PlanError> {
    let Some(document) = document else {
        return Ok(Sets::default());
    };
    let known: Set = Capability::all().filter(|c| *c <= last_supported).collect();
    let set = |names: &Option<oci_spec::runtime::Capabilities>| -> Result<Set, PlanError> {
        let names: Vec<String> = names.iter().flatten().map(ToString::to_string).collect();
        let parsed =
            Set::parse(names.iter().map(String::as_str)).map_err(|unknown| PlanError::Invalid {
                field: "process.capabilities",
                value: unknown.name,
                reason: "is no capability",
            })?;
        Ok(parsed.intersection(known))
    };
    Ok(Sets {
        bounding: set(document.bounding())?,
        effective: set(document.effective())?,
        permitted: set(document.permitted())?,
        inheritable: set(document.inheritable())?,
        ambient: set(document.ambient())?,
    })
}

/// The resource limits, in order.
///
/// # Errors
/// [`PlanError::Invalid`] for an unknown one, one given twice, or a soft limit above the hard.
pub(crate) fn rlimits(document: &[PosixRlimit]) -> Result<Vec<Limit>, PlanError> {
    let mut limits: Vec<Limit> = Vec::with_capacity(document.len());
    for written in document {
        let name = written.typ().to_string();
        let invalid = |reason| PlanError::Invalid {
            field: "process.rlimits",
            value: name.clone(),
            reason,
        };
        let resource = rlimit::resource(&name).ok_or_else(|| invalid("is no resource limit"))?;
        if limits.iter().any(|limit| limit.resource == resource) {
            return Err(invalid("is given twice"));
        }
        if written.soft() > written.hard() {
            return Err(invalid("has a soft limit above its hard one"));
        }
        limits.push(Limit {
            resource,
            soft: written.soft(),
            hard: written.hard(),
        });
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_cut_to_what_the_kernel_knows() {
        let document: LinuxCapabilities = serde_json::from_str(
            r#"{"bounding":["CAP_CHOWN","CAP_CHECKPOINT_RESTORE"],"effective":["CAP_CHOWN"],
            "permitted":["CAP_CHOWN"],"inheritable":[],"ambient":[]}"#,
        )
        .unwrap();
        let old: Capability = "AUDIT_READ".parse().unwrap();
        let sets = capabilities(Some(&document), old).unwrap();
        assert_eq!(sets.bounding.bits(), 1);
        assert_eq!(sets.effective.bits(), 1);
        assert_eq!(capabilities(None, old).unwrap(), Sets::default());
    }

    #[test]
    fn limits_are_checked() {
        let read = |text: &str| rlimits(&serde_json::from_str::<Vec<PosixRlimit>>(text).unwrap());
        let one = r#"[{"type":"RLIMIT_NOFILE","soft":1,"hard":2}]"#;
        assert_eq!(
            read(one).unwrap(),
            [Limit {
                resource: "nofile",
                soft: 1,
                hard: 2
            }]
        );
        assert!(read(r#"[{"type":"RLIMIT_NOFILE","soft":3,"hard":2}]"#).is_err());
        assert!(
            read(
                r#"[{"type":"RLIMIT_CORE","soft":1,"hard":2},{"type":"RLIMIT_CORE","soft":1,"hard":2}]"#
            )
            .is_err()
        );
    }
}
