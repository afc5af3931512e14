//! `--storage-opt`: a limit on what a container writes to its layer.

use std::collections::BTreeMap;
use std::path::Path;

use gantry_model::quantity::parse_bytes;

/// Why a writable layer cannot be limited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// There is no such option.
    #[error("unknown storage option {0:?}: the option is size")]
    Unknown(String),
    /// It is no size.
    #[error("invalid storage option size={0:?}: expected a number of bytes such as 10g")]
    Size(String),
    /// The file system cannot do it.
    #[error(
        "storage option size is not supported: it needs a file system with project quotas (mount option prjquota) below {root}, {file_system} is mounted there without them"
    )]
    NoQuotas {
        /// `$ROOT`.
        root: String,
        /// The type of the file system there.
        file_system: String,
    },
    /// Gantry cannot do it.
    #[error(
        "storage option size is not supported: {root} has project quotas, but Gantry does not set them"
    )]
    NotSet {
        /// `$ROOT`.
        root: String,
    },
}

/// Refuses what cannot be kept; no option is kept silently.
pub(super) fn check(options: &BTreeMap<String, String>, root: &Path) -> Result<(), StorageError> {
    if let Some(other) = options.keys().find(|name| *name != "size") {
        return Err(StorageError::Unknown(other.clone()));
    }
    let Some(value) = options.get("size") else {
        return Ok(());
    };
    parse_bytes(value).map_err(|_| StorageError::Size(value.clone()))?;
    let mount = crate::system::info::mount_of(root);
    let root = root.display().to_string();
    let quotas = mount.as_ref().is_some_and(|mount| {
        let mut options = mount.super_options.split(',');
        options.any(|option| matches!(option, "prjquota" | "pquota"))
    });
    Err(match quotas {
        true => StorageError::NotSet { root },
        false => StorageError::NoQuotas {
            root,
            file_system: mount.map_or_else(|| "nothing".to_owned(), |mount| mount.fs_type),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_ignored() {
        let checked = |name: &str, value: &str| {
            let options = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            check(&options, Path::new("/proc")).unwrap_err().to_string()
        };
        assert_eq!(check(&BTreeMap::new(), Path::new("/")), Ok(()));
        assert!(checked("colour", "1").contains("unknown storage option"));
        assert!(checked("size", "much").contains("a number of bytes"));
        assert!(checked("size", "1g").contains("proc is mounted there without them"));
    }
}
