//! Where a container is kept, how it is found, and who works on it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gantry_model::{ContainerId, ContainerRecord};
use gantry_sys::lock::{Kind, try_lock};

use super::error::{ContainerError, file};
use crate::Engine;

/// Folder below `$ROOT` of what is being deleted.
pub(crate) const TRASH: &str = "trash";
pub(crate) const CONTAINERS: &str = "containers";
const NAMES: &str = "names";
/// The document of a container.
const DOCUMENT: &str = "container.json";
/// Most bytes of a document that are read.
const MAX_DOCUMENT: u64 = 16 << 20;
/// How long a command waits for another one that works on the same container.
const PATIENCE: Duration = Duration::from_secs(5);
const BREATH: Duration = Duration::from_millis(2);

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

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log/json.log")
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
    pub(crate) fn record(&self) -> Result<Option<ContainerRecord>, ContainerError> {
        let path = self.folder.join(DOCUMENT);
        let mut text = Vec::new();
        match File::open(&path) {
            Ok(opened) => opened
                .take(MAX_DOCUMENT)
                .read_to_end(&mut text)
                .map_err(file("read", &path))?,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(file("read", &path)(error)),
        };
        // What a power cut leaves of a document that was not on disk yet.
        if text.is_empty() {
            return Ok(None);
        }
        let record =
            serde_json::from_slice(&text).map_err(|error| file("read", &path)(error.into()))?;
        Ok(Some(record))
    }

    /// Writes the document aside and renames it. With `durable` it is on disk afterwards: not
    /// on the way of a `run`, where the kernel writes it within seconds and a power cut before
    /// that takes a container that had only begun.
    pub(crate) fn write_record(
        &self,
        record: &ContainerRecord,
        durable: bool,
    ) -> Result<(), ContainerError> {
        let path = self.folder.join(DOCUMENT);
        let aside = self.folder.join(".container.json");
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

    /// Makes the container's folder below `$RUN` and takes its lock if nobody has it.
    pub(crate) fn try_lock(&self) -> Result<Option<File>, ContainerError> {
        let path = self.run_folder.join(gantry_supervisor::LOCK_FILE);
        let open = || {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
        };
        let lock = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(&self.run_folder, 0o700)?;
                open()
            }
            other => other,
        }
        .map_err(file("open", &path))?;
        let held = try_lock(&lock, Kind::Exclusive).map_err(file("lock", &path))?;
        if !held {
            return Ok(None);
        }
        // Removed and made anew by somebody else in the meantime: that one's lock counts.
        use std::os::unix::fs::MetadataExt;
        let same = match (lock.metadata(), fs::metadata(&path)) {
            (Ok(ours), Ok(theirs)) => ours.ino() == theirs.ino() && ours.dev() == theirs.dev(),
            _ => false,
        };
        if same {
            Ok(Some(lock))
        } else {
            self.try_lock()
        }
    }

    /// Takes the lock, waiting a little for commands that have it for a moment; `None` when a
    /// supervisor has it (`alive` says so) or nobody lets go.
    pub(crate) fn lock_unless(
        &self,
        alive: impl Fn() -> bool,
    ) -> Result<Option<File>, ContainerError> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(lock) = self.try_lock()? {
                return Ok(Some(lock));
            }
            if alive() || Instant::now() >= until {
                return Ok(None);
            }
            // There is no event to wait for: to queue for the lock would mean to wait for the
            // end of the container once another command has started it.
            std::thread::sleep(BREATH);
        }
    }
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
    match fs::read_link(&link) {
        Ok(target) => Ok(target.to_str().and_then(|id| id.parse().ok())),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(file("read", &link)(error)),
    }
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
fn is_abandoned(engine: &Engine, id: &ContainerId) -> Result<bool, ContainerError> {
    let folders = Folders::of(engine, id);
    if folders.record()?.is_some() {
        return Ok(false);
    }
    let Some(_lock) = folders.try_lock()? else {
        return Ok(false);
    };
    if folders.record()?.is_some() {
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
    fn an_empty_document_is_a_container_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders {
            folder: folder.path().to_owned(),
            run_folder: folder.path().join("run"),
        };
        assert!(folders.record().unwrap().is_none());
        fs::write(folder.path().join(DOCUMENT), "").unwrap();
        assert!(folders.record().unwrap().is_none());
        fs::write(folder.path().join(DOCUMENT), "{").unwrap();
        assert!(folders.record().is_err());
    }
}
