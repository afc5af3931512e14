//! Things that take long to make, kept in a folder between runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The folder: `GANTRY_TEST_CACHE`, or `gantry-test` in the user's cache folder.
fn folder() -> PathBuf {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    variable("GANTRY_TEST_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("gantry-test")))
        .or_else(|| Some(variable("HOME")?.join(".cache/gantry-test")))
        .unwrap_or_else(|| std::env::temp_dir().join("gantry-test"))
}

/// The path of `name` in the cache; `make` produces it at the path it is given when it is not
/// there yet. Several processes may ask at once: one makes it, the others wait.
///
/// # Panics
/// When the cache folder cannot be written.
pub fn kept(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = folder();
    fs::create_dir_all(&folder).expect("the cache folder can be made");
    let path = folder.join(name);
    if path.exists() {
        return path;
    }
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("a lock can be made");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock can be taken");
    if !path.exists() {
        let aside = folder.join(format!("{name}.new"));
        if aside.is_dir() {
            fs::remove_dir_all(&aside).expect("a half-made folder can be removed");
        }
        make(&aside);
        fs::rename(&aside, &path).expect("what was made can be renamed");
    }
    path
}
