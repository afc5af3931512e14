//! Folders of `RUN --mount=type=cache`, which outlive the build.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use gantry_model::Digest;
use gantry_sys::lock::{self, Kind};

use super::Company;
use super::cache_start::Start;
use crate::cache::wait_for_lock;
use crate::collect::mounts;
use crate::error::StepError;
use crate::graph::{CacheMount, CacheSharing, Mount, RunOperation};
use crate::setting::Setting;

/// The cache folders of one step, held as long as it runs.
#[derive(Debug, Default)]
pub(super) struct Caches(Vec<(PathBuf, File)>);

impl Caches {
    /// The folders in the order of the mounts.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(folder, _)| folder.as_path())
    }
}

/// Finds or makes the folders of a step's cache mounts; `inputs` are the layers of its inputs.
pub(super) fn prepare(
    setting: &Setting,
    operation: &RunOperation,
    inputs: &[Vec<Digest>],
    company: &Company<'_>,
) -> Result<Caches, StepError> {
    let root = &mounts::root(&setting.root);
    let mut caches = Caches::default();
    for mount in &operation.mounts {
        if let Mount::Cache(cache) = mount {
            let start = Start::of(setting, cache, inputs);
            let name = name(cache, inputs);
            let held = folder(root, cache, &name, start.as_ref(), company)?;
            caches.0.push(held.ok_or(StepError::Canceled)?);
        }
    }
    Ok(caches)
}

/// What a cache is called on every machine; `inputs` are the layers of the step's inputs. Those that
/// begin with other files are others.
pub(crate) fn name(cache: &CacheMount, inputs: &[Vec<Digest>]) -> String {
    let mut name = blake3::Hasher::new();
    name.update(cache.id.as_bytes());
    if let Some(start) = &cache.start {
        name.update(b"\0").update(start.source.as_bytes());
        for layer in inputs.get(start.input).into_iter().flatten() {
            name.update(b"\0").update(layer.as_bytes());
        }
    }
    name.finalize().to_hex().as_str()[..32].to_owned()
}

fn folder(
    root: &Path,
    cache: &CacheMount,
    name: &str,
    start: Option<&Start<'_>>,
    company: &Company<'_>,
) -> Result<Option<(PathBuf, File)>, StepError> {
    let failed = |source: io::Error| StepError::io("prepare the cache", root, source);
    fs::create_dir_all(root).map_err(failed)?;
    let mut number = 0;
    loop {
        let folder = root.join(if number == 0 {
            name.to_owned()
        } else {
            format!("{name}-{number}")
        });
        let guard = mounts::open_lock(&folder).map_err(failed)?;
        let kind = if cache.sharing == CacheSharing::Shared {
            Kind::Shared
        } else {
            Kind::Exclusive
        };
        let held = if lock::try_lock(&guard, kind).map_err(failed)? {
            guard
        } else if cache.sharing == CacheSharing::Private {
            // Somebody else uses this one: take the next.
            number += 1;
            continue;
        } else {
            match wait_for_lock(guard, kind, company.stop).map_err(failed)? {
                Some(guard) => guard,
                None => return Ok(None),
            }
        };
        if !mounts::is_current(&held, &folder).map_err(failed)? {
            continue;
        }
        mounts::note_use(&folder, &cache.id, &cache.target, &held);
        (company.mount)(cache, name, &folder)?;
        if let Some(start) = start {
            start.fill(&folder)?;
            return Ok(Some((folder, held)));
        }
        match fs::create_dir(&folder) {
            Ok(()) => {
                fs::set_permissions(&folder, Permissions::from_mode(cache.mode)).map_err(failed)?;
                chown(&folder, Some(cache.uid), Some(cache.gid)).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        return Ok(Some((folder, held)));
    }
}
