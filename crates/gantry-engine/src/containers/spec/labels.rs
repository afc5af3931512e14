//! The names that security modules of the host's kernel confine a container by.

use gantry_sys::lsm::Modules;
use oci_spec::runtime::Process;

use super::SpecError;
use super::security::{LabelPart, Security};

/// The AppArmor profile of containers that ask for none.
pub(crate) const DEFAULT_PROFILE: &str = "gantry-default";

/// What the host has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Confinement {
    /// Its modules.
    pub(crate) modules: Modules,
    /// Whether the default profile is loaded, or can be.
    pub(crate) default_profile: bool,
    /// What the policy says of containers (`lxc_contexts`), where SELinux is on.
    pub(crate) contexts: Option<String>,
}

/// The names of one container; empty where nothing confines it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The AppArmor profile.
    pub(crate) profile: String,
    /// The SELinux label of its processes.
    pub(crate) process: String,
    /// The SELinux label of its files.
    pub(crate) files: String,
}

/// Decides by what was asked for. As in Docker every container has the default profile where that
/// can be had, and only who asks for SELinux labels gets them; what names a module that is off is
/// refused. `id` tells the containers of one policy from each other.
pub(crate) fn decide(
    security: &Security,
    privileged: bool,
    id: &str,
    host: &Confinement,
) -> Result<Names, SpecError> {
    let profile = match security.apparmor.as_deref() {
        Some("unconfined") | None if !host.modules.apparmor => "",
        Some(asked) if !host.modules.apparmor => {
            return Err(SpecError::NoModule {
                option: format!("apparmor={asked}"),
                module: "AppArmor",
                none: "apparmor=unconfined",
            });
        }
        Some(asked) => asked,
        None if privileged => "unconfined",
        None if host.default_profile => DEFAULT_PROFILE,
        None => "",
    };
    let labels = &security.labels;
    let mut names = Names {
        profile: profile.to_owned(),
        ..Names::default()
    };
    let Some((part, text)) = labels.parts.first().filter(|_| !labels.disabled) else {
        return Ok(names);
    };
    if !host.modules.selinux {
        return Err(SpecError::NoModule {
            option: format!("label={}:{text}", format!("{part:?}").to_lowercase()),
            module: "SELinux",
            none: "label=disable",
        });
    }
    let contexts = host.contexts.as_deref().unwrap_or_default();
    let missing = |kind| SpecError::NoContext { kind };
    let process = context(contexts, "process").ok_or_else(|| missing("process"))?;
    let files = context(contexts, "file").ok_or_else(|| missing("file"))?;
    let level = format!("s0:{}", categories(id));
    names.process = changed(process, &level, labels.parts.iter());
    // Users, roles and types are for processes; who may see the files is the level's affair.
    let is_level = |(part, _): &&(LabelPart, String)| *part == LabelPart::Level;
    names.files = changed(files, &level, labels.parts.iter().filter(is_level));
    Ok(names)
}

/// Writes the names of its processes into the document of one.
pub(crate) fn confine(process: &mut Process, names: &Names) {
    process.set_apparmor_profile(given(&names.profile));
    process.set_selinux_label(given(&names.process));
}

/// A name, where there is one.
pub(crate) fn given(name: &str) -> Option<String> {
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

/// A line `kind = "label"` of the policy.
fn context<'a>(contexts: &'a str, kind: &str) -> Option<&'a str> {
    let of = |line: &'a str| {
        let (key, value) = line.split_once('=')?;
        let label = value.trim().trim_matches('"');
        (key.trim() == kind && label.split(':').count() >= 3).then_some(label)
    };
    contexts.lines().find_map(of)
}

fn changed<'a>(
    label: &str,
    level: &str,
    parts: impl Iterator<Item = &'a (LabelPart, String)>,
) -> String {
    let mut all: Vec<&str> = label.splitn(4, ':').take(3).collect();
    all.push(level);
    for (part, text) in parts {
        let at = match part {
            LabelPart::User => 0,
            LabelPart::Role => 1,
            LabelPart::Type => 2,
            LabelPart::Level => 3,
        };
        if let Some(old) = all.get_mut(at) {
            *old = text;
        }
    }
    all.join(":")
}

/// Two of the 1024 categories, by the container's id: hardly two containers have the same, and
/// one keeps its own over restarts without a note of it.
fn categories(id: &str) -> String {
    let digits = id.get(..8).unwrap_or_default();
    let number = u32::from_str_radix(digits, 16).unwrap_or_default();
    let (first, second) = (number % 1024, (number / 1024) % 1023);
    // Never twice the same.
    let second = if second >= first { second + 1 } else { second };
    format!("c{},c{}", first.min(second), first.max(second))
}

#[cfg(test)]
mod tests {
    use super::super::security;
    use super::*;

    const POLICY: &str = "process = \"system_u:system_r:container_t:s0\"\n\
        content = \"x:y:z:s0\"\nfile = \"system_u:object_r:container_file_t:s0\"\n";

    fn names(
        options: &[&str],
        privileged: bool,
        host: &Confinement,
    ) -> Result<[String; 3], SpecError> {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let security = security::parse(&options).unwrap();
        let names = decide(&security, privileged, "00000801ffff", host)?;
        Ok([names.profile, names.process, names.files])
    }

    #[test]
    fn a_host_without_modules_confines_by_none() {
        let host = Confinement::default();
        let none = [&[][..], &["label=disable"], &["apparmor=unconfined"]];
        for options in none {
            assert_eq!(names(options, false, &host).unwrap(), ["", "", ""]);
        }
        for (option, told) in [
            ("apparmor=web", "--security-opt apparmor=web needs AppArmor"),
            (
                "label=type:a_t",
                "--security-opt label=type:a_t needs SELinux",
            ),
        ] {
            let refused = names(&[option], true, &host).unwrap_err().to_string();
            assert!(refused.starts_with(told), "{refused}");
        }
        assert!(names(&["label=type:a_t", "label=disable"], false, &host).is_ok());
    }

    #[test]
    fn profiles_are_dockers_choice() {
        let mut host = Confinement {
            modules: Modules {
                apparmor: true,
                selinux: false,
            },
            default_profile: true,
            contexts: None,
        };
        let profile = |options: &[&str], privileged, host: &Confinement| {
            let [profile, ..] = names(options, privileged, host).unwrap();
            profile
        };
        assert_eq!(profile(&[], false, &host), DEFAULT_PROFILE);
        assert_eq!(profile(&[], true, &host), "unconfined");
        assert_eq!(profile(&["apparmor=web"], true, &host), "web");
        assert_eq!(
            profile(&["apparmor=unconfined"], false, &host),
            "unconfined"
        );
        host.default_profile = false;
        assert_eq!(profile(&[], false, &host), "");
    }

    #[test]
    fn labels_are_the_policys_with_a_level_of_the_containers() {
        let mut host = Confinement {
            modules: Modules {
                apparmor: false,
                selinux: true,
            },
            default_profile: false,
            contexts: Some(POLICY.to_owned()),
        };
        assert_eq!(names(&[], false, &host).unwrap(), ["", "", ""]);
        assert_eq!(
            names(&["label=type:web_t"], false, &host).unwrap(),
            [
                "",
                "system_u:system_r:web_t:s0:c1,c3",
                "system_u:object_r:container_file_t:s0:c1,c3"
            ]
        );
        assert_eq!(
            names(&["label=level:s0:c5", "label=user:me_u"], false, &host).unwrap(),
            [
                "",
                "me_u:system_r:container_t:s0:c5",
                "system_u:object_r:container_file_t:s0:c5"
            ]
        );
        host.contexts = Some("process = nonsense\n".to_owned());
        let refused = names(&["label=type:web_t"], false, &host).unwrap_err();
        assert!(refused.to_string().contains("lxc_contexts"), "{refused}");
    }
}
