//! Why a machine does not let its users make user namespaces.

use std::fs;
use std::io;

use rustix::io::Errno;

/// A kernel parameter that forbids it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knob {
    /// Its name, as sysctl(8) takes it.
    pub name: &'static str,
    /// What it must be.
    pub wanted: &'static str,
}

const CLONE: Knob = Knob {
    name: "kernel.unprivileged_userns_clone",
    wanted: "1",
};
const MOST: Knob = Knob {
    name: "user.max_user_namespaces",
    wanted: "15000",
};
const APPARMOR: Knob = Knob {
    name: "kernel.apparmor_restrict_unprivileged_userns",
    wanted: "0",
};

/// The parameter that explains a failure, by what the parameters are now.
pub(super) fn explain(error: &io::Error) -> Option<Knob> {
    decide(error.raw_os_error(), |knob| {
        let path = format!("/proc/sys/{}", knob.name.replace('.', "/"));
        fs::read_to_string(path).ok()
    })
}

fn decide(errno: Option<i32>, value: impl Fn(Knob) -> Option<String>) -> Option<Knob> {
    let is = |knob, bad: &str| value(knob).is_some_and(|text| text.trim() == bad);
    let errno = errno.map(Errno::from_raw_os_error);
    match errno {
        // Too many of them; or none may be at all.
        Some(Errno::NOSPC | Errno::USERS) => Some(MOST),
        Some(Errno::PERM | Errno::ACCESS) if is(CLONE, "0") => Some(CLONE),
        Some(Errno::PERM | Errno::ACCESS) if is(APPARMOR, "1") => Some(APPARMOR),
        Some(Errno::PERM | Errno::ACCESS) if is(MOST, "0") => Some(MOST),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_in_the_way_is_named() {
        let machine = |set: &'static [(&str, &str)]| {
            move |knob: Knob| {
                let found = set.iter().find(|(name, _)| *name == knob.name);
                found.map(|(_, value)| format!("{value}\n"))
            }
        };
        let errno = |errno: Errno| Some(errno.raw_os_error());
        for (errno, set, expected) in [
            (errno(Errno::NOSPC), &[][..], Some(MOST)),
            (errno(Errno::USERS), &[], Some(MOST)),
            (errno(Errno::PERM), &[(CLONE.name, "0")], Some(CLONE)),
            (errno(Errno::PERM), &[(CLONE.name, "1")], None),
            (
                errno(Errno::ACCESS),
                &[(APPARMOR.name, "1")],
                Some(APPARMOR),
            ),
            (
                errno(Errno::PERM),
                &[(APPARMOR.name, "0"), (MOST.name, "0")],
                Some(MOST),
            ),
            (errno(Errno::INVAL), &[(CLONE.name, "0")], None),
            (None, &[(CLONE.name, "0")], None),
        ] {
            assert_eq!(decide(errno, machine(set)), expected, "{errno:?} {set:?}");
        }
    }
}
