//! The caches that a build writes.

use gantry_build::progress::{LogStream, VertexId};
use gantry_build::{BuiltTarget, CacheMounts, CachedStep, Cancellation, Reporter, UsedCacheMount};
use gantry_engine::Engine;
use gantry_engine::caches::{
    self, CacheForm, CacheMountFacts, CachePlace, CacheStep, LeavingMount,
};

use super::{CacheTo, Imported};
use crate::commands::builder::build::bounds::Bounds;
use crate::commands::builder::build::deliver::Watched;
use crate::failure::Failure;
use gantry_model::{Digest, StepRecord, StepResult};

/// The steps of a target as they stand in a cache: all, or those of its images alone.
fn steps(steps: &[CachedStep], target: &BuiltTarget, all: bool) -> Vec<CacheStep> {
    let of_image = |step: &CachedStep| {
        let images = &target.images;
        images
            .iter()
            .any(|image| image.layers().starts_with(&step.layers))
    };
    let chosen = steps.iter().filter(|step| all || of_image(step));
    let told = chosen.map(|step| CacheStep {
        key: step.key,
        layers: step.layers.clone(),
        created: step.created.clone(),
    });
    told.collect()
}

/// The same by BuildKit's names: all that they follow stay, those that are not chosen without what
/// they made.
fn records(records: &[StepRecord], steps: &[CacheStep]) -> Vec<StepRecord> {
    let chosen = |made: &StepResult| steps.iter().any(|step| step.layers == made.layers);
    let told = records.iter().map(|record| StepRecord {
        made: record.made.clone().filter(chosen),
        ..record.clone()
    });
    told.collect()
}

/// Writes caches into images that are to have one.
pub(crate) fn write_inline(
    targets: &[CacheTo],
    of: (&[CachedStep], &[StepRecord]),
    target: &mut BuiltTarget,
) {
    if targets.iter().all(|to| to.place.is_some()) {
        return;
    }
    let steps = steps(of.0, target, false);
    let records = records(of.1, &steps);
    for image in &mut target.images {
        caches::inline(&mut image.config, &steps, &records);
    }
}

/// What caches are made of that leave a build.
pub(crate) struct Leaving<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) steps: &'a [CachedStep],
    pub(crate) records: &'a [StepRecord],
    pub(crate) mounts: &'a CacheMounts,
    /// The caches that mounts may come from which are not here.
    pub(crate) imported: &'a Imported<'a>,
    /// What the folders of caches do not leave.
    pub(crate) bounds: &'a Bounds,
    pub(crate) cancellation: &'a Cancellation,
    pub(crate) reporter: &'a Reporter<'a>,
}

impl Leaving<'_> {
    /// Writes all caches but those within images.
    pub(crate) fn write(&self, targets: &[CacheTo], target: &BuiltTarget) -> Result<(), Failure> {
        let reporter = self.reporter;
        for to in targets {
            let Some(place) = &to.place else { continue };
            let vertex = reporter.begin(match place {
                CachePlace::Registry(_) => "exporting cache to registry",
                CachePlace::Folder { .. } => "exporting cache to client directory",
            });
            match self.one(to, place, target, vertex) {
                Ok(digest) => {
                    reporter.part(vertex, &format!("writing cache manifest {digest}"), true);
                    reporter.done(vertex);
                }
                Err(failure) => {
                    reporter.failed(vertex, failure.message());
                    if !to.ignore_error {
                        return Err(failure);
                    }
                    let text = format!("the cache was not written: {}", failure.message());
                    reporter.warning(&text, None);
                }
            }
        }
        Ok(())
    }

    fn one(
        &self,
        to: &CacheTo,
        place: &CachePlace,
        target: &BuiltTarget,
        vertex: VertexId,
    ) -> Result<Digest, Failure> {
        let reporter = self.reporter;
        let watched = Watched { reporter, vertex };
        let steps = steps(self.steps, target, to.all);
        let records = records(self.records, &steps);
        let mut mounts = Vec::new();
        if to.mounts {
            for used in self.mounts.used() {
                mounts.extend(self.mount(used, &to.form, vertex)?);
            }
        }
        let mut place = place.clone();
        if let CachePlace::Folder { folder, .. } = &mut place {
            *folder = self.bounds.layout(folder)?;
        }
        let caches = self.engine.caches();
        Ok(caches.export(&steps, &records, &mounts, &place, &to.form, &watched)?)
    }

    /// A cache mount, packed; one that is not here, since no step that uses it ran, as an imported
    /// cache has it.
    fn mount(
        &self,
        used: &UsedCacheMount,
        form: &CacheForm,
        vertex: VertexId,
    ) -> Result<Option<LeavingMount<'_>>, Failure> {
        let waits = || {
            let text = format!("waiting for who uses cache mount {}\n", used.id);
            self.reporter
                .log(vertex, LogStream::Stderr, text.as_bytes());
        };
        let mount = match self.mounts.hold(used, self.cancellation, &waits)? {
            Some(held) => {
                let facts = CacheMountFacts {
                    name: used.name.clone(),
                    id: used.id.clone(),
                    sharing: used.sharing.to_owned(),
                    owner: (used.uid, used.gid),
                    mode: used.mode,
                };
                let caches = self.engine.caches();
                let packed = caches.pack_mount(&facts, held.folder(), form)?;
                let text = format!("packing cache mount {}", used.id);
                self.reporter
                    .bytes(vertex, &text, packed.bytes, Some(packed.bytes), true);
                Some(LeavingMount::Packed(Box::new(packed)))
            }
            None => self.imported.mount(&used.name),
        };
        if let Some(mount) = &mount {
            let (text, size) = (format!("exporting cache mount {}", used.id), mount.size());
            self.reporter.bytes(vertex, &text, size, Some(size), true);
        }
        Ok(mount)
    }
}
