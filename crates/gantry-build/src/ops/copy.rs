//! `COPY` and `ADD` of what was selected: what goes where.

use std::ffi::OsString;

use rustix::fs::FileType;

use super::plan::{LayerPlan, Planned};
use crate::error::StepError;
use crate::permissions::{Change, Permissions};
use crate::tree::{Entry, Facts, Match, Tree, absolute, join, split};

/// Plans to copy matches of a tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copier<'t> {
    pub(crate) tree: &'t Tree,
    pub(crate) change: &'t Change,
    /// Which match of the step this is: files of several names are one within a match.
    pub(crate) number: usize,
}

/// Files whose content was not what it had been when the key was made: the number of the copy, the
/// path and the new digest.
pub(crate) type Changed = Vec<(usize, OsString, [u8; 32])>;

impl<'t> Copier<'t> {
    /// Plans to copy one match to `destination` (absolute; a directory where it ends with `/`).
    pub(crate) fn copy(
        &self,
        plan: &mut LayerPlan<'t>,
        found: &'t Match,
        destination: &str,
    ) -> Result<(), StepError> {
        let made = self.change.made();
        let target = self.target(plan, found, destination, &made)?;
        let number = plan.begin(*self);
        if found.top.kind != FileType::Directory {
            let (parent, name) = split(&target);
            if name.is_empty() {
                return Err(StepError::OverDirectory {
                    path: "/".to_owned(),
                });
            }
            plan.make_all(parent, &made)?;
            let planned = Planned::Copied(number, &found.top);
            return plan.put(parent, name.to_owned().into(), planned);
        }
        plan.make_all(&target, &made)?;
        plan.set_time(&target, found.top.stat.modified);
        for entry in found.below.iter() {
            let path = join(&target, found.relative(entry));
            if entry.kind == FileType::Directory {
                plan.put_directory(&path, &self.change.permissions(entry), entry.stat.modified)?;
            } else {
                let planned = Planned::Copied(number, entry);
                plan.put(split(&path).0, entry.name().into(), planned)?;
            }
        }
        Ok(())
    }

    /// Where a match goes: BuildKit's rules.
    fn target(
        &self,
        plan: &mut LayerPlan<'t>,
        found: &Match,
        destination: &str,
        made: &Permissions,
    ) -> Result<OsString, StepError> {
        if self.change.parents {
            return self.target_with_parents(plan, found, destination, made);
        }
        let place = plan.destination(destination, made)?;
        let into = found.top.kind != FileType::Directory && place.kind == Some(FileType::Directory);
        if found.top.kind == FileType::Directory
            && place.kind.is_some_and(|kind| kind != FileType::Directory)
        {
            return Err(StepError::NonDirectory {
                path: absolute(&place.path),
            });
        }
        Ok(if into {
            join(&place.path, &found.name)
        } else {
            place.path
        })
    }

    /// `--parents`: the directories that lead to the match are copied, too.
    fn target_with_parents(
        &self,
        plan: &mut LayerPlan<'t>,
        found: &Match,
        destination: &str,
        made: &Permissions,
    ) -> Result<OsString, StepError> {
        let place = plan.resolve(destination)?;
        plan.make_all(&place.path, made)?;
        let (parent, name) = split(found.kept());
        let mut path = found.pivot.clone();
        let mut target = place.path;
        for name in gantry_sys::path::components(parent) {
            path = join(&path, name);
            target = join(&target, name);
            let facts = self
                .tree
                .root()
                .directory_beneath(&path)
                .and_then(|directory| directory.status())
                .map_err(|source| StepError::io("open", self.tree.shown(&path), source))?;
            let entry = Entry::directory(&path, Facts::new(&facts));
            plan.put_directory(
                &target,
                &self.change.permissions(&entry),
                entry.stat.modified,
            )?;
        }
        if name.is_empty() {
            return Ok(target);
        }
        target = join(&target, name);
        if found.top.kind == FileType::Directory {
            plan.put_directory(
                &target,
                &self.change.permissions(&found.top),
                found.top.stat.modified,
            )?;
        }
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancellation;
    use crate::ops::write::LayerWriter;
    use crate::stop::Stop;
    use crate::tree::StatCache;
    use gantry_dockerfile::ignore::IgnoreFile;
    use gantry_sys::path::Directory;
    use std::fs;
    use std::path::Path;

    fn nothing() -> IgnoreFile {
        IgnoreFile::from_patterns([]).unwrap()
    }

    fn tree(context: &Path, folder: &Path) -> Tree {
        let cache = StatCache::open(folder, context);
        Tree::context(context, nothing(), cache, 2).unwrap()
    }

    fn plan<'t>(tree: &'t Tree, found: &'t Match, destination: &str) -> LayerPlan<'t> {
        let mut plan = LayerPlan::new(None, None).unwrap();
        let copier = Copier {
            tree,
            change: &Change::PLAIN,
            number: 0,
        };
        copier.copy(&mut plan, found, destination).unwrap();
        plan
    }

    #[test]
    fn a_file_that_changed_since_it_was_hashed_is_noticed() {
        let (context, layer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, content) in [("same", "1"), ("other", "before"), ("grown", "short")] {
            fs::write(context.path().join(name), content).unwrap();
        }
        let tree = tree(context.path(), layer.path());
        let found = tree.select(".", &nothing()).unwrap();
        fs::write(context.path().join("other"), "after!").unwrap();
        fs::write(context.path().join("grown"), "much longer").unwrap();
        let upper = layer.path().join("upper");
        fs::create_dir(&upper).unwrap();
        let plan = plan(&tree, &found[0], "/x/");
        let stop = Stop::new(Cancellation::new().unwrap()).unwrap();
        let directory = Directory::open(&upper).unwrap();
        let writer = LayerWriter::new(&directory, 2, &stop).unwrap();
        let mut changed = writer.write(&plan).unwrap();
        changed.sort();
        let digest = |text: &str| *blake3::hash(text.as_bytes()).as_bytes();
        assert_eq!(
            changed,
            [
                (0, "grown".into(), digest("much longer")),
                (0, "other".into(), digest("after!"))
            ]
        );
        assert_eq!(fs::read_to_string(upper.join("x/other")).unwrap(), "after!");
        assert_eq!(
            fs::read_to_string(upper.join("x/grown")).unwrap(),
            "much longer"
        );
    }

    #[test]
    fn a_stopped_build_copies_nothing() {
        let (context, layer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(context.path().join("f"), "1").unwrap();
        let tree = tree(context.path(), layer.path());
        let found = tree.select("f", &nothing()).unwrap();
        let switch = Cancellation::new().unwrap();
        let stop = Stop::new(switch.clone()).unwrap();
        switch.cancel();
        let plan = plan(&tree, &found[0], "/x");
        let directory = Directory::open(layer.path()).unwrap();
        let writer = LayerWriter::new(&directory, 1, &stop).unwrap();
        assert!(matches!(writer.write(&plan), Err(StepError::Canceled)));
        assert!(!layer.path().join("x").exists());
    }
}
