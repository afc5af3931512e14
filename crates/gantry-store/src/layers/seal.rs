//! Seals: what `stat` says of all files of a layer, in one number.
//!
//! As long as the seal is the same nobody has touched the layer since it was made: whoever writes
//! to a file, cuts it, changes its mode or owner, adds or removes one, changes its status time. A
//! disk that gives other bytes than were written does not; that is found by
//! [`Layers::verify`](super::Layers::verify), which reads everything.

use std::fmt;
use std::os::fd::AsFd;

use gantry_model::Digest;
use gantry_model::digest::hex_encode;
use gantry_sys::crew;
use gantry_sys::path::Listing;
use rusqlite::params;
use rustix::fs::{self, AtFlags, FileType, OFlags, Stat};

use super::Layers;
use crate::database::failed;
use crate::error::StoreError;
use crate::tree;

/// What `stat` said of all files of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal([u8; 16]);

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex_encode(&self.0))
    }
}

impl Layers<'_> {
    /// The seal of a layer as it is now. Costs a `stat` for each of its files, on all processors;
    /// nothing is read.
    ///
    /// # Errors
    /// [`StoreError::NoLayer`] when it is not there; another when its folder cannot be walked.
    pub fn seal(&self, diff_id: &Digest) -> Result<Seal, StoreError> {
        let row = self.needed(diff_id)?;
        let mut sum = self.sum(diff_id)?;
        if let Some(whole) = &row.patch_of {
            sum = sum.wrapping_add(self.sum(whole)?);
        }
        Ok(Seal(sum.to_le_bytes()))
    }

    /// The sum over the files of one folder.
    fn sum(&self, diff_id: &Digest) -> Result<u128, StoreError> {
        let folder = self.folder(diff_id);
        let sum = || -> rustix::io::Result<u128> {
            let top = tree::open_directory(fs::CWD, &folder)?;
            let recipe = match fs::statat(&top, "recipe", AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => of_one(b"../recipe", &stat),
                Err(rustix::io::Errno::NOENT) => 0,
                Err(errno) => return Err(errno),
            };
            let root = tree::open_directory(&top, "fs")?;
            Ok(recipe.wrapping_add(of_tree(&root)?))
        };
        sum().map_err(|errno| StoreError::io("look at", folder, errno))
    }

    /// Forgets a layer whose files are not what they were: it counts as not there until it is made
    /// or fetched again, which then replaces its folder. Images that have it stay.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn distrust(&self, diff_id: &Digest) -> Result<(), StoreError> {
        let _lock = self.store.lock_shared()?;
        self.store
            .database()
            .write("forget a damaged layer", |transaction| {
                transaction
                    .execute(
                        "DELETE FROM layers WHERE diff_id = ?1",
                        params![diff_id.as_bytes()],
                    )
                    .map(drop)
                    .map_err(failed("forget a damaged layer"))
            })
    }
}

/// The sum over the directories of a tree, in whatever order they are read.
fn of_tree(root: &(impl AsFd + Sync)) -> rustix::io::Result<u128> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let one = |path: Vec<u8>, below: &mut Vec<Vec<u8>>, sum: &mut u128| {
        let directory = tree::open_beneath(root, &path, flags)?;
        let mut facts = Facts::of(&path);
        for entry in Listing::read(&directory)?.by_inode().iter() {
            let stat = fs::statat(&directory, entry.name, AtFlags::SYMLINK_NOFOLLOW)?;
            let name = entry.name.to_bytes();
            facts.add(name, &stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                below.push(tree::join(&path, name));
            }
        }
        *sum = sum.wrapping_add(facts.number());
        Ok(())
    };
    let sums = crew::work_off(Vec::new(), crew::processors(), one)?;
    let top = of_one(b"", &fs::fstat(root)?);
    Ok(sums.into_iter().fold(top, u128::wrapping_add))
}

/// The number of a file by itself.
fn of_one(path: &[u8], stat: &Stat) -> u128 {
    let mut facts = Facts::of(path);
    facts.add(b"", stat);
    facts.number()
}

/// What there is to say of a directory: its path, and the status of what is in it.
struct Facts(Vec<u8>);

impl Facts {
    fn of(path: &[u8]) -> Self {
        let mut facts = Self(Vec::new());
        facts.text(path);
        facts
    }

    fn text(&mut self, text: &[u8]) {
        self.0.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.0.extend_from_slice(text);
    }

    /// Access times and the number of names do not count: neither says that it is another file.
    fn add(&mut self, name: &[u8], stat: &Stat) {
        self.text(name);
        for number in [
            stat.st_ino,
            u64::from(stat.st_mode),
            u64::from(stat.st_uid) << 32 | u64::from(stat.st_gid),
            stat.st_size.cast_unsigned(),
            stat.st_rdev,
            stat.st_mtime.cast_unsigned(),
            stat.st_mtime_nsec,
            stat.st_ctime.cast_unsigned(),
            stat.st_ctime_nsec,
        ] {
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn number(&self) -> u128 {
        let mut number = [0; 16];
        number.copy_from_slice(&blake3::hash(&self.0).as_bytes()[..16]);
        u128::from_le_bytes(number)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use crate::{Store, StoreError};

    #[test]
    fn whatever_touches_a_layer_breaks_its_seal() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("root")).unwrap();
        let draft = store.layers().draft().unwrap();
        fs::create_dir(draft.upper().join("d")).unwrap();
        for name in ["a", "d/b"] {
            fs::write(draft.upper().join(name), "content").unwrap();
        }
        let diff_id = draft.commit().unwrap().diff_id;
        let seal = || store.layers().seal(&diff_id).unwrap().to_string();
        let tree = store.layers().tree(&diff_id);
        let mut seen = vec![seal()];
        assert_eq!(seen[0], seal());
        assert_eq!(fs::read(tree.join("d/b")).unwrap(), b"content");
        assert_eq!(seen[0], seal(), "who only reads");
        let modified = fs::metadata(tree.join("d/b")).unwrap().modified().unwrap();
        let changes: [&dyn Fn(); 5] = [
            &|| {
                // The same size, and the old time put back.
                fs::write(tree.join("d/b"), "CONTENT").unwrap();
                let file = fs::File::options().write(true).open(tree.join("d/b"));
                file.unwrap().set_modified(modified).unwrap();
            },
            &|| fs::set_permissions(tree.join("a"), Permissions::from_mode(0o600)).unwrap(),
            &|| fs::write(tree.join("new"), "").unwrap(),
            &|| fs::remove_file(tree.join("a")).unwrap(),
            &|| fs::write(tree.parent().unwrap().join("recipe"), "").unwrap(),
        ];
        for (number, change) in changes.iter().enumerate() {
            change();
            let now = seal();
            assert!(!seen.contains(&now), "{number}");
            seen.push(now);
        }
        store.layers().distrust(&diff_id).unwrap();
        let gone = store.layers().seal(&diff_id);
        assert!(matches!(gone, Err(StoreError::NoLayer { .. })), "{gone:?}");
        assert!(tree.exists());
    }
}
