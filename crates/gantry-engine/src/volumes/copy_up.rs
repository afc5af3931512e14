//! Filling a new volume with what the image has at its place.

use std::io;
use std::path::{Path, PathBuf};

use gantry_sys::path::{Directory, Marks, Owners, TreeCopy, if_there};

use crate::containers::image_root;

/// Copies what the image has at `target` into an empty volume: owners, modes, times,
/// attributes and hard links as they are, but for whom `owners` makes them belong to. A volume that
/// holds anything, and an image that has no folder there, are left alone.
///
/// The image is hostile: its links are followed inside its own root alone, and nothing it has
/// is opened but as what it was looked at.
pub(crate) fn copy_up(
    lowers: &[PathBuf],
    target: &Path,
    data: &Path,
    owners: Option<Owners<'_>>,
) -> io::Result<()> {
    let into = Directory::open(data)?;
    // Two containers that are made at once must not both fill it.
    gantry_sys::lock::lock(&into, gantry_sys::lock::Kind::Exclusive)?;
    if !into.entries()?.is_empty() {
        return Ok(());
    }
    let Some(root) = image_root(lowers.to_vec().into())? else {
        return Ok(());
    };
    let Some(from) = if_there(root.directory_in_root(target.as_os_str()))? else {
        return Ok(());
    };
    let copy = TreeCopy {
        marks: Marks::LeftOut,
        owners,
        contents: None,
    };
    copy.run(&from, &into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn root_content_is_copied_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("base/srv/data/sub")).unwrap();
        fs::create_dir_all(at("top/srv/data")).unwrap();
        fs::create_dir_all(at("volume")).unwrap();
        fs::write(at("base/srv/data/old"), "old").unwrap();
        fs::write(at("top/srv/data/file"), "content").unwrap();
        fs::hard_link(at("top/srv/data/file"), at("top/srv/data/same")).unwrap();
        symlink("/etc/shadow", at("top/srv/data/link")).unwrap();
        std::os::unix::fs::chown(at("top/srv/data/file"), Some(33), Some(44)).unwrap();
        fs::set_permissions(at("top/srv/data/file"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::set_permissions(at("top/srv/data"), fs::Permissions::from_mode(0o1777)).unwrap();
        symlink("srv/data", at("top/alias")).unwrap();
        let fill = || {
            let lowers = [at("base"), at("top")];
            copy_up(&lowers, Path::new("/alias"), &at("volume"), None).unwrap();
        };
        fill();
        let file = fs::metadata(at("volume/file")).unwrap();
        assert_eq!(
            (file.uid(), file.gid(), file.mode() & 0o7777),
            (33, 44, 0o4711)
        );
        assert_eq!(file.ino(), fs::metadata(at("volume/same")).unwrap().ino());
        assert_eq!(fs::read_to_string(at("volume/old")).unwrap(), "old");
        assert!(at("volume/sub").is_dir());
        assert_eq!(
            fs::read_link(at("volume/link")).unwrap(),
            Path::new("/etc/shadow")
        );
        assert_eq!(fs::metadata(at("volume")).unwrap().mode() & 0o7777, 0o1777);
        fs::write(at("base/srv/data/new"), "new").unwrap();
        fill();
        assert!(
            !at("volume/new").exists(),
            "a volume that holds something is left alone"
        );
    }

    #[test]
    fn root_links_cannot_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("base")).unwrap();
        fs::create_dir_all(at("volume")).unwrap();
        fs::create_dir_all(at("secret")).unwrap();
        fs::write(at("secret/key"), "key").unwrap();
        symlink(at("secret"), at("base/data")).unwrap();
        copy_up(&[at("base")], Path::new("/data"), &at("volume"), None).unwrap();
        copy_up(&[at("base")], Path::new("/missing"), &at("volume"), None).unwrap();
        assert_eq!(fs::read_dir(at("volume")).unwrap().count(), 0);
    }
}
