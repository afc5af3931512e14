//! The caches that a build looks for steps in.

use std::fmt::Write as _;
use std::path::Path;

use gantry_build::{BaseImageError, BorrowedCache, BorrowedLayer, Reporter};
use gantry_engine::Engine;
use gantry_engine::caches::{Borrowed, CachePlace, ImportedCache, LeavingMount};
use gantry_model::StepRecord;
use gantry_model::quantity::counted;
use gantry_sys::path::Directory;

use crate::failure::Failure;

/// The caches of one build.
#[derive(Debug, Default)]
pub(crate) struct Imported<'a> {
    caches: Vec<ImportedCache<'a>>,
    /// The records of all of them, one cache after the other.
    records: Vec<StepRecord>,
}

impl<'a> Imported<'a> {
    /// Reads all that can be read; what cannot is told of and left out.
    pub(crate) fn read(engine: &'a Engine, places: &[CachePlace], reporter: &Reporter<'_>) -> Self {
        let mut all = Vec::new();
        for place in places {
            let name = format!("importing cache manifest from {}", named(place));
            let vertex = reporter.begin(&name);
            match engine.caches().import(place) {
                Ok(cache) => {
                    let mut count = counted(cache.steps(), "step");
                    if cache.named_steps() > 0 {
                        let number = cache.named_steps();
                        let _written = write!(count, ", {number} by BuildKit's names");
                    }
                    if cache.mounts() > 0 {
                        let _written =
                            write!(count, ", {}", counted(cache.mounts(), "cache mount"));
                    }
                    reporter.part(vertex, &count, true);
                    reporter.done(vertex);
                    all.push(cache);
                }
                Err(error) => {
                    let failure = Failure::from(error);
                    reporter.failed(vertex, failure.message());
                }
            }
        }
        let mut records: Vec<StepRecord> = Vec::new();
        for cache in &all {
            let before = records.len();
            records.extend(cache.records().iter().cloned());
            let links = records[before..].iter_mut();
            for link in links.flat_map(|record| record.inputs.iter_mut().flatten()) {
                link.record += before;
            }
        }
        Self {
            caches: all,
            records,
        }
    }

    /// A cache mount of this name that one of them has, to be carried on.
    pub(super) fn mount(&self, name: &str) -> Option<LeavingMount<'_>> {
        let mut found = self
            .caches
            .iter()
            .filter_map(|cache| Some((cache, cache.mount(name)?)));
        let (cache, mount) = found.next()?;
        Some(LeavingMount::Offered(cache, mount))
    }
}

fn layer(found: Borrowed) -> BorrowedLayer {
    BorrowedLayer {
        diff_id: found.diff_id,
        created: found.created,
    }
}

fn named(place: &CachePlace) -> String {
    match place {
        CachePlace::Registry(reference) => reference.familiar(),
        CachePlace::Folder { folder, .. } => folder.display().to_string(),
    }
}

fn empty(folder: &Path) -> std::io::Result<()> {
    let folder = Directory::open(folder)?;
    folder
        .entries()?
        .iter()
        .try_for_each(|entry| folder.remove_all(&entry.name))
}

impl BorrowedCache for Imported<'_> {
    fn bring(&self, key: &[u8; 32]) -> Result<Option<BorrowedLayer>, BaseImageError> {
        let mut failed = None;
        for cache in &self.caches {
            match cache.bring(key) {
                Ok(None) => {}
                Ok(Some(found)) => return Ok(Some(layer(found))),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), |error| Err(BaseImageError::new(error)))
    }

    fn records(&self) -> &[StepRecord] {
        &self.records
    }

    fn bring_record(&self, record: usize) -> Result<Option<BorrowedLayer>, BaseImageError> {
        let mut number = record;
        for cache in &self.caches {
            let count = cache.records().len();
            if number < count {
                let found = cache.bring_record(number).map_err(BaseImageError::new)?;
                return Ok(found.map(layer));
            }
            number -= count;
        }
        Ok(None)
    }

    fn fill(&self, name: &str, into: &Path) -> Result<Option<u64>, BaseImageError> {
        let mut failed = None;
        for cache in &self.caches {
            let Some(mount) = cache.mount(name) else {
                continue;
            };
            // What the one before has left.
            if failed.is_some() && empty(into).is_err() {
                break;
            }
            match cache.fill(mount, into) {
                Ok(()) => return Ok(Some(mount.size())),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), |error| Err(BaseImageError::new(error)))
    }
}
