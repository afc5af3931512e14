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
    /// The AppArmor profile that was asked for.
    pub(crate) apparmor: Option<String>,
    /// What was said of SELinux.
    pub(crate) labels: Labels,
}

/// What was said of the container's SELinux labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    /// There are to be none.
    pub(crate) disabled: bool,
    /// Parts that are not the policy's default: which, and what it is.
    pub(crate) parts: Vec<(LabelPart, String)>,
}

/// A part of an SELinux label, in the order they have there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LabelPart {
    User,
    Role,
    Type,
    Level,
}

impl Labels {
    fn read(&mut self, value: &str) -> Option<()> {
        if value == "disable" {
            self.disabled = true;
            return Some(());
        }
        let (part, text) = value.split_once(':')?;
        let part = match part {
            "user" => LabelPart::User,
            "role" => LabelPart::Role,
            "type" => LabelPart::Type,
            "level" => LabelPart::Level,
            _ => return None,
        };
        // Of these the label of a mount is put together, among other options.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-,:".contains(&byte);
        if text.is_empty() || !text.bytes().all(plain) {
            return None;
        }
        self.parts.push((part, text.to_owned()));
        Some(())
    }
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
            ("apparmor", Some(profile)) if is_profile_name(profile) => {
                security.apparmor = Some(profile.to_owned());
            }
            ("label", Some(value)) => security.labels.read(value).ok_or_else(bad)?,
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

/// Whether the kernel takes a text for the name of one profile.
fn is_profile_name(text: &str) -> bool {
    !text.is_empty() && text.len() < 256 && !text.contains(|c: char| c.is_control() || c == ' ')
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
        let labels = got(&["label=disable", "apparmor=web"]).unwrap();
        assert!(labels.labels.disabled && labels.apparmor.as_deref() == Some("web"));
        let labels = got(&["label:type:web_t", "label=level:s0:c1,c2"]).unwrap();
        let parts = [(LabelPart::Type, "web_t"), (LabelPart::Level, "s0:c1,c2")];
        assert_eq!(
            labels.labels.parts,
            parts.map(|(part, text)| (part, text.to_owned()))
        );
        for bad in [
            "",
            "seccomp",
            "seccomp=",
            "x=y",
            "systempaths=x",
            "no-new-privileges=2",
            "apparmor=",
            "apparmor=a b",
            "label=",
            "label=enable",
            "label=type:",
            "label=colour:x",
            "label=type:a\"b",
        ] {
            assert!(got(&[bad]).is_err(), "{bad}");
        }
    }
}
