//! What outputs do not leave: between the time when somebody grants a path and the time when it is
//! written, an output before it may have made links on the way there.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::failure::Failure;

/// Most links of a path, as those of the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Where the files, folders and caches of a build may be written; anywhere by default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bounds(Option<Within>);

#[derive(Debug, Clone)]
struct Within {
    /// Files and folders with all that is in them, their links followed.
    roots: Vec<PathBuf>,
    /// Devices and pipes that were there before, and their numbers.
    specials: Vec<(PathBuf, u64)>,
}

impl Bounds {
    /// The folders that were granted, and the destinations as they were then; both resolved.
    pub(crate) fn of(mut roots: Vec<PathBuf>, destinations: Vec<PathBuf>) -> Self {
        let with_number = |path: &PathBuf| Some((path.clone(), special(path)?));
        let specials = destinations.iter().filter_map(with_number).collect();
        roots.extend(destinations);
        Self(Some(Within { roots, specials }))
    }

    /// Where `path` leads now, which is what is written: no part of it is a link.
    ///
    /// # Errors
    /// It leads out of the bounds, or to a device or a pipe that was not there.
    pub(crate) fn place(&self, path: &Path) -> Result<PathBuf, Failure> {
        let Some(Within { roots, specials }) = &self.0 else {
            return Ok(path.to_owned());
        };
        let place = resolved(path)?;
        if !is_within(&place, roots) {
            return Err(Failure::invalid(format!(
                "output {path:?} leads to {place:?}, outside of what is granted: remove the link \
                 on its way, or pass --allow=fs.write=PATH for where it leads"
            )));
        }
        if let Some(number) = special(&place)
            && !specials.contains(&(place.clone(), number))
        {
            return Err(Failure::invalid(format!(
                "output {path:?} would be written to a device or a pipe that another output made: choose \
                 another path"
            )));
        }
        Ok(place)
    }

    /// The same for a folder that gets an OCI layout, whose own folders stay within, too.
    pub(crate) fn layout(&self, folder: &Path) -> Result<PathBuf, Failure> {
        let place = self.place(folder)?;
        for own in ["blobs", "blobs/sha256"] {
            self.place(&place.join(own))?;
        }
        Ok(place)
    }
}

/// Whether a path is one of these or in one of them; all resolved.
pub(crate) fn is_within(path: &Path, roots: &[PathBuf]) -> bool {
    roots.iter().any(|root| path.starts_with(root))
}

/// The number of what is neither a file nor a folder; that of a pipe is 0.
fn special(path: &Path) -> Option<u64> {
    let known = path.symlink_metadata().ok()?;
    let plain = known.is_file() || known.is_dir();
    (!plain).then(|| known.rdev())
}

/// Where a path leads: links are followed, also those to what does not exist yet.
///
/// # Errors
/// There are more links on its way than the kernel follows, or there is no current folder.
pub(crate) fn resolved(path: &Path) -> Result<PathBuf, Failure> {
    let failed = |reason: String| Failure::invalid(format!("cannot follow {path:?}: {reason}"));
    let absolute = std::path::absolute(path).map_err(|error| failed(error.to_string()))?;
    let mut found = PathBuf::from("/");
    // Parts still to be followed, the next one last.
    let mut waiting = reversed(&absolute);
    let mut links = 0;
    while let Some(part) = waiting.pop() {
        if part == ".." {
            found.pop();
            continue;
        }
        let here = found.join(&part);
        match here.read_link() {
            Ok(target) if !is_magic(&here, &found.join(&target)) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(failed("it has too many links".to_owned()));
                }
                if target.is_absolute() {
                    found = PathBuf::from("/");
                }
                waiting.extend(reversed(&target));
            }
            _ => found = here,
        }
    }
    Ok(found)
}

/// Whether a link of `/proc` leads to what has no path, as a pipe.
fn is_magic(link: &Path, target: &Path) -> bool {
    link.starts_with("/proc") && link.exists() && target.symlink_metadata().is_err()
}

/// The names of a path and its `..`, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    let parts = parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    parts.map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_that_were_made_since_lead_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = resolved(folder.path()).unwrap();
        let (own, victim) = (root.join("own"), root.join("victim"));
        let granted = own.join("x/l/out.tar");
        std::fs::create_dir_all(own.join("x/inner")).unwrap();
        let bounds = Bounds::of(vec![own.clone()], vec![granted.clone()]);
        assert_eq!(bounds.place(&granted).unwrap(), granted);
        let link = own.join("x/l");
        // Where it leads need not exist.
        for outside in [victim.as_path(), Path::new("../../victim")] {
            symlink(outside, &link).unwrap();
            let said = bounds.place(&granted).unwrap_err().message().to_owned();
            assert!(said.contains("victim/out.tar\", outside"), "{said}");
            std::fs::remove_file(&link).unwrap();
        }
        symlink("inner", &link).unwrap();
        let inner = own.join("x/inner/out.tar");
        assert_eq!(bounds.place(&granted).unwrap(), inner);
        symlink(&victim, own.join("x/inner/blobs")).unwrap();
        assert!(bounds.layout(&link).is_err());
        symlink("loop", own.join("loop")).unwrap();
        let said = bounds.place(&own.join("loop")).unwrap_err();
        assert!(said.message().contains("too many links"));
        assert_eq!(Bounds::default().place(&granted).unwrap(), granted);
    }

    #[test]
    fn devices_are_those_that_were_there() {
        let null = PathBuf::from("/dev/null");
        let granted = Bounds::of(Vec::new(), vec![null.clone()]);
        assert_eq!(granted.place(&null).unwrap(), null);
        let made = Bounds::of(vec!["/dev".into()], Vec::new());
        let said = made.place(&null).unwrap_err();
        assert!(said.message().contains("device"));
    }
}
