//! Where a container is kept, how it is found, and who works on it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gantry_model::{ContainerId, ContainerRecord};
use gantry_sys::damage::is_damage;
use gantry_sys::lock::{self, Kind, try_lock};
use gantry_sys::path::{if_there, is_missing};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use super::error::{ContainerError, file};
use crate::Engine;

/// Folder below `$ROOT` of what is being deleted.
pub(crate) const TRASH: &str = "trash";
pub(crate) const CONTAINERS: &str = "containers";
pub(crate) const NAMES: &str = "names";
/// The document of a container.
const DOCUMENT: &str = "container.json";
/// Most bytes of a document that are read.
const MAX_DOCUMENT: u64 = 16 << 20;
/// Bytes that most documents stay below.
const USUAL_DOCUMENT: usize = 8 << 10;
/// How long a command waits for another one that works on the same container.
const PATIENCE: Duration = Duration::from_secs(5);

/// The paths of one container.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// Below `$ROOT`.
    pub(crate) folder: PathBuf,
    /// Below `$RUN`.
    pub(crate) run_folder: PathBuf,
}

impl Folders {
    pub(crate) fn of(engine: &Engine, id: &ContainerId) -> Self {
        Self {
            folder: engine.root().join(CONTAINERS).join(id.as_str()),
            run_folder: engine.run_root().join(CONTAINERS).join(id.as_str()),
        }
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.folder.join("upper")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// The folder of its log's files.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(crate) fn hosts(&self) -> PathBuf {
        self.folder.join("hosts")
    }

    pub(crate) fn hostname(&self) -> PathBuf {
        self.folder.join("hostname")
    }

    pub(crate) fn resolv_conf(&self) -> PathBuf {
        self.folder.join("resolv.conf")
    }

    pub(crate) fn seccomp_profile(&self) -> PathBuf {
        self.folder.join("seccomp.json")
    }

    /// The document; `None` for a container that is not (or not completely) there.
    ///
    /// # Errors
    /// [`ContainerError::Damaged`] for one that is there and says nothing of use.
    pub(crate) fn record(&self) -> Result<Option<ContainerRecord>, ContainerError> {
        let path = self.document();
        let damaged = |source: io::Error| match self.id() {
            Some(id) => ContainerError::Damaged {
                id,
                path: path.clone(),
                source,
            },
            None => file("read", &path)(source),
        };
        let text = match read_document(&path) {
            Ok(text) => text,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) if is_damage(&error) => return Err(damaged(error)),
            Err(error) => return Err(file("read", &path)(error)),
        };
        if text.is_empty() {
            return Err(damaged(empty_document()));
        }
        let record: ContainerRecord =
            serde_json::from_slice(&text).map_err(|error| damaged(error.into()))?;
        if self.id().is_some_and(|id| id != record.id) {
            let reason = format!("it is that of container {}", record.id.short());
            return Err(damaged(io::Error::new(io::ErrorKind::InvalidData, reason)));
        }
        Ok(Some(record))
    }

    /// Where the document is.
    pub(crate) fn document(&self) -> PathBuf {
        self.folder.join(DOCUMENT)
    }

    /// Where a document is while it is written.
    pub(crate) fn document_aside(&self) -> PathBuf {
        self.folder.join(".container.json")
    }

    /// The container these folders are of, by their name.
    fn id(&self) -> Option<ContainerId> {
        self.folder.file_name()?.to_str()?.parse().ok()
    }

    /// Writes the document aside and renames it. With `durable` it is on disk afterwards; on the
    /// way of a `run` that is done [beside](Self::keep_record) the start.
    pub(crate) fn write_record(
        &self,
        record: &ContainerRecord,
        durable: bool,
    ) -> Result<(), ContainerError> {
        let path = self.document();
        let aside = self.document_aside();
        let write = || -> io::Result<()> {
            let mut document = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&aside)?;
            document.write_all(&serde_json::to_vec(record)?)?;
            if durable {
                document.sync_data()?;
            }
            fs::rename(&aside, &path)?;
            if durable {
                File::open(&self.folder)?.sync_all()?;
            }
            Ok(())
        };
        write().map_err(file("write", &path))
    }

    /// Puts the document that was written on the disk.
    pub(crate) fn keep_record(&self) -> Result<(), ContainerError> {
        let path = self.document();
        let keep = || {
            File::open(&path)?.sync_data()?;
            File::open(&self.folder)?.sync_all()
        };
        match keep() {
            // Another command has removed the container since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            kept => kept.map_err(file("sync", &path)),
        }
    }

    /// Makes the container's folder below `$RUN` and takes its lock if nobody has it.
    pub(crate) fn try_lock(&self) -> Result<Option<File>, ContainerError> {
        loop {
            let lock = self.open_lock()?;
            if !try_lock(&lock, Kind::Exclusive).map_err(file("lock", &self.lock_path()))? {
                return Ok(None);
            }
            if self.is_current(&lock) {
                return Ok(Some(lock));
            }
        }
    }

    /// Takes the lock, waiting a little for commands that have it for a moment; `None` when a
    /// supervisor has it (`alive` says so) or nobody lets go.
    pub(crate) fn lock_unless(
        &self,
        alive: impl Fn() -> bool,
    ) -> Result<Option<File>, ContainerError> {
        if let Some(lock) = self.try_lock()? {
            return Ok(Some(lock));
        }
        let until = Instant::now() + PATIENCE;
        // What a supervisor does when it has come up shows in these folders.
        let news = self.watch().map_err(file("watch", &self.folder))?;
        while !alive() {
            let lock = self.open_lock()?;
            let waited = wait_for_lock(&lock, &news, until, &alive);
            if !waited.map_err(file("lock", &self.lock_path()))? {
                return Ok(None);
            }
            if self.is_current(&lock) {
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    fn lock_path(&self) -> PathBuf {
        self.run_folder.join(gantry_supervisor::LOCK_FILE)
    }

    fn open_lock(&self) -> Result<File, ContainerError> {
        let path = self.lock_path();
        let open = || {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
        };
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(&self.run_folder, 0o700)?;
                open()
            }
            other => other,
        }
        .map_err(file("open", &path))
    }

    /// Whether this is the lock that counts: another one may have been removed and made anew by
    /// somebody else in the meantime.
    fn is_current(&self, lock: &File) -> bool {
        use std::os::unix::fs::MetadataExt;
        match (lock.metadata(), fs::metadata(self.lock_path())) {
            (Ok(ours), Ok(theirs)) => ours.ino() == theirs.ino() && ours.dev() == theirs.dev(),
            _ => false,
        }
    }

    /// Tells when the container's state is written, or its supervisor's socket appears.
    fn watch(&self) -> io::Result<OwnedFd> {
        let notes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let flags = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        for folder in [&self.folder, &self.run_folder] {
            match inotify::add_watch(&notes, folder, flags) {
                // Removed meanwhile: the lock is free soon.
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(notes)
    }
}

/// Queues for the lock until it is held, `alive` says that it is in vain, or the time is up; says
/// whether it is held.
fn wait_for_lock(
    lock: &File,
    news: &OwnedFd,
    until: Instant,
    alive: &impl Fn() -> bool,
) -> io::Result<bool> {
    let queued = lock::queue(lock.as_fd())?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut fds = [
            PollFd::new(&queued, PollFlags::IN),
            PollFd::new(news, PollFlags::IN),
        ];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if !fds[0].revents().is_empty() {
            return queued.is_held();
        }
        let mut scratch = [0_u8; 4096];
        while rustix::io::read(news, &mut scratch[..]).is_ok_and(|count| count > 0) {}
        if alive() {
            return Ok(false);
        }
    }
}

/// The bytes of a document, as far as they are read at all.
pub(super) fn read_document(path: &Path) -> io::Result<Vec<u8>> {
    // Room for a usual one: a list of containers reads hundreds, and each in one go.
    let mut text = Vec::with_capacity(USUAL_DOCUMENT);
    File::open(path)?
        .take(MAX_DOCUMENT)
        .read_to_end(&mut text)?;
    Ok(text)
}

/// What is wrong with an empty document. A command that was killed leaves none: a document has
/// its name only once it is whole.
pub(crate) fn empty_document() -> io::Error {
    let reason = "it is empty, as a power cut leaves what was not on the disk yet";
    io::Error::new(io::ErrorKind::UnexpectedEof, reason)
}

/// Makes a folder with its parents.
pub(crate) fn make_folder(path: &Path, mode: u32) -> Result<(), ContainerError> {
    let made = DirBuilder::new().mode(mode).create(path);
    match made {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
            .map_err(file("make", path)),
        Err(error) => Err(file("make", path)(error)),
    }
}

/// The link that reserves a name.
pub(crate) fn name_link(engine: &Engine, name: &str) -> PathBuf {
    engine.root().join(NAMES).join(name)
}

/// Whose name it is; `None` when it is free.
pub(crate) fn owner_of(engine: &Engine, name: &str) -> Result<Option<ContainerId>, ContainerError> {
    if gantry_model::id::check_name(name).is_err() {
        return Ok(None);
    }
    let link = name_link(engine, name);
    let target = if_there(fs::read_link(&link)).map_err(file("read", &link))?;
    Ok(target.and_then(|target| target.to_str()?.parse().ok()))
}

/// Reserves a name; gives the owner when it is taken.
pub(crate) fn reserve(
    engine: &Engine,
    name: &str,
    id: &ContainerId,
) -> Result<Option<ContainerId>, ContainerError> {
    let link = name_link(engine, name);
    for _ in 0..3 {
        match symlink(id.as_str(), &link) {
            Ok(()) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(&engine.root().join(NAMES), 0o700)?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let Some(owner) = owner_of(engine, name)? else {
                    continue;
                };
                if !is_abandoned(engine, &owner)? {
                    return Ok(Some(owner));
                }
                // Its command was killed before the container was there.
                absent(fs::remove_file(&link)).map_err(file("remove", &link))?;
            }
            Err(error) => return Err(file("make", &link)(error)),
        }
    }
    owner_of(engine, name)
}

/// Whether a container never came to be: no document, and nobody at work on it.
pub(super) fn is_abandoned(engine: &Engine, id: &ContainerId) -> Result<bool, ContainerError> {
    let folders = Folders::of(engine, id);
    // One whose document cannot be read is damaged, and not abandoned.
    let is_there = || !matches!(folders.record(), Ok(None));
    if is_there() {
        return Ok(false);
    }
    let Some(_lock) = folders.try_lock()? else {
        return Ok(false);
    };
    if is_there() {
        return Ok(false);
    }
    absent(fs::remove_dir_all(&folders.folder)).map_err(file("remove", &folders.folder))?;
    absent(fs::remove_dir_all(&folders.run_folder)).map_err(file("remove", &folders.run_folder))?;
    Ok(true)
}

pub(crate) fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The ids of all containers, in no order.
pub(crate) fn ids(engine: &Engine) -> Result<Vec<ContainerId>, ContainerError> {
    let root = engine.root().join(CONTAINERS);
    let entries = match fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file("list", &root)(error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.map_err(file("list", &root))?;
        ids.extend(
            entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<ContainerId>().ok()),
        );
    }
    Ok(ids)
}

/// Finds a container by id, name or unique prefix of an id, in this order, as Docker does.
pub(crate) fn resolve(engine: &Engine, name: &str) -> Result<ContainerId, ContainerError> {
    let not_found = || ContainerError::NotFound {
        name: name.chars().take(100).collect(),
    };
    let exists = |id: &ContainerId| Folders::of(engine, id).folder.join(DOCUMENT).exists();
    if let Ok(id) = name.parse::<ContainerId>()
        && exists(&id)
    {
        return Ok(id);
    }
    let plain = name.strip_prefix('/').unwrap_or(name);
    if let Some(id) = owner_of(engine, plain)?
        && exists(&id)
    {
        return Ok(id);
    }
    let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits {
        return Err(not_found());
    }
    let mut found = ids(engine)?
        .into_iter()
        .filter(|id| id.as_str().starts_with(name) && exists(id));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(ContainerError::Ambiguous {
            prefix: name.to_owned(),
        }),
        (None, _) => Err(not_found()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders {
            folder: folder.path().to_owned(),
            run_folder: folder.path().join("run"),
        };
        let held = folders.try_lock().unwrap().unwrap();
        assert!(folders.try_lock().unwrap().is_none());
        // Alive already, and alive in the middle of the wait.
        assert!(folders.lock_unless(|| true).unwrap().is_none());
        let started = folder.path().join("state.json");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| folders.lock_unless(|| started.exists()).unwrap());
            fs::write(&started, "").unwrap();
            assert!(waiting.join().unwrap().is_none());
        });
        // Given back, and given back by a command that removed the container.
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| folders.lock_unless(|| false).unwrap());
            fs::remove_dir_all(&folders.run_folder).unwrap();
            drop(held);
            assert!(waiting.join().unwrap().is_some());
        });
    }

    #[test]
    fn a_document_is_missing_or_damaged_or_there() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders {
            folder: folder.path().to_owned(),
            run_folder: folder.path().join("run"),
        };
        assert!(folders.record().unwrap().is_none());
        for text in ["", "{"] {
            fs::write(folder.path().join(DOCUMENT), text).unwrap();
            assert!(folders.record().is_err(), "{text}");
        }
    }
}
