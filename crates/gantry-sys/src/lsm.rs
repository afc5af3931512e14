//! The kernel's modules that confine a process by a name: AppArmor's profiles, SELinux's labels.
//!
//! What a process is to become is written before it executes: the change comes with the next
//! `execve`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Which of them are switched on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modules {
    /// AppArmor.
    pub apparmor: bool,
    /// SELinux, with a policy.
    pub selinux: bool,
}

impl Modules {
    /// Those of this machine.
    #[must_use]
    pub fn active() -> Modules {
        let enabled = fs::read("/sys/module/apparmor/parameters/enabled");
        Modules {
            apparmor: enabled.is_ok_and(|text| text.starts_with(b"Y")),
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        }
    }
}

/// Has the next command of this process execute under an AppArmor profile. `/proc` must be one
/// that no container has touched.
///
/// # Errors
/// The kernel's; `ENOENT` when no profile of this name is loaded.
pub fn set_exec_profile(profile: &str) -> io::Result<()> {
    let text = format!("exec {profile}");
    // Where several modules share the older file, it is the first one's.
    match write_attribute("/proc/self/attr/apparmor/exec", &text) {
        Err(error) if !Path::new("/proc/self/attr/apparmor").exists() => {
            write_attribute("/proc/self/attr/exec", &text).map_err(|older| {
                if older.kind() == io::ErrorKind::NotFound {
                    error
                } else {
                    older
                }
            })
        }
        other => other,
    }
}

/// Has the next command of this process execute with an SELinux label. `/proc` must be one that no
/// container has touched.
///
/// # Errors
/// The kernel's; `EINVAL` for a label that the policy does not know.
pub fn set_exec_label(label: &str) -> io::Result<()> {
    write_attribute("/proc/self/attr/exec", label)
}

/// Writes to the kernel and to nobody else: a file that somebody has put there would take the
/// text just as well, and the command would run unconfined (CVE-2019-16884).
fn write_attribute(path: &str, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    if rustix::fs::fstatfs(&file)?.f_type != rustix::fs::PROC_SUPER_MAGIC {
        return Err(rustix::io::Errno::PERM.into());
    }
    // One write, since each is a change of its own.
    file.write_all(text.as_bytes())
}

/// Whether an AppArmor profile is loaded; `None` where the list cannot be read.
#[must_use]
pub fn is_profile_loaded(profile: &str) -> Option<bool> {
    let list = fs::read_to_string("/sys/kernel/security/apparmor/profiles").ok()?;
    Some(names(&list).any(|name| name == profile))
}

/// The names in a list of lines like `docker-default (enforce)`.
fn names(list: &str) -> impl Iterator<Item = &str> {
    list.lines()
        .filter_map(|line| Some(line.rsplit_once(" (")?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_profiles_is_read() {
        let list = "/usr/bin/man (enforce)\nwith (paren) (complain)\nbroken\n";
        assert_eq!(
            names(list).collect::<Vec<_>>(),
            ["/usr/bin/man", "with (paren)"]
        );
    }

    #[test]
    fn a_file_that_is_not_the_kernels_is_not_written() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().to_str().expect("a plain path");
        let refused = write_attribute(path, "exec x").expect_err("it is no file of the kernel's");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(fs::read(path).expect("it is there"), b"");
    }
}
