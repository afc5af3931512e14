//! Names that security modules of the kernel confine a process by.
//!
//! What names a module that is off is refused: who asked for confinement must not believe in it.

use gantry_sys::lsm::Modules;
use oci_spec::runtime::{Linux, Process};

use crate::error::PlanError;

/// The AppArmor profile of a process. To be unconfined can be had everywhere.
pub(super) fn profile(document: &Process, modules: Modules) -> Result<Option<String>, PlanError> {
    let given = document.apparmor_profile().as_ref();
    let wanted = given.filter(|profile| modules.apparmor || *profile != "unconfined");
    let reason = "needs AppArmor, which is not switched on in this system";
    asked(wanted, modules.apparmor, "process.apparmorProfile", reason)
}

/// The SELinux label of a process.
pub(super) fn of_process(
    document: &Process,
    modules: Modules,
) -> Result<Option<String>, PlanError> {
    let wanted = document.selinux_label().as_ref();
    asked(wanted, modules.selinux, "process.selinuxLabel", NO_SELINUX)
}

/// The SELinux label of the files that are mounted.
pub(super) fn of_files(linux: &Linux, modules: Modules) -> Result<Option<String>, PlanError> {
    let wanted = linux.mount_label().as_ref();
    asked(wanted, modules.selinux, "linux.mountLabel", NO_SELINUX)
}

const NO_SELINUX: &str = "needs SELinux, which is not switched on in this system";

fn asked(
    wanted: Option<&String>,
    active: bool,
    field: &'static str,
    reason: &'static str,
) -> Result<Option<String>, PlanError> {
    match wanted.filter(|wanted| !wanted.is_empty()) {
        Some(wanted) if !active => Err(PlanError::Invalid {
            field,
            value: wanted.clone(),
            reason,
        }),
        wanted => Ok(wanted.cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_module_heeds_is_refused() {
        let mut process = Process::default();
        let (off, on) = (
            Modules::default(),
            Modules {
                apparmor: true,
                selinux: true,
            },
        );
        let both =
            |process: &Process, modules| (profile(process, modules), of_process(process, modules));
        assert!(matches!(both(&process, off), (Ok(None), Ok(None))));
        process.set_apparmor_profile(Some("unconfined".to_owned()));
        process.set_selinux_label(Some(String::new()));
        assert!(matches!(both(&process, off), (Ok(None), Ok(None))));
        let got = both(&process, on);
        assert!(matches!(got, (Ok(Some(name)), Ok(None)) if name == "unconfined"));
        process.set_apparmor_profile(Some("web".to_owned()));
        process.set_selinux_label(Some("a:b:c:d".to_owned()));
        assert!(matches!(both(&process, off), (Err(_), Err(_))));
        let (name, label) = both(&process, on);
        assert_eq!(
            (name.expect("on"), label.expect("on")),
            (Some("web".to_owned()), Some("a:b:c:d".to_owned()))
        );
        let mut linux = Linux::default();
        linux.set_mount_label(Some("a:b:c:d".to_owned()));
        let refused = of_files(&linux, off).expect_err("off");
        assert!(refused.to_string().contains("SELinux"), "{refused}");
    }
}
