//! `--security-opt` and what follows from it.

use super::SpecError;

/// The security options of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Security {
    /// The system call filter.
    pub(crate) seccomp: SeccompChoice,
    /// Whether the process may not gain privileges by executing a file.
    pub(crate) no_new_privileges: bool,
    /// Whether masked and read-only paths of `/proc` and `/sys` are as the kernel made them.
    pub(crate) system_paths_unconfined: bool,
}

/// Which system call filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum SeccompChoice {
    /// Docker's default.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile file, as named by the user.
    File(String),
}

/// Reads the options as written.
pub(crate) fn parse(options: &[String]) -> Result<Security, SpecError> {
    let mut security = Security::default();
    for option in options {
        let bad = || SpecError::SecurityOption(option.chars().take(100).collect());
        // Docker's old form has a colon.
        let (key, value) = match option.split_once('=').or_else(|| option.split_once(':')) {
            Some((key, value)) => (key, Some(value)),
            None => (option.as_str(), None),
        };
        match (key, value) {
            ("no-new-privileges", None | Some("true")) => security.no_new_privileges = true,
            ("no-new-privileges", Some("false")) => security.no_new_privileges = false,
            ("seccomp", Some("unconfined")) => security.seccomp = SeccompChoice::Unconfined,
            ("seccomp", Some("builtin")) => security.seccomp = SeccompChoice::Default,
            ("seccomp", Some(path)) if !path.is_empty() => {
                security.seccomp = SeccompChoice::File(path.to_owned());
            }
            ("systempaths", Some("unconfined")) => security.system_paths_unconfined = true,
            // As Docker where the host has neither module switched on: accepted, without effect.
            ("apparmor" | "label", Some(value)) if !value.is_empty() => {}
            ("credentialspec", _) => {
                return Err(SpecError::Unsupported(
                    "--security-opt credentialspec (Windows)",
                ));
            }
            ("writable-cgroups", _) => {
                return Err(SpecError::Unsupported("--security-opt writable-cgroups"));
            }
            _ => return Err(bad()),
        }
    }
    Ok(security)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(options: &[&str]) -> Result<Security, SpecError> {
        parse(&options.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_dockers() {
        assert_eq!(got(&[]).unwrap(), Security::default());
        for option in [
            "no-new-privileges",
            "no-new-privileges=true",
            "no-new-privileges:true",
        ] {
            assert!(got(&[option]).unwrap().no_new_privileges, "{option}");
        }
        let unconfined = got(&["seccomp=unconfined", "systempaths=unconfined"]).unwrap();
        assert_eq!(unconfined.seccomp, SeccompChoice::Unconfined);
        assert!(unconfined.system_paths_unconfined);
        let file = got(&["seccomp:/a/b.json"]).unwrap();
        assert_eq!(file.seccomp, SeccompChoice::File("/a/b.json".into()));
        assert_eq!(
            got(&["label=disable", "apparmor=unconfined"]).unwrap(),
            Security::default()
        );
        for bad in [
            "",
            "seccomp",
            "seccomp=",
            "x=y",
            "systempaths=x",
            "no-new-privileges=2",
        ] {
            assert!(got(&[bad]).is_err(), "{bad}");
        }
    }
}
