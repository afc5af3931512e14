//! Names of the things in the kernel that belong to one installation.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::subnet::Subnet;

/// The run root whose bridge and table have the plain names.
const DEFAULT_RUN_ROOT: &str = "/run/gantry";

/// Version of the rules: a table with another is replaced.
const RULES_VERSION: u32 = 1;

/// What the bridge and the table of an installation are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The bridge; at most 15 bytes.
    pub bridge: String,
    /// What the bridge is renamed to before it is deleted, which takes long.
    pub tombstone: String,
    /// The nf_tables table.
    pub table: String,
    /// Whose they are: the run root.
    pub owner: String,
    /// The note on rules in a chain that is not ours.
    pub guest_note: String,
}

impl Names {
    /// The names for an installation with this run root (an absolute path without links).
    pub fn of(run_root: &Path) -> Names {
        let owner = run_root.to_string_lossy().into_owned();
        let (bridge, tombstone, table) = if run_root == Path::new(DEFAULT_RUN_ROOT) {
            (
                "gantry0".to_owned(),
                "gone-gantry0".to_owned(),
                "gantry".to_owned(),
            )
        } else {
            let hash = hash(run_root.as_os_str().as_bytes());
            (
                format!("gantry-{hash:08x}"),
                format!("gone-{hash:08x}"),
                format!("gantry_{hash:08x}"),
            )
        };
        let guest_note = format!("gantry: {bridge}");
        Names {
            bridge,
            tombstone,
            table,
            owner,
            guest_note,
        }
    }

    /// The note on the table: version and subnet of its rules, and the owner, so that a table
    /// of another installation or with outdated rules is told apart.
    pub(crate) fn note(&self, subnet: Subnet) -> String {
        format!("rules {RULES_VERSION} for {subnet} of {}", self.owner)
    }

    /// Whether a table with this note belongs to the same installation, whatever its version.
    pub(crate) fn owns(&self, note: &str) -> bool {
        note.split_once(" of ")
            .is_some_and(|(_, owner)| owner == self.owner)
    }
}

/// FNV-1a, 64 bits folded to 32: stable for ever, and no secret.
fn hash(bytes: &[u8]) -> u32 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folded = (hash >> 32) ^ (hash & 0xffff_ffff);
    u32::try_from(folded).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_plain_names_and_others_their_own() {
        let default = Names::of(Path::new("/run/gantry"));
        assert_eq!(
            (default.bridge.as_str(), default.table.as_str()),
            ("gantry0", "gantry")
        );
        let one = Names::of(Path::new("/tmp/one"));
        let two = Names::of(Path::new("/tmp/two"));
        assert_ne!(one.bridge, two.bridge);
        for names in [default, one.clone(), two.clone()] {
            assert!(
                names.bridge.len() <= 15 && names.tombstone.len() <= 15,
                "{names:?}"
            );
        }
        let subnet = "172.17.0.0/16".parse().unwrap();
        assert!(one.owns(&one.note(subnet)) && !one.owns(&two.note(subnet)));
        assert!(one.owns("rules 0 of /tmp/one"));
        assert_eq!(one, Names::of(Path::new("/tmp/one")));
    }
}
