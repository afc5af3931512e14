//! Points of the tar of a layer from which its digest can go on.
//!
//! SHA-256 reads a tar from its beginning, whatever changed in it. But what a copy planned up to some
//! step decides the tar up to there: if it is what was planned for an earlier layer, the digest goes
//! on from where that one's was, and no file before it need be read. What was planned is known by a
//! running digest over names, status and content, the *outline*.

use std::os::unix::ffi::OsStrExt;

use gantry_store::{DraftTar, TarPoint};
use rustix::fs::FileType;

use super::Permissions;
use super::steps::{Steps, What};
use crate::marks::{Mark, Marks};
use crate::ops::plan::{LayerPlan, Planned};

/// What a file counts, beside its bytes, as if these were its bytes.
pub(super) const FILE: u64 = 16 << 10;
/// There is a mark after so many bytes, or after this part of all.
const STRIDE: u64 = 1 << 20;
const MOST: u64 = 64;

/// The last point up to which everything planned is kept and as it was, and the number of the
/// step behind it.
pub(super) fn reached<'m>(
    marks: &'m Marks,
    plan: &LayerPlan<'_>,
    steps: &Steps<'_, '_>,
    tar: &DraftTar,
) -> Option<(usize, &'m TarPoint)> {
    let mut outline = Outline::new(plan, tar);
    let mut reached = None;
    let mut marks = marks.0.iter();
    let mut next = marks.next()?;
    for (number, step) in steps.iter().enumerate() {
        if !step.kept || !outline.add(plan, steps, number) {
            break;
        }
        if number + 1 == next.steps as usize {
            if outline.value() != next.outline {
                break;
            }
            reached = Some((number + 1, &next.point));
            let Some(mark) = marks.next() else { break };
            next = mark;
        }
    }
    reached
}

/// Sets marks while a tar is told.
pub(super) struct Marker {
    outline: Outline,
    marks: Vec<Mark>,
    /// Bytes between two marks, and bytes since the last one.
    stride: u64,
    since: u64,
    /// Whether what was told is decided by what was planned.
    is_open: bool,
}

impl Marker {
    pub(super) fn new(plan: &LayerPlan<'_>, steps: &Steps<'_, '_>, tar: &DraftTar) -> Self {
        let total: u64 = (0..steps.len())
            .map(|number| steps.cost(plan, number))
            .sum();
        Self {
            outline: Outline::new(plan, tar),
            marks: Vec::new(),
            stride: STRIDE.max(total / MOST),
            since: 0,
            is_open: true,
        }
    }

    /// These steps were told; `is_settled` if their files were what had been planned.
    pub(super) fn told(
        &mut self,
        plan: &LayerPlan<'_>,
        steps: &Steps<'_, '_>,
        told: std::ops::Range<usize>,
        tar: &mut DraftTar,
        is_settled: bool,
    ) {
        self.is_open &= is_settled && tar.is_plain();
        let end = told.end;
        for number in told {
            self.is_open = self.is_open && self.outline.add(plan, steps, number);
            self.since += steps.cost(plan, number);
        }
        if let (true, true, Ok(steps)) = (self.is_open, self.since >= self.stride, end.try_into()) {
            self.since = 0;
            self.marks.push(Mark {
                steps,
                outline: self.outline.value(),
                point: tar.point(),
            });
        }
    }

    pub(super) fn finish(self) -> Marks {
        Marks(self.marks)
    }
}

/// A running digest over what is planned.
struct Outline(blake3::Hasher);

impl Outline {
    fn new(plan: &LayerPlan<'_>, tar: &DraftTar) -> Self {
        let mut outline = Self(blake3::Hasher::new());
        if tar.lists_root() {
            outline.status(&plan.root.permissions, plan.root.modified);
        }
        outline
    }

    fn value(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }

    fn text(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn status(&mut self, permissions: &Permissions, (seconds, nanoseconds): (i64, u32)) {
        self.0.update(&permissions.mode.to_le_bytes());
        self.0.update(&permissions.uid.to_le_bytes());
        self.0.update(&permissions.gid.to_le_bytes());
        self.0.update(&seconds.to_le_bytes());
        self.0.update(&nanoseconds.to_le_bytes());
    }

    /// Adds a step; says no if its part of the tar is not decided by what is known of it.
    fn add(&mut self, plan: &LayerPlan<'_>, steps: &Steps<'_, '_>, number: usize) -> bool {
        let step = &steps[number];
        self.0.update(&step.parent.to_le_bytes());
        self.text(step.name.as_bytes());
        match step.what {
            What::Folder(folder) => {
                self.0.update(b"d");
                self.status(&folder.permissions, folder.modified);
                self.0
                    .update(&(folder.attributes.len() as u64).to_le_bytes());
                for (name, value) in &folder.attributes {
                    self.text(name);
                    self.text(value);
                }
                true
            }
            What::File(planned) => {
                self.0.update(b"f");
                self.status(&plan.permissions(planned), plan.time(planned));
                self.content(plan, planned)
            }
            What::Link(_) => false,
        }
    }

    fn content(&mut self, plan: &LayerPlan<'_>, planned: Planned<'_>) -> bool {
        let entry = match planned {
            Planned::Copied(_, entry) => entry,
            Planned::Inline(text) => {
                self.0.update(b"text");
                self.text(plan.content(text).as_bytes());
                return true;
            }
        };
        self.0.update(&entry.kind.as_raw_mode().to_le_bytes());
        match (entry.kind, entry.digest()) {
            (FileType::RegularFile, Some(digest)) => {
                self.0.update(&entry.stat.size.to_le_bytes());
                self.0.update(digest);
                true
            }
            (FileType::RegularFile, None) => false,
            (FileType::Symlink, _) => {
                self.text(entry.link.as_deref().unwrap_or_default().as_bytes());
                true
            }
            _ => {
                self.0.update(&entry.stat.special.to_le_bytes());
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use gantry_dockerfile::ignore::IgnoreFile;
    use gantry_model::Digest;
    use gantry_store::Store;
    use gantry_sys::path::Directory;

    use super::super::{Former, LayerWriter, Patch, root_entry};
    use super::*;
    use crate::cancel::Cancellation;
    use crate::ops::copy::Copier;
    use crate::permissions::Change;
    use crate::stop::Stop;
    use crate::tree::{StatCache, Tree};

    /// A layer of all files of a context, its marks, and how many of its steps were known.
    fn copy(store: &Store, context: &Path, former: Option<&Former>) -> (Digest, Marks, usize) {
        let caches = tempfile::tempdir().unwrap();
        let nothing = IgnoreFile::from_patterns([]).unwrap();
        let cache = StatCache::open(caches.path(), context);
        let tree = Tree::context(context, nothing.clone(), cache, 2).unwrap();
        let found = tree.select(".", &nothing).unwrap();
        let mut plan = LayerPlan::new(None, None).unwrap();
        let copier = Copier {
            tree: &tree,
            change: &Change::PLAIN,
            number: 1,
        };
        copier.copy(&mut plan, &found[0], "/").unwrap();
        let draft = store.layers().draft().unwrap();
        let upper = Directory::open(draft.upper()).unwrap();
        let stop = Stop::new(Cancellation::new().unwrap()).unwrap();
        let writer = LayerWriter::new(&upper, 2, &stop).unwrap();
        let mut tar = draft.tar(&root_entry(&plan)).unwrap();
        let mut steps = Steps::of(&plan);
        let known = former.and_then(|former| {
            Patch::find(&plan, &mut steps, &former.whole)?;
            former.known(&plan, &steps, &tar)
        });
        let (changed, marks) = writer.write_told(&plan, &mut tar, former).unwrap();
        assert_eq!(changed, []);
        let layer = draft.commit_told(tar).unwrap().diff_id;
        (layer, marks, known.map_or(0, |(count, _)| count))
    }

    #[test]
    fn a_patch_reads_nothing_before_the_first_change_unless_somebody_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let context = folder.path().join("context");
        let store = |name: &str| Store::open(&folder.path().join(name)).unwrap();
        let write = |name: &str, text: &str| fs::write(context.join(name), text).unwrap();
        for number in 0..300 {
            fs::create_dir_all(context.join(format!("d{}", number % 3))).unwrap();
            write(
                &format!("d{}/{number:0>3}", number % 3),
                &format!("{number}"),
            );
        }
        let kept = store("kept");
        let (layer, marks, _) = copy(&kept, &context, None);
        assert_eq!(Marks::decode(&marks.encode()), Some(marks.clone()));
        let former = || Former {
            store: kept.clone(),
            whole: kept.layers().whole(&layer).unwrap().unwrap(),
            marks: Some((
                marks.clone(),
                kept.layers().seal(&layer).unwrap().to_string(),
            )),
        };
        let sealed = former();
        // The step of a file, and what is known before it.
        for (name, step, fresh) in [("d2/299", 303, "one"), ("d1/151", 153, "two")] {
            write(name, "changed");
            let (patch, none, known) = copy(&kept, &context, Some(&sealed));
            assert!((step - 128..step).contains(&known), "{name}: {known}");
            assert!(none.is_empty());
            assert_eq!(copy(&store(fresh), &context, None).0, patch);
        }
        let first = context.join("d0/000");
        let time = fs::metadata(&first).unwrap().modified().unwrap();
        write("d0/000", "changed");
        assert_eq!(copy(&kept, &context, Some(&sealed)).2, 0, "the first file");
        write("d0/000", "0");
        let file = fs::File::options().write(true).open(&first).unwrap();
        file.set_modified(time).unwrap();
        assert_ne!(copy(&kept, &context, Some(&sealed)).2, 0, "as it was");
        // What nobody changes here is not what it was there.
        let tree = kept.layers().tree(&layer);
        fs::write(tree.join("d0/003"), "4").unwrap();
        write("d1/151", "again");
        let (patch, _, known) = copy(&kept, &context, Some(&sealed));
        assert_eq!(known, 0);
        assert_eq!(copy(&store("three"), &context, None).0, patch);
        assert_ne!(former().marks, sealed.marks);
    }

    #[test]
    fn what_is_no_mark_is_not_taken_for_one() {
        assert_eq!(Marks::decode(b""), Some(Marks::default()));
        assert_eq!(Marks::decode(b"no marks"), None);
        let mut bytes = vec![7; 36];
        bytes.extend([3, 1, 2, 3]);
        assert_eq!(Marks::decode(&bytes), None, "no point of a tar");
    }
}
