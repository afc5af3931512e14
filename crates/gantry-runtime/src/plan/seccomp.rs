//! The document's `linux.seccomp` as the profile that is compiled.

use std::borrow::Cow;
use std::path::PathBuf;

use gantry_sys::seccomp::{Action, Arch, ArgCheck, Filter, LoadFlags, Op, Profile, Rule};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompArg};

use crate::error::PlanError;

/// Compiles what `linux.seccomp` says.
///
/// # Errors
/// As [`profile`], and for a profile that no filter can be made of.
pub fn compile(document: &LinuxSeccomp) -> Result<Filter, PlanError> {
    let profile = profile(document)?;
    if profile.may_notify("sendmsg") {
        // The process itself hands the descriptor over, when the filter is loaded.
        let reason = "cannot be decided by the listener: it is how the listener gets to know";
        return Err(invalid("linux.seccomp.syscalls", "sendmsg", reason));
    }
    Filter::compile(&profile).map_err(|source| PlanError::Seccomp { source })
}

/// Who decides about the calls of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The socket it listens at.
    pub path: PathBuf,
    /// What it is told, as it is.
    pub metadata: String,
}

impl Listener {
    /// The listener of a document.
    pub fn of(document: &LinuxSeccomp) -> Option<Listener> {
        Some(Listener {
            path: document.listener_path().clone()?,
            metadata: document.listener_metadata().clone().unwrap_or_default(),
        })
    }
}

/// What `linux.seccomp` says (OCI runtime-spec, `config-linux.md`, "Seccomp").
///
/// # Errors
/// [`PlanError`] for what this runtime does not do: a listener, an unknown action or operator.
pub(crate) fn profile(document: &LinuxSeccomp) -> Result<Profile, PlanError> {
    let mut flags = match document.listener_path() {
        Some(_) => LoadFlags::LISTENER,
        None => LoadFlags::NONE,
    };
    for flag in document.flags().iter().flatten() {
        let name = flag.to_string();
        let flag = LoadFlags::from_oci_name(&name)
            .ok_or_else(|| invalid("linux.seccomp.flags", &name, "is no flag of this runtime"))?;
        flags = flags.with(flag);
    }
    let mut rules = Vec::new();
    for call in document.syscalls().iter().flatten() {
        rules.push(Rule {
            names: call
                .names()
                .iter()
                .map(|name| Cow::Owned(name.clone()))
                .collect(),
            action: action(&call.action().to_string(), call.errno_ret())?,
            args: call
                .args()
                .iter()
                .flatten()
                .map(check)
                .collect::<Result<_, _>>()?,
        });
    }
    let architectures = document.architectures().iter().flatten();
    Ok(Profile {
        default_action: action(
            &document.default_action().to_string(),
            document.default_errno_ret(),
        )?,
        // Architectures that this machine does not have bring nothing to refuse or allow.
        architectures: architectures
            .filter_map(|arch| Arch::from_oci_name(&arch.to_string()))
            .collect(),
        flags,
        rules,
    })
}

fn action(name: &str, errno: Option<u32>) -> Result<Action, PlanError> {
    Action::from_oci_name(name, errno)
        .ok_or_else(|| invalid("linux.seccomp action", name, "is no action of this runtime"))
}

fn check(argument: &LinuxSeccompArg) -> Result<ArgCheck, PlanError> {
    let name = argument.op().to_string();
    let index = u32::try_from(argument.index())
        .ok()
        .filter(|index| *index < 6)
        .ok_or_else(|| {
            invalid(
                "linux.seccomp argument",
                &argument.index().to_string(),
                "is not 0 to 5",
            )
        })?;
    Ok(ArgCheck {
        index,
        value: argument.value(),
        value_two: argument.value_two().unwrap_or_default(),
        op: Op::from_oci_name(&name)
            .ok_or_else(|| invalid("linux.seccomp operator", &name, "is no operator"))?,
    })
}

fn invalid(field: &'static str, value: &str, reason: &'static str) -> PlanError {
    PlanError::Invalid {
        field,
        value: value.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Profile, PlanError> {
        profile(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_document_becomes_a_profile() {
        let got = read(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,
            "architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"flags":["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
            {"names":["personality"],"action":"SCMP_ACT_ALLOW",
             "args":[{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]}]}"#,
        )
        .unwrap();
        assert_eq!(got.default_action, Action::Errno(38));
        assert_eq!(got.flags, LoadFlags::LOG);
        assert_eq!(got.architectures.len(), 2);
        assert_eq!(got.rules[0].names, ["read", "write"]);
        assert_eq!(
            got.rules[1].args,
            [ArgCheck {
                index: 0,
                value: 8,
                value_two: 0,
                op: Op::Equal
            }]
        );
    }

    #[test]
    fn what_is_not_done_is_refused() {
        for text in [
            r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG"],
                "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW",
                "args":[{"index":7,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],
                "action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_listener_is_asked_about_what_it_can_be_asked_about() {
        let text = |call: &str| {
            format!(
                r#"{{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x","syscalls":[
                {{"names":["{call}"],"action":"SCMP_ACT_NOTIFY"}}]}}"#
            )
        };
        let read = |text: String| compile(&serde_json::from_str(&text).unwrap());
        assert!(read(text("mkdir")).unwrap().listens());
        assert!(read(text("sendmsg")).is_err());
        let without = text("mkdir").replace(r#""listenerPath":"/x","#, "");
        assert!(read(without).is_err());
    }
}
