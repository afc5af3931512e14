//! The options of a mount (OCI runtime-spec, `config.md`, "Linux mount options").

use gantry_sys::mount::{Attributes, Propagation};

use super::MountChange;

/// What the options of a mount say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MountOptions {
    /// `Some(recursive)` for a bind mount.
    pub bind: Option<bool>,
    /// For the mount itself.
    pub change: MountChange,
    /// For the mounts below as well.
    pub change_all: MountChange,
    pub propagation: Option<(Propagation, bool)>,
    /// `Some(recursive)` for an ID-mapped mount.
    pub id_map: Option<bool>,
    /// What is left for the file system.
    pub parameters: Vec<(String, Option<String>)>,
    /// `x-gantry.subpath`: the part of the source that is shown, looked up within it.
    pub subpath: Option<String>,
    /// `x-gantry.namespace`: file of the mount namespace that the source is in.
    pub namespace: Option<String>,
    /// Only change what is mounted there already.
    pub remount: bool,
    /// Begin with what the directory that is mounted on holds.
    pub copy_up: bool,
    /// The first option that is known but not done.
    pub unsupported: Option<String>,
}

/// Reads options, later ones overriding earlier ones.
pub(super) fn parse(options: &[String]) -> MountOptions {
    let mut parsed = MountOptions::default();
    for option in options {
        parsed.add(option);
    }
    parsed
}

impl MountOptions {
    fn add(&mut self, option: &str) {
        match option {
            "" | "defaults" | "loud" | "silent" | "nomand" | "noiversion" | "async"
            | "nolazytime" => {}
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "idmap" => self.id_map = Some(false),
            "ridmap" => self.id_map = Some(true),
            "copy-symlink" | "mand" | "iversion" => {
                self.unsupported.get_or_insert_with(|| option.to_owned());
            }
            // Flags of the file system rather than of the mount.
            "sync" | "dirsync" | "lazytime" => {
                self.parameters.push((option.to_owned(), None));
            }
            _ => {
                if let Some(subpath) = option.strip_prefix("x-gantry.subpath=") {
                    self.subpath = Some(subpath.to_owned());
                } else if let Some(file) = option.strip_prefix("x-gantry.namespace=") {
                    self.namespace = Some(file.to_owned());
                } else if let Some(propagation) = propagation(option) {
                    self.propagation = Some(propagation);
                } else if let Some((bits, set)) = attribute(option) {
                    self.change.switch(bits, set);
                } else if let Some((bits, set)) = option.strip_prefix('r').and_then(attribute) {
                    self.change_all.switch(bits, set);
                } else {
                    self.parameters.push(match option.split_once('=') {
                        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                        None => (option.to_owned(), None),
                    });
                }
            }
        }
    }
}

impl MountChange {
    fn switch(&mut self, bits: Attributes, set: bool) {
        let times = Attributes::NO_ACCESS_TIME.with(Attributes::STRICT_ACCESS_TIME);
        if times.contains(bits) || bits.contains(times) {
            // The choices of access time exclude each other.
            self.set = self.set.without(times);
            self.clear = self.clear.with(times);
        }
        if set {
            self.set = self.set.with(bits);
            self.clear = self.clear.without(bits);
        } else {
            self.set = self.set.without(bits);
            self.clear = self.clear.with(bits);
        }
    }
}

/// Every option that is not simply handed to the file system.
pub(crate) fn names() -> Vec<&'static str> {
    const OTHERS: [&str; 16] = [
        "async",
        "bind",
        "defaults",
        "dirsync",
        "idmap",
        "lazytime",
        "loud",
        "noiversion",
        "nolazytime",
        "nomand",
        "rbind",
        "remount",
        "ridmap",
        "silent",
        "sync",
        "tmpcopyup",
    ];
    const ATTRIBUTES: [(&str, &str); 18] = [
        ("atime", "ratime"),
        ("dev", "rdev"),
        ("diratime", "rdiratime"),
        ("exec", "rexec"),
        ("noatime", "rnoatime"),
        ("nodev", "rnodev"),
        ("nodiratime", "rnodiratime"),
        ("noexec", "rnoexec"),
        ("norelatime", "rnorelatime"),
        ("nostrictatime", "rnostrictatime"),
        ("nosuid", "rnosuid"),
        ("nosymfollow", "rnosymfollow"),
        ("relatime", "rrelatime"),
        ("ro", "rro"),
        ("rw", "rrw"),
        ("strictatime", "rstrictatime"),
        ("suid", "rsuid"),
        ("symfollow", "rsymfollow"),
    ];
    const PROPAGATIONS: [&str; 8] = [
        "private",
        "rprivate",
        "rshared",
        "rslave",
        "runbindable",
        "shared",
        "slave",
        "unbindable",
    ];
    let mut names: Vec<&str> = OTHERS.into_iter().chain(PROPAGATIONS).collect();
    names.extend(ATTRIBUTES.into_iter().flat_map(|(own, all)| [own, all]));
    names.sort_unstable();
    names
}

fn attribute(option: &str) -> Option<(Attributes, bool)> {
    Some(match option {
        "ro" => (Attributes::READ_ONLY, true),
        "rw" => (Attributes::READ_ONLY, false),
        "nosuid" => (Attributes::NO_SETUID, true),
        "suid" => (Attributes::NO_SETUID, false),
        "nodev" => (Attributes::NO_DEVICES, true),
        "dev" => (Attributes::NO_DEVICES, false),
        "noexec" => (Attributes::NO_EXECUTE, true),
        "exec" => (Attributes::NO_EXECUTE, false),
        "noatime" => (Attributes::NO_ACCESS_TIME, true),
        "strictatime" => (Attributes::STRICT_ACCESS_TIME, true),
        // Neither of the two others.
        "atime" | "relatime" | "norelatime" | "nostrictatime" => (
            Attributes::NO_ACCESS_TIME.with(Attributes::STRICT_ACCESS_TIME),
            false,
        ),
        "nodiratime" => (Attributes::NO_DIRECTORY_ACCESS_TIME, true),
        "diratime" => (Attributes::NO_DIRECTORY_ACCESS_TIME, false),
        "nosymfollow" => (Attributes::NO_SYMLINKS, true),
        "symfollow" => (Attributes::NO_SYMLINKS, false),
        _ => return None,
    })
}

fn propagation(option: &str) -> Option<(Propagation, bool)> {
    Some(match option {
        "private" => (Propagation::Private, false),
        "rprivate" => (Propagation::Private, true),
        "slave" => (Propagation::Slave, false),
        "rslave" => (Propagation::Slave, true),
        "shared" => (Propagation::Shared, false),
        "rshared" => (Propagation::Shared, true),
        "unbindable" => (Propagation::Unbindable, false),
        "runbindable" => (Propagation::Unbindable, true),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &str) -> MountOptions {
        let options: Vec<String> = options.split(',').map(str::to_owned).collect();
        parse(&options)
    }

    #[test]
    fn options_are_told_apart() {
        let got = read("rbind,rprivate,ro,nosuid,rnoexec,mode=755,noswap");
        assert_eq!(got.bind, Some(true));
        assert_eq!(got.propagation, Some((Propagation::Private, true)));
        assert_eq!(
            got.change.set,
            Attributes::READ_ONLY.with(Attributes::NO_SETUID)
        );
        assert_eq!(got.change_all.set, Attributes::NO_EXECUTE);
        assert_eq!(
            got.parameters,
            [
                ("mode".to_owned(), Some("755".to_owned())),
                ("noswap".to_owned(), None)
            ]
        );
    }

    #[test]
    fn the_last_one_counts() {
        let got = read("ro,rw");
        assert_eq!(got.change.set, Attributes::NONE);
        assert_eq!(got.change.clear, Attributes::READ_ONLY);
        let got = read("strictatime,noatime");
        assert_eq!(got.change.set, Attributes::NO_ACCESS_TIME);
        let got = read("noatime,relatime");
        assert_eq!(got.change.set, Attributes::NONE);
    }

    #[test]
    fn names_are_not_handed_to_file_systems() {
        for name in names() {
            let got = read(name);
            let flag = matches!(name, "sync" | "dirsync" | "lazytime");
            assert_eq!(got.parameters.is_empty(), !flag, "{name}");
            assert_eq!(got.unsupported, None, "{name}");
        }
    }

    #[test]
    fn rro_is_not_ro() {
        let got = read("rro");
        assert!(got.change.set.is_empty());
        assert_eq!(got.change_all.set, Attributes::READ_ONLY);
        assert_eq!(read("iversion").unsupported.as_deref(), Some("iversion"));
    }
}
