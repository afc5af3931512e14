//! `COPY` and `ADD` of what was selected: the files go straight into the layer.
//!
//! What is hashed is what is written, in one pass: if a file changes after its digest became part
//! of the step's key, the copy knows.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gantry_dockerfile::mode::Mode;
use gantry_sys::path::Directory;
use rustix::fs::{FileType, OFlags};

use super::layer::{Here, LayerWriter, MakeRoomError, Permissions, absolute, timespec};
use crate::error::StepError;
use crate::solve::Stop;
use crate::tree::{Attribute, Copied, Entry, Match, Tree, copy_and_digest, join, split};

/// How what is copied is changed on the way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// `--chown`.
    pub(crate) owner: Option<(u32, u32)>,
    /// `--chmod`.
    pub(crate) mode: Option<Mode>,
    /// Whether the tree's owners mean something.
    pub(crate) keep_owners: bool,
    /// `--parents`.
    pub(crate) parents: bool,
}

impl Change {
    /// The permissions of a copy.
    pub(crate) fn permissions(&self, entry: &Entry) -> Permissions {
        let kept = if self.keep_owners {
            (entry.stat.uid, entry.stat.gid)
        } else {
            (0, 0)
        };
        let (uid, gid) = self.owner.unwrap_or(kept);
        let is_directory = entry.kind == FileType::Directory;
        let mode = match &self.mode {
            Some(mode) if entry.kind != FileType::Symlink => {
                mode.apply(entry.stat.mode, is_directory)
            }
            _ => entry.stat.mode,
        };
        Permissions { mode, uid, gid }
    }

    /// The permissions of a directory that is made on the way.
    pub(crate) fn made(&self) -> Permissions {
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        let mode = self
            .mode
            .as_ref()
            .map_or(0o755, |mode| mode.apply(0o755, true));
        Permissions { mode, uid, gid }
    }
}

/// A file that is to be copied.
struct Job<'e> {
    entry: &'e Entry,
    /// Directory and name in the layer.
    parent: OsString,
    name: OsString,
}

/// Copies matches from a tree into a layer.
pub(crate) struct Copier<'c> {
    pub(crate) tree: &'c Tree,
    pub(crate) change: Change,
    pub(crate) threads: usize,
    pub(crate) stop: &'c Stop,
}

/// Files whose content was not what it had been when the key was made: path and new digest.
pub(crate) type Changed = Vec<(OsString, [u8; 32])>;

impl Copier<'_> {
    /// Copies one match to `destination` (absolute; a directory where it ends with `/`).
    pub(crate) fn copy(
        &self,
        layer: &mut LayerWriter,
        found: &Match,
        destination: &str,
    ) -> Result<Changed, StepError> {
        let made = self.change.made();
        let target = self.target(layer, found, destination, &made)?;
        let mut jobs = Vec::new();
        let mut links: Vec<(OsString, Job<'_>)> = Vec::new();
        if found.top.kind == FileType::Directory {
            layer.make_all(&target, &made)?;
            layer.set_time(&target, found.top.stat.modified);
            let mut first: HashMap<(u64, u64), OsString> = HashMap::new();
            for entry in &found.below {
                let path = join(&target, found.relative(entry));
                if entry.kind == FileType::Directory {
                    layer.put_directory(
                        &path,
                        &self.change.permissions(entry),
                        entry.stat.modified,
                    )?;
                    continue;
                }
                let (parent, name) = split(&path);
                let job = Job {
                    entry,
                    parent: parent.to_owned(),
                    name: name.to_owned(),
                };
                let known = (entry.stat.links > 1 && entry.kind == FileType::RegularFile)
                    .then_some((entry.stat.device, entry.stat.inode));
                match known.and_then(|key| first.get(&key)) {
                    Some(original) => links.push((original.clone(), job)),
                    None => {
                        if let Some(key) = known {
                            first.insert(key, path.clone());
                        }
                        jobs.push(job);
                    }
                }
            }
        } else {
            let (parent, name) = split(&target);
            if name.is_empty() {
                return Err(StepError::OverDirectory {
                    path: "/".to_owned(),
                });
            }
            layer.make_all(parent, &made)?;
            jobs.push(Job {
                entry: &found.top,
                parent: parent.to_owned(),
                name: name.to_owned(),
            });
        }
        // Files of one directory after one another: its descriptors are opened once.
        jobs.sort_by(|one, other| one.parent.cmp(&other.parent));
        let changed = self.run(layer, &jobs)?;
        for (original, job) in &links {
            self.link(layer, original, job)?;
        }
        Ok(changed)
    }

    /// Where a match goes: BuildKit's rules.
    fn target(
        &self,
        layer: &mut LayerWriter,
        found: &Match,
        destination: &str,
        made: &Permissions,
    ) -> Result<OsString, StepError> {
        if self.change.parents {
            return self.target_with_parents(layer, found, destination, made);
        }
        let place = layer.destination(destination, made)?;
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
        layer: &mut LayerWriter,
        found: &Match,
        destination: &str,
        made: &Permissions,
    ) -> Result<OsString, StepError> {
        let place = layer.resolve(destination)?;
        layer.make_all(&place.path, made)?;
        let parent = found.top.parent().to_owned();
        let mut path = OsString::new();
        for name in parent
            .to_string_lossy()
            .split('/')
            .filter(|name| !name.is_empty())
        {
            path = join(&path, OsStr::new(name));
            let facts = self
                .tree
                .root()
                .directory_beneath(&path)
                .and_then(|directory| directory.status())
                .map_err(|source| StepError::io("open", self.tree.shown(&path), source))?;
            let entry = Entry {
                path: path.clone(),
                kind: FileType::Directory,
                stat: crate::tree::Facts::new(&facts),
                link: None,
                digest: None,
            };
            layer.put_directory(
                &join(&place.path, &path),
                &self.change.permissions(&entry),
                entry.stat.modified,
            )?;
        }
        let target = join(&join(&place.path, &parent), found.top.name());
        if found.top.kind == FileType::Directory && !found.top.path.is_empty() {
            layer.put_directory(
                &target,
                &self.change.permissions(&found.top),
                found.top.stat.modified,
            )?;
        }
        Ok(if found.top.path.is_empty() {
            place.path
        } else {
            target
        })
    }

    fn run(&self, layer: &LayerWriter, jobs: &[Job<'_>]) -> Result<Changed, StepError> {
        const BATCH: usize = 32;
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<StepError>> = Mutex::new(None);
        let changed = Mutex::new(Vec::new());
        let can_clone = AtomicBool::new(true);
        let work = || {
            let mut writer = Writer {
                copier: self,
                layer,
                here: None,
                from: None,
                can_clone: &can_clone,
            };
            loop {
                let start = next.fetch_add(BATCH, Ordering::Relaxed);
                let Some(batch) = jobs
                    .get(start..(start + BATCH).min(jobs.len()))
                    .filter(|batch| !batch.is_empty())
                else {
                    return;
                };
                for job in batch {
                    let result = if self.stop.is_stopped() {
                        Err(StepError::Canceled)
                    } else {
                        writer.put(job)
                    };
                    match result {
                        Ok(None) => {}
                        Ok(Some(digest)) => changed
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((job.entry.path.clone(), digest)),
                        Err(error) => {
                            failed
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .get_or_insert(error);
                            next.store(jobs.len(), Ordering::Relaxed);
                            return;
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(jobs.len().div_ceil(BATCH)) {
                scope.spawn(work);
            }
            work();
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(changed.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// A hard link to a file that was copied before.
    fn link(&self, layer: &LayerWriter, original: &OsStr, job: &Job<'_>) -> Result<(), StepError> {
        let path = join(&job.parent, &job.name);
        let failed = |source| StepError::io("link", absolute(&path), source);
        let here = layer.here(&job.parent).map_err(failed)?;
        make_room(&here, job)?;
        let (from, name) = split(original);
        let from = layer.here(from).map_err(failed)?;
        here.upper
            .make_link(&from.upper, name, &job.name)
            .map_err(failed)
    }
}

fn make_room(here: &Here, job: &Job<'_>) -> Result<(), StepError> {
    here.make_room(&job.name).map_err(|error| {
        let path = absolute(&join(&job.parent, &job.name));
        match error {
            MakeRoomError::Directory => StepError::OverDirectory { path },
            MakeRoomError::Io(source) => StepError::io("replace", path, source),
        }
    })
}

/// One thread's share of a copy, with the directories it has open.
struct Writer<'w> {
    copier: &'w Copier<'w>,
    layer: &'w LayerWriter,
    here: Option<(OsString, Here)>,
    from: Option<(OsString, Directory)>,
    /// Whether the file systems can share blocks; found out by trying.
    can_clone: &'w AtomicBool,
}

impl Writer<'_> {
    /// Makes one entry; the digest of a regular file if it is not the expected one.
    fn put(&mut self, job: &Job<'_>) -> Result<Option<[u8; 32]>, StepError> {
        let target =
            |source| StepError::io("write", absolute(&join(&job.parent, &job.name)), source);
        self.open(job)?;
        let Some((_, here)) = &self.here else {
            return Ok(None);
        };
        make_room(here, job)?;
        let permissions = self.copier.change.permissions(job.entry);
        let name = job.name.as_os_str();
        let time = timespec(job.entry.stat.modified);
        match job.entry.kind {
            FileType::RegularFile => return self.regular(job, &permissions),
            FileType::Symlink => {
                let link = job.entry.link.as_deref().unwrap_or_default();
                here.upper.make_symlink(link, name).map_err(target)?;
                here.upper
                    .set_owner(name, permissions.uid, permissions.gid)
                    .map_err(target)?;
            }
            kind => {
                here.upper
                    .make_node(name, kind, 0o600, job.entry.stat.special)
                    .map_err(target)?;
                here.upper
                    .set_owner(name, permissions.uid, permissions.gid)
                    .map_err(target)?;
                here.upper
                    .set_mode(name, permissions.mode)
                    .map_err(target)?;
            }
        }
        here.upper.set_times(name, time, time).map_err(target)?;
        Ok(None)
    }

    /// Opens the directories of a job unless they are open already.
    fn open(&mut self, job: &Job<'_>) -> Result<(), StepError> {
        if self
            .here
            .as_ref()
            .is_none_or(|(path, _)| *path != job.parent)
        {
            let here = self.layer.here(&job.parent);
            let here =
                here.map_err(|source| StepError::io("open", absolute(&job.parent), source))?;
            self.here = Some((job.parent.clone(), here));
        }
        let parent = job.entry.parent();
        if self.from.as_ref().is_none_or(|(path, _)| path != parent) {
            let from = self.copier.tree.root().directory_beneath(parent);
            let from = from
                .map_err(|source| StepError::io("open", self.copier.tree.shown(parent), source))?;
            self.from = Some((parent.to_owned(), from));
        }
        Ok(())
    }

    fn regular(
        &self,
        job: &Job<'_>,
        permissions: &Permissions,
    ) -> Result<Option<[u8; 32]>, StepError> {
        let source = |error| StepError::io("read", self.copier.tree.shown(&job.entry.path), error);
        let target = |error| StepError::io("write", absolute(&join(&job.parent, &job.name)), error);
        let (Some((_, here)), Some((_, from))) = (&self.here, &self.from) else {
            return Ok(None);
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let read = File::from(from.open_entry(job.entry.name(), flags).map_err(source)?);
        let metadata = read.metadata().map_err(source)?;
        if !metadata.is_file() {
            return Err(source(io::Error::other(
                "the file was replaced while it was copied",
            )));
        }
        let mut write = File::from(here.upper.create_file(&job.name, 0o600).map_err(target)?);
        let Copied { digest, attributes } = self
            .fill(&read, &metadata, job.entry, &mut write)
            .map_err(target)?;
        finish_file(&attributes, &write, permissions, job.entry.stat.modified).map_err(target)?;
        Ok((job.entry.digest != Some(digest)).then_some(digest))
    }

    /// Puts the content in, by sharing blocks where that is possible.
    fn fill(
        &self,
        read: &File,
        metadata: &std::fs::Metadata,
        entry: &Entry,
        write: &mut File,
    ) -> io::Result<Copied> {
        let size = metadata.len();
        if size > 0 && self.can_clone.load(Ordering::Relaxed) {
            match rustix::fs::ioctl_ficlone(&*write, read) {
                Ok(()) => {
                    // The copy cannot change any more: its digest is the digest of what was copied.
                    let copied = write.metadata()?.len();
                    return copy_and_digest(write, copied, read, &mut io::sink());
                }
                Err(_) => self.can_clone.store(false, Ordering::Relaxed),
            }
        }
        if entry.stat.blocks * 512 < size {
            let mut sparse = Sparse {
                file: write,
                end: 0,
            };
            let copied = copy_and_digest(read, size, read, &mut sparse)?;
            let end = sparse.end;
            write.set_len(end)?;
            return Ok(copied);
        }
        copy_and_digest(read, size, read, write)
    }
}

/// Owner, mode, attributes and times of a copied file. Owner first: changing it takes special bits
/// and capabilities away.
fn finish_file(
    attributes: &[Attribute],
    write: &File,
    permissions: &Permissions,
    modified: (i64, u32),
) -> io::Result<()> {
    use rustix::fs::{Gid, Mode, Timestamps, Uid};
    let (uid, gid) = (
        Uid::from_raw(permissions.uid),
        Gid::from_raw(permissions.gid),
    );
    rustix::fs::fchown(write, Some(uid), Some(gid))?;
    rustix::fs::fchmod(write, Mode::from_raw_mode(permissions.mode))?;
    for (name, value) in attributes {
        use std::os::unix::ffi::OsStrExt;
        match gantry_sys::xattr::set(write, OsStr::from_bytes(name), value) {
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::NOTSUP.raw_os_error()) => {}
            other => other?,
        }
    }
    let time = timespec(modified);
    rustix::fs::futimens(
        write,
        &Timestamps {
            last_access: time,
            last_modification: time,
        },
    )?;
    Ok(())
}

/// Leaves holes where blocks of zeros would be written.
struct Sparse<'f> {
    file: &'f mut File,
    end: u64,
}

impl Write for Sparse<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for block in bytes.chunks(4096) {
            if block.iter().all(|byte| *byte == 0) {
                self.file
                    .seek(SeekFrom::Start(self.end + block.len() as u64))?;
            } else {
                self.file.write_all(block)?;
            }
            self.end += block.len() as u64;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancellation;
    use crate::tree::StatCache;
    use gantry_dockerfile::ignore::IgnoreFile;
    use std::fs;

    #[test]
    fn a_file_that_changed_since_it_was_hashed_is_noticed() {
        let (context, layer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, content) in [("same", "1"), ("other", "before"), ("grown", "short")] {
            fs::write(context.path().join(name), content).unwrap();
        }
        let nothing = || IgnoreFile::from_patterns([]).unwrap();
        let cache = StatCache::open(layer.path(), context.path());
        let tree = Tree::context(context.path(), nothing(), cache, 2).unwrap();
        let found = tree.select(".", &nothing()).unwrap();
        fs::write(context.path().join("other"), "after!").unwrap();
        fs::write(context.path().join("grown"), "much longer").unwrap();
        let upper = layer.path().join("upper");
        fs::create_dir(&upper).unwrap();
        let mut writer = LayerWriter::new(Directory::open(&upper).unwrap(), None, None).unwrap();
        let stop = Stop::new(Cancellation::new().unwrap()).unwrap();
        let copier = Copier {
            tree: &tree,
            change: Change::default(),
            threads: 2,
            stop: &stop,
        };
        let mut changed = copier.copy(&mut writer, &found[0], "/x/").unwrap();
        writer.finish().unwrap();
        changed.sort();
        let digest = |text: &str| *blake3::hash(text.as_bytes()).as_bytes();
        assert_eq!(
            changed,
            [
                ("grown".into(), digest("much longer")),
                ("other".into(), digest("after!"))
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
        let nothing = || IgnoreFile::from_patterns([]).unwrap();
        let cache = StatCache::open(layer.path(), context.path());
        let tree = Tree::context(context.path(), nothing(), cache, 2).unwrap();
        let found = tree.select("f", &nothing()).unwrap();
        let mut writer =
            LayerWriter::new(Directory::open(layer.path()).unwrap(), None, None).unwrap();
        let switch = Cancellation::new().unwrap();
        let stop = Stop::new(switch.clone()).unwrap();
        switch.cancel();
        let copier = Copier {
            tree: &tree,
            change: Change::default(),
            threads: 1,
            stop: &stop,
        };
        assert!(matches!(
            copier.copy(&mut writer, &found[0], "/x"),
            Err(StepError::Canceled)
        ));
        assert!(!layer.path().join("x").exists());
    }
}
