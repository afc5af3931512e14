//! Capabilities: Docker's default set, added to and taken from.

use gantry_sys::capability;

use super::SpecError;

/// What a container has that asks for nothing.
pub(crate) const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The capabilities of a container, without `CAP_`, sorted. `all` is what there is to have:
/// the capabilities of this kernel that Gantry itself holds.
pub(crate) fn decide(
    add: &[String],
    drop: &[String],
    privileged: bool,
    all: &[&'static str],
) -> Result<Vec<String>, SpecError> {
    let add = normalize(add, "CapAdd")?;
    let drop = normalize(drop, "CapDrop")?;
    let owned = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let has = |list: &[String], name: &str| list.iter().any(|item| item == name);
    let mut set = if privileged {
        owned(all)
    } else if has(&add, "ALL") {
        owned(all)
            .into_iter()
            .filter(|name| !has(&drop, name))
            .collect()
    } else if has(&drop, "ALL") {
        add
    } else {
        let kept = DEFAULT.iter().filter(|name| !has(&drop, name));
        kept.map(|name| (*name).to_owned()).chain(add).collect()
    };
    set.sort_unstable();
    set.dedup();
    Ok(set)
}

fn normalize(names: &[String], field: &'static str) -> Result<Vec<String>, SpecError> {
    names
        .iter()
        .map(|name| {
            let upper = name.trim().to_ascii_uppercase();
            let bare = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
            if bare == "ALL" || bare.parse::<capability::Capability>().is_ok() {
                Ok(bare)
            } else {
                let name = name.chars().take(60).collect();
                Err(SpecError::Capability { field, name })
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 4] = ["CHOWN", "KILL", "NET_ADMIN", "SYS_ADMIN"];

    fn got(add: &[&str], drop: &[&str], privileged: bool) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        decide(&owned(add), &owned(drop), privileged, &ALL).unwrap()
    }

    #[test]
    fn sets_are_dockers() {
        assert_eq!(got(&[], &[], false), DEFAULT);
        assert_eq!(got(&["net_admin", "CAP_KILL"], &[], false).len(), 15);
        assert!(!got(&[], &["cap_kill"], false).contains(&"KILL".to_owned()));
        assert_eq!(got(&["SYS_ADMIN"], &["ALL"], false), ["SYS_ADMIN"]);
        assert_eq!(
            got(&["ALL"], &["KILL"], false),
            ["CHOWN", "NET_ADMIN", "SYS_ADMIN"]
        );
        assert_eq!(got(&[], &["ALL"], true), ALL);
        assert!(got(&[], &["ALL"], false).is_empty());
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let error = decide(&["NET_FLY".into()], &[], false, &ALL).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid CapAdd: unknown capability: \"NET_FLY\""
        );
    }
}
