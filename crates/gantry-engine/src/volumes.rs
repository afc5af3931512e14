//! Volumes of an installation: folders that outlive containers.
//!
//! `$ROOT/volumes/<name>/_data` is what containers see, `volume.json` beside it what is known.

mod copy_up;
mod options;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use gantry_model::record::{ResolvedMountKind, VolumeMount};
use gantry_model::{Event, EventType, Fault, FaultKind};
use gantry_sys::lock::folder::HeldFolder;
use gantry_sys::path::Directory;
use serde::{Deserialize, Serialize};

use crate::Engine;

pub(crate) use copy_up::copy_up;

/// Most bytes of a volume's document that are read.
const MAX_DOCUMENT: u64 = 1 << 20;
const DOCUMENT: &str = "volume.json";
const DATA: &str = "_data";
/// Volumes that one prune claims at a time: a claim is an open file.
const CLAIMED_AT_ONCE: usize = 64;
/// How often a volume is made again that others remove at the same moment.
const ATTEMPTS: usize = 16;

/// A volume as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Options of the driver, as given.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Whether nobody chose its name.
    #[serde(default)]
    pub anonymous: bool,
    /// Where its data is on the host.
    #[serde(skip)]
    pub mountpoint: PathBuf,
}

/// Why something about volumes failed.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// No volume of that name.
    #[error("get {name}: no such volume")]
    NotFound {
        /// The name.
        name: String,
    },
    /// A name that is none.
    #[error(
        "{name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Containers have it mounted.
    #[error("remove {name}: volume is in use - [{}]", containers.join(", "))]
    InUse {
        /// The name.
        name: String,
        /// The containers' ids.
        containers: Vec<String>,
    },
    /// Another driver than the local one.
    #[error("error looking up volume plugin {driver}: plugin {driver:?} not found")]
    Driver {
        /// Its name.
        driver: String,
    },
    /// Options that do not make a mount.
    #[error(transparent)]
    Options(#[from] options::OptionsError),
    /// A file or folder of a volume.
    #[error("cannot {task} {}", path.display())]
    File {
        /// What was to be done.
        task: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it could not.
        #[source]
        source: io::Error,
    },
    /// Another command is taking or removing it at this moment.
    #[error("volume {name} is being used by another command")]
    Busy {
        /// The name.
        name: String,
    },
    /// A container that cannot be read may have it.
    #[error("cannot tell whether volume {name} is in use: the document of a container is damaged")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The containers that use volumes cannot be told.
    #[error("cannot tell which volumes are in use")]
    Containers {
        /// Why.
        #[source]
        source: Box<crate::containers::ContainerError>,
    },
}

impl Volume {
    /// What is mounted as the volume, when it is not its data folder.
    pub(crate) fn mount(&self) -> Result<Option<VolumeMount>, VolumeError> {
        Ok(options::mount(&self.options)?)
    }
}

impl Fault for VolumeError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::NotFound { .. } => FaultKind::NotFound,
            Self::Name { .. } => FaultKind::Invalid,
            Self::Options(error) => error.kind(),
            Self::InUse { .. } | Self::Busy { .. } | Self::Unknown { .. } => FaultKind::Conflict,
            Self::Driver { .. } => FaultKind::Unsupported,
            Self::File { .. } => FaultKind::Internal,
            Self::Containers { source } => source.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::InUse { .. } => {
                vec!["remove these containers first: gantry rm -f CONTAINER".into()]
            }
            Self::Busy { .. } => vec!["try again".into()],
            _ => Vec::new(),
        }
    }
}

/// Which containers have which volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeUsers {
    /// Ids of containers by name of volume.
    pub known: BTreeMap<String, BTreeSet<String>>,
    /// Whether there is a container that cannot be read: it may have any volume.
    pub unknown: bool,
}

/// What a prune took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumesPruned {
    /// Names of the volumes.
    pub deleted: Vec<String>,
    /// Bytes their files had.
    pub reclaimed: u64,
}

/// The handle of volumes.
#[derive(Debug, Clone, Copy)]
pub struct Volumes<'a> {
    engine: &'a Engine,
}

fn file(task: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VolumeError {
    let path = path.to_owned();
    move |source| VolumeError::File { task, path, source }
}

impl<'a> Volumes<'a> {
    pub(crate) const fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }

    fn root(&self) -> PathBuf {
        self.engine.root().join("volumes")
    }

    fn folder(&self, name: &str) -> Result<PathBuf, VolumeError> {
        gantry_model::id::check_name(name).map_err(|_| VolumeError::Name {
            name: name.chars().take(100).collect(),
        })?;
        Ok(self.root().join(name))
    }

    /// Makes a volume; one that exists already is given as it is. `None` makes an anonymous one.
    /// There is one driver, `local`; its options are Docker's `type`, `device` and `o`.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn create(
        &self,
        name: Option<&str>,
        driver: &str,
        labels: &BTreeMap<String, String>,
        options: &BTreeMap<String, String>,
    ) -> Result<Volume, VolumeError> {
        if !matches!(driver, "" | "local") {
            return Err(VolumeError::Driver {
                driver: driver.chars().take(100).collect(),
            });
        }
        options::mount(options)?;
        let anonymous = name.is_none();
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                random_name().map_err(file("read random numbers for", Path::new("a volume")))?
            }
        };
        let folder = self.folder(&name)?;
        if let Some(known) = self.read(&name)? {
            return Ok(known);
        }
        let data = folder.join(DATA);
        let private = |path: &Path| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o701)
                .create(path)
        };
        private(&folder).map_err(file("make", &folder))?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&data)
            .map_err(file("make", &data))?;
        let volume = Volume {
            name,
            created: gantry_supervisor::state::now(),
            labels: labels.clone(),
            options: options.clone(),
            anonymous,
            mountpoint: data,
        };
        // Aside and linked: of two commands that make the same volume the first one's document
        // stays.
        let text =
            serde_json::to_vec(&volume).map_err(|error| file("write", &folder)(error.into()))?;
        let aside = folder.join(format!(".{DOCUMENT}.{}", std::process::id()));
        let written = File::create(&aside).and_then(|mut document| {
            document.write_all(&text)?;
            match fs::hard_link(&aside, folder.join(DOCUMENT)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            }
        });
        let removed = fs::remove_file(&aside);
        written.and(removed).map_err(|error| {
            // Nothing is left of it, unless somebody else makes the same one just now.
            drop(fs::remove_dir(&volume.mountpoint));
            drop(fs::remove_dir(&folder));
            file("write", &folder)(error)
        })?;
        self.tell(&volume.name, "create");
        self.inspect(&volume.name)
    }

    /// A volume for a container: made if it is not there, and held against its removal until the
    /// container's document says that it has it.
    pub(crate) fn take(
        &self,
        name: Option<&str>,
        driver: &str,
        labels: &BTreeMap<String, String>,
        options: &BTreeMap<String, String>,
    ) -> Result<(Volume, HeldFolder), VolumeError> {
        for _ in 0..ATTEMPTS {
            let volume = match self.create(name, driver, labels, options) {
                // Removed in the middle of it.
                Err(VolumeError::NotFound { .. }) => continue,
                Err(VolumeError::File { source, .. })
                    if source.kind() == io::ErrorKind::NotFound =>
                {
                    continue;
                }
                other => other?,
            };
            let folder = self.folder(&volume.name)?;
            let held = gantry_sys::lock::folder::hold(&folder).map_err(file("hold", &folder))?;
            if let Some(held) = held
                && self.read(&volume.name)?.is_some()
            {
                return Ok((volume, held));
            }
        }
        Err(VolumeError::Busy {
            name: name.unwrap_or("(anonymous)").to_owned(),
        })
    }

    fn read(&self, name: &str) -> Result<Option<Volume>, VolumeError> {
        let folder = self.folder(name)?;
        let document = folder.join(DOCUMENT);
        let mut text = Vec::new();
        match File::open(&document) {
            Ok(opened) => opened
                .take(MAX_DOCUMENT)
                .read_to_end(&mut text)
                .map_err(file("read", &document))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file("read", &document)(error)),
        };
        // Of a volume whose document is damaged the name is known and the data is there: it is
        // shown, and as nobody can tell that it was anonymous, it is not.
        let mut volume: Volume = serde_json::from_slice(&text).unwrap_or_else(|_| Volume {
            name: String::new(),
            created: made_at(&folder),
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
            anonymous: false,
            mountpoint: PathBuf::new(),
        });
        name.clone_into(&mut volume.name);
        volume.mountpoint = folder.join(DATA);
        Ok(Some(volume))
    }

    /// What is known of a volume.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`] and others.
    pub fn inspect(&self, name: &str) -> Result<Volume, VolumeError> {
        self.read(name)?.ok_or_else(|| VolumeError::NotFound {
            name: name.to_owned(),
        })
    }

    /// All volumes by name.
    ///
    /// # Errors
    /// [`VolumeError::File`].
    pub fn list(&self) -> Result<Vec<Volume>, VolumeError> {
        let root = self.root();
        let entries = match fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(file("list", &root)(error)),
        };
        let mut volumes = Vec::new();
        for entry in entries {
            let entry = entry.map_err(file("list", &root))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if gantry_model::id::check_name(&name).is_ok() {
                volumes.extend(self.read(&name)?);
            }
        }
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// Which containers have which volume.
    ///
    /// # Errors
    /// [`VolumeError::Containers`].
    pub fn users(&self) -> Result<VolumeUsers, VolumeError> {
        let all = self.engine.containers().documents();
        let (records, damaged) = all.map_err(|source| VolumeError::Containers {
            source: Box::new(source),
        })?;
        let mut users = VolumeUsers {
            unknown: !damaged.is_empty(),
            ..VolumeUsers::default()
        };
        for record in records {
            for mount in &record.mounts {
                if let ResolvedMountKind::Volume { name, .. } = &mount.kind {
                    users
                        .known
                        .entry(name.clone())
                        .or_default()
                        .insert(record.id.to_string());
                }
            }
        }
        for damaged in damaged {
            self.engine.note_damage(damaged);
        }
        Ok(users)
    }

    /// Removes a volume; with `force` one that is not there is no error.
    ///
    /// # Errors
    /// [`VolumeError::InUse`], [`VolumeError::NotFound`] and others.
    pub fn remove(&self, name: &str, force: bool) -> Result<(), VolumeError> {
        if self.read(name)?.is_none() {
            if force {
                return Ok(());
            }
            return Err(VolumeError::NotFound {
                name: name.to_owned(),
            });
        }
        // From here on nobody can take it; who took it before has written that down.
        let Some(claimed) = self.claim(name)? else {
            let name = name.to_owned();
            return Err(VolumeError::Busy { name });
        };
        let mut users = self.users()?;
        if let Some(containers) = users.known.remove(name) {
            let containers = containers.into_iter().collect();
            return Err(VolumeError::InUse {
                name: name.to_owned(),
                containers,
            });
        }
        if users.unknown {
            let name = name.to_owned();
            return Err(VolumeError::Unknown { name });
        }
        let hidden = self.hide(name)?;
        drop(claimed);
        self.tell(name, "destroy");
        self.delete_hidden(hidden)
    }

    fn tell(&self, name: &str, action: &str) {
        let event = Event::new(EventType::Volume, action, name);
        self.engine.tell(event.with("driver", "local"));
    }

    fn claim(&self, name: &str) -> Result<Option<HeldFolder>, VolumeError> {
        let folder = self.folder(name)?;
        gantry_sys::lock::folder::claim(&folder).map_err(file("claim", &folder))
    }

    /// Takes a volume away that was made a moment ago for a container that did not come to be.
    pub(crate) fn delete(&self, name: &str) -> Result<(), VolumeError> {
        let hidden = self.hide(name)?;
        self.tell(name, "destroy");
        self.delete_hidden(hidden)
    }

    /// Takes the folder of a volume out of sight; gives its name in the trash.
    fn hide(&self, name: &str) -> Result<String, VolumeError> {
        let folder = self.folder(name)?;
        let trash = self.engine.root().join(crate::containers::TRASH);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&trash)
            .map_err(file("make", &trash))?;
        let hidden = format!("volume-{name}-{}", std::process::id());
        match fs::rename(&folder, trash.join(&hidden)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(file("remove", &folder))?,
        }
        Ok(hidden)
    }

    fn delete_hidden(&self, hidden: String) -> Result<(), VolumeError> {
        let trash = self.engine.root().join(crate::containers::TRASH);
        let path = trash.join(&hidden);
        match Directory::open(&trash).and_then(|trash| trash.remove_all(hidden.as_ref())) {
            // Emptied by another command.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(file("remove", &path)),
        }
    }

    /// Removes volumes that no container has: anonymous ones, with `all` named ones too.
    /// `keep` may spare some (filters). None is removed while there is a container that cannot
    /// be read.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn prune(
        &self,
        all: bool,
        keep: &dyn Fn(&Volume) -> bool,
    ) -> Result<VolumesPruned, VolumeError> {
        let users = self.users()?;
        let mut candidates = self.list()?;
        candidates.retain(|volume| {
            !users.known.contains_key(&volume.name) && (all || volume.anonymous) && !keep(volume)
        });
        let mut pruned = VolumesPruned::default();
        for group in candidates.chunks(CLAIMED_AT_ONCE) {
            self.prune_group(group, &mut pruned)?;
        }
        self.engine.tell_prune(EventType::Volume, pruned.reclaimed);
        Ok(pruned)
    }

    /// Claims these volumes, looks again who has them, and takes away what nobody has: a
    /// container that took one before the claim is seen, and none can take one after it.
    fn prune_group(&self, group: &[Volume], pruned: &mut VolumesPruned) -> Result<(), VolumeError> {
        let mut claimed = Vec::with_capacity(group.len());
        for volume in group {
            // Measured before: nobody waits for that.
            let size = self.size(volume).unwrap_or(0);
            if let Some(claim) = self.claim(&volume.name)? {
                claimed.push((volume, size, claim));
            }
        }
        let users = self.users()?;
        if users.unknown {
            return Ok(());
        }
        let mut hidden = Vec::with_capacity(claimed.len());
        for (volume, size, claim) in claimed {
            if !users.known.contains_key(&volume.name) {
                hidden.push(self.hide(&volume.name)?);
                pruned.reclaimed += size;
                pruned.deleted.push(volume.name.clone());
                self.tell(&volume.name, "destroy");
            }
            drop(claim);
        }
        hidden
            .into_iter()
            .try_for_each(|hidden| self.delete_hidden(hidden))
    }

    /// Bytes that the files of a volume take on disk.
    ///
    /// # Errors
    /// [`VolumeError::File`].
    pub fn size(&self, volume: &Volume) -> Result<u64, VolumeError> {
        gantry_sys::usage::disk_usage(&volume.mountpoint)
            .map_err(file("measure", &volume.mountpoint))
    }
}

/// When a folder was last changed, as documents say it.
fn made_at(folder: &Path) -> String {
    let modified = fs::metadata(folder).and_then(|status| status.modified());
    let time = modified
        .ok()
        .and_then(|time| jiff::Timestamp::try_from(time).ok());
    time.unwrap_or_default().to_string()
}

/// 64 hexadecimal digits, as Docker names anonymous volumes.
fn random_name() -> io::Result<String> {
    Ok(crate::containers::random_id()?.to_string())
}
