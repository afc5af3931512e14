//! The engine: containers, images, volumes and the installation as a whole, as nouns.
//!
//! [`Engine::open`] is cheap and reads configuration only; what a command needs beyond that (the
//! store's database, the registry client) is opened when it is first used. The handles
//! ([`Engine::images`], [`Engine::containers`], …) hold the verbs.
//!
//! This crate never knows the command line: it neither prints nor reads the environment, which
//! comes in as [`Surroundings`].

// The HostConfig object of a container's inspection has more fields than the default allows.
#![recursion_limit = "256"]

pub mod caches;
mod cdi;
pub mod config;
pub mod containers;
mod damage;
mod error;
pub mod events;
pub mod images;
pub mod networks;
pub mod rootless;
pub mod roots;
pub mod system;
pub mod volumes;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gantry_store::Store;

pub use caches::Caches;
pub use cdi::{CdiError, StepDevices};
pub use config::{Config, Surroundings};
pub use containers::Containers;
pub use damage::LeftOut;
pub use error::OpenError;
pub use images::Images;
pub use networks::Networks;
pub use system::System;
pub use volumes::Volumes;

/// One installation of Gantry.
#[derive(Debug)]
pub struct Engine {
    root: PathBuf,
    run_root: PathBuf,
    config: Config,
    surroundings: Surroundings,
    store: OnceLock<Store>,
    registry: OnceLock<gantry_registry::Client>,
    damaged: damage::Notes,
}

impl Engine {
    /// The installation that flags, environment and configuration files name. `root` and
    /// `run_root` come from flags or environment and win over the files. Nothing is created yet.
    ///
    /// # Errors
    /// [`OpenError`] when a configuration file cannot be read or says what cannot be.
    pub fn open(
        root: Option<PathBuf>,
        run_root: Option<PathBuf>,
        surroundings: Surroundings,
    ) -> Result<Self, OpenError> {
        let config = Config::read(&surroundings)?;
        let chosen = |flag: Option<PathBuf>, file: &Option<PathBuf>, default: PathBuf| {
            let path = flag.or_else(|| file.clone()).unwrap_or(default);
            std::path::absolute(&path).map_err(|source| OpenError::Path { path, source })
        };
        let root = chosen(root, &config.root, surroundings.default_root())?;
        let run_root = chosen(run_root, &config.run_root, surroundings.default_run_root())?;
        Ok(Self {
            root,
            run_root,
            config,
            surroundings,
            store: OnceLock::new(),
            registry: OnceLock::new(),
            damaged: damage::Notes::default(),
        })
    }

    /// `$ROOT`: what outlives a reboot.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `$RUN`: what does not.
    #[must_use]
    pub fn run_root(&self) -> &Path {
        &self.run_root
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What was passed in of the caller's environment.
    #[must_use]
    pub const fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// The store, opened (and made) at the first call.
    ///
    /// # Errors
    /// The store's.
    pub fn store(&self) -> Result<&Store, gantry_store::StoreError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = Store::open(&self.root)?.with_limits(self.config.limits.clone());
        Ok(self.store.get_or_init(|| store))
    }

    /// Takes the list of what was left out so far because it is damaged: whoever asks tells a
    /// person.
    #[must_use]
    pub fn take_damaged(&self) -> Vec<LeftOut> {
        self.damaged.take()
    }

    pub(crate) fn note_damage(&self, found: impl Into<LeftOut>) {
        self.damaged.add(found.into());
    }

    /// Images and tags.
    #[must_use]
    pub const fn images(&self) -> Images<'_> {
        Images::new(self)
    }

    /// Build caches elsewhere.
    #[must_use]
    pub const fn caches(&self) -> Caches<'_> {
        Caches::new(self)
    }

    /// Containers.
    #[must_use]
    pub const fn containers(&self) -> Containers<'_> {
        Containers::new(self)
    }

    /// Devices by the Container Device Interface, as steps of a build have them.
    #[must_use]
    pub fn step_devices(&self) -> StepDevices {
        StepDevices::of(self.config.cdi_spec_dirs.clone())
    }

    /// Networks.
    #[must_use]
    pub const fn networks(&self) -> Networks<'_> {
        Networks::new(self)
    }

    /// Volumes.
    #[must_use]
    pub const fn volumes(&self) -> Volumes<'_> {
        Volumes::new(self)
    }

    /// The installation as a whole.
    #[must_use]
    pub const fn system(&self) -> System<'_> {
        System::new(self)
    }
}
