//! Volumes of an installation: folders that outlive containers.
//!
//! `$ROOT/volumes/<name>/_data` is what containers see, `volume.json` beside it what is known.

mod copy_up;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use gantry_model::record::ResolvedMountKind;
use gantry_model::{Fault, FaultKind};
use gantry_sys::path::Directory;
use serde::{Deserialize, Serialize};

use crate::Engine;

pub(crate) use copy_up::copy_up;

/// Most bytes of a volume's document that are read.
const MAX_DOCUMENT: u64 = 1 << 20;
const DOCUMENT: &str = "volume.json";
const DATA: &str = "_data";

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
    /// A driver or an option that this release does not have.
    #[error("volume option {option:?} is not supported")]
    Unsupported {
        /// The option.
        option: String,
    },
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
    /// The containers that use volumes cannot be told.
    #[error("cannot tell which volumes are in use")]
    Containers {
        /// Why.
        #[source]
        source: Box<crate::containers::ContainerError>,
    },
}

impl Fault for VolumeError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::NotFound { .. } => FaultKind::NotFound,
            Self::Name { .. } => FaultKind::Invalid,
            Self::InUse { .. } => FaultKind::Conflict,
            Self::Unsupported { .. } => FaultKind::Unsupported,
            Self::File { .. } => FaultKind::Internal,
            Self::Containers { source } => source.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::InUse { .. } => {
                vec!["remove these containers first: gantry rm -f CONTAINER".into()]
            }
            _ => Vec::new(),
        }
    }
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
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn create(
        &self,
        name: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Result<Volume, VolumeError> {
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
            options: BTreeMap::new(),
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
        written.and(removed).map_err(file("write", &folder))?;
        self.inspect(&volume.name)
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
        let mut volume: Volume =
            serde_json::from_slice(&text).map_err(|error| file("read", &document)(error.into()))?;
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

    /// Which containers have which volume: name to ids.
    ///
    /// # Errors
    /// [`VolumeError::Containers`].
    pub fn users(&self) -> Result<BTreeMap<String, BTreeSet<String>>, VolumeError> {
        let records =
            self.engine
                .containers()
                .records()
                .map_err(|source| VolumeError::Containers {
                    source: Box::new(source),
                })?;
        let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for record in records {
            for mount in &record.mounts {
                if let ResolvedMountKind::Volume { name, .. } = &mount.kind {
                    users
                        .entry(name.clone())
                        .or_default()
                        .insert(record.id.to_string());
                }
            }
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
        if let Some(containers) = self.users()?.remove(name) {
            let containers = containers.into_iter().collect();
            return Err(VolumeError::InUse {
                name: name.to_owned(),
                containers,
            });
        }
        self.delete(name)
    }

    /// Takes the folder of a volume away: out of sight first, then for real.
    pub(crate) fn delete(&self, name: &str) -> Result<(), VolumeError> {
        let folder = self.folder(name)?;
        let trash = self.engine.root().join(crate::containers::TRASH);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&trash)
            .map_err(file("make", &trash))?;
        let hidden = format!("volume-{name}-{}", std::process::id());
        match fs::rename(&folder, trash.join(&hidden)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(file("remove", &folder))?,
        }
        Directory::open(&trash)
            .and_then(|trash| trash.remove_all(hidden.as_ref()))
            .map_err(file("remove", &folder))
    }

    /// Removes volumes that no container has: anonymous ones, with `all` named ones too.
    /// `keep` may spare some (filters).
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn prune(
        &self,
        all: bool,
        keep: &dyn Fn(&Volume) -> bool,
    ) -> Result<VolumesPruned, VolumeError> {
        let users = self.users()?;
        let mut pruned = VolumesPruned::default();
        for volume in self.list()? {
            if users.contains_key(&volume.name) || !(all || volume.anonymous) || keep(&volume) {
                continue;
            }
            // Another prune may be taking it at this moment.
            pruned.reclaimed += self.size(&volume).unwrap_or(0);
            self.delete(&volume.name)?;
            pruned.deleted.push(volume.name);
        }
        Ok(pruned)
    }

    /// Bytes that the files of a volume take on disk.
    ///
    /// # Errors
    /// [`VolumeError::File`].
    pub fn size(&self, volume: &Volume) -> Result<u64, VolumeError> {
        disk_usage(&volume.mountpoint).map_err(file("measure", &volume.mountpoint))
    }
}

/// Bytes that a tree takes on disk, every hard-linked file once. Links are not followed.
pub(crate) fn disk_usage(root: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut seen = BTreeSet::new();
    let mut total = 0_u64;
    let mut rest = vec![root.to_owned()];
    while let Some(folder) = rest.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // Files come and go while a container runs.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                rest.push(entry.path());
            } else if metadata.nlink() > 1 && !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            total = total.saturating_add(metadata.blocks().saturating_mul(512));
        }
    }
    Ok(total)
}

/// 64 hexadecimal digits, as Docker names anonymous volumes.
fn random_name() -> io::Result<String> {
    Ok(crate::containers::random_id()?.to_string())
}
