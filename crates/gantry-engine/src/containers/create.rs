//! Creating a container: everything that is decided once.

mod mounts;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use gantry_model::container::NetworkMode;
use gantry_model::image::ImageConfig;
use gantry_model::record::ResolvedMountKind;
use gantry_model::userns::IdRanges;
use gantry_model::{ContainerId, ContainerRecord, ContainerSpec, Digest, Platform};
use gantry_store::StoreError;
use gantry_supervisor::state;
use gantry_sys::lock::folder::HeldFolder;

use super::error::{ContainerError, file};
use super::folders::{self, Folders, make_folder};
use super::spec::security::SeccompChoice;
use super::spec::{self, security};
use super::support;
use super::{Containers, confinement, logging, merge, names, random_id, userns};

/// Version of the document's format.
const VERSION: u32 = 1;
/// Names tried before giving up on chance.
const ATTEMPTS: u32 = 1000;

/// A container that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A container that was created and is still held by this command.
pub(super) struct Prepared {
    pub(super) record: ContainerRecord,
    pub(super) folders: Folders,
    pub(super) lock: File,
    pub(super) lowers: Vec<PathBuf>,
    pub(super) warnings: Vec<String>,
}

impl Containers<'_> {
    /// Creates a container. Its image must be here ([`ContainerError::NoImage`] otherwise).
    ///
    /// # Errors
    /// [`ContainerError`]; nothing is left then.
    pub fn create(&self, spec: &ContainerSpec) -> Result<Created, ContainerError> {
        let prepared = self.prepare(spec, true)?;
        Ok(Created {
            id: prepared.record.id,
            name: prepared.record.name,
            warnings: prepared.warnings,
        })
    }

    pub(super) fn prepare(
        &self,
        spec: &ContainerSpec,
        durable: bool,
    ) -> Result<Prepared, ContainerError> {
        spec::check(spec, super::host::cpus)?;
        super::storage::check(&spec.storage_opt, self.engine.root())?;
        let own = &self.engine.config().log;
        let spec = &ContainerSpec {
            log: logging::complete(&spec.log, own),
            ..spec.clone()
        };
        logging::decide(&spec.log, own)?;
        let name = spec
            .name
            .as_deref()
            .map(|name| name.strip_prefix('/').unwrap_or(name));
        if let Some(name) = name {
            gantry_model::id::check_name(name).map_err(|_| ContainerError::Name {
                name: name.chars().take(100).collect(),
            })?;
        }
        let prepared = self.attempt(name, |attempt, name| attempt.fill(spec, name, durable))?;
        self.engine.tell_of(&prepared.record, "create", &[]);
        Ok(prepared)
    }

    /// A container like `draft`, under an id and a name of its own, whose files are those of
    /// `lowers` and what it writes; for as long as this command needs it.
    pub(super) fn prepare_like(
        &self,
        draft: ContainerRecord,
        lowers: Vec<PathBuf>,
    ) -> Result<Prepared, ContainerError> {
        self.attempt(None, |attempt, name| {
            attempt.make_root(&lowers)?;
            let record = ContainerRecord {
                id: attempt.id.clone(),
                name,
                created: state::now(),
                ..draft
            };
            attempt.folders.write_record(&record, false)?;
            Ok((record, lowers, Vec::new()))
        })
    }

    /// Makes the folders of a container and has `fill` make its document; nothing is left when
    /// that fails.
    fn attempt(
        &self,
        name: Option<&str>,
        fill: impl FnOnce(&mut Attempt<'_>, String) -> Result<Filled, ContainerError>,
    ) -> Result<Prepared, ContainerError> {
        let id = random_id().map_err(file("read random numbers from", Path::new("the kernel")))?;
        let folders = Folders::of(self.engine, &id);
        let lock = folders.try_lock()?.ok_or_else(|| ContainerError::Busy {
            name: id.to_string(),
        })?;
        let mut attempt = Attempt {
            containers: *self,
            folders: &folders,
            id: &id,
            name: None,
            volumes: Vec::new(),
            held: Vec::new(),
            on_disk: None,
            done: false,
        };
        make_folder(&folders.folder, 0o710)?;
        state::reserve(&folders.folder).map_err(file("write in", &folders.folder))?;
        let name = attempt.reserve(name)?;
        let filled = fill(&mut attempt, name)?;
        attempt.done = true;
        drop(attempt);
        let (record, lowers, warnings) = filled;
        Ok(Prepared {
            record,
            folders,
            lock,
            lowers,
            warnings,
        })
    }

    /// The image by the name a person gave, for the platform that was asked for.
    pub(super) fn image(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<(Digest, ImageConfig), ContainerError> {
        let images = self.engine.store()?.images();
        let id = images
            .resolve_id(name)?
            .ok_or_else(|| ContainerError::NoImage {
                name: name.to_owned(),
            })?;
        // A name without the platform is what it is: whoever asked made sure of it before.
        let id = match platform {
            Some(_) => self.engine.images().id_for(name, platform).unwrap_or(id),
            None => id,
        };
        Ok((id, images.config(&id)?))
    }
}

/// A document, the folders of the image's layers, and what a person should know.
type Filled = (ContainerRecord, Vec<PathBuf>, Vec<String>);

/// What has been made so far; taken back unless it was done.
struct Attempt<'a> {
    containers: Containers<'a>,
    folders: &'a Folders,
    id: &'a ContainerId,
    name: Option<String>,
    /// Anonymous volumes made for it.
    volumes: Vec<String>,
    /// Holds on all its volumes, until its document says that it has them.
    held: Vec<HeldFolder>,
    /// Its users, where its files have the caller's numbers of them.
    on_disk: Option<IdRanges>,
    done: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // The error that led here is the one to tell; what cannot be taken back now has no
        // document and counts as garbage.
        if let Some(name) = &self.name {
            drop(fs::remove_file(folders::name_link(
                self.containers.engine,
                name,
            )));
        }
        for volume in &self.volumes {
            drop(self.containers.engine.volumes().delete(volume));
        }
        drop(fs::remove_dir_all(&self.folders.folder));
        drop(fs::remove_dir_all(&self.folders.run_folder));
    }
}

impl Attempt<'_> {
    fn reserve(&mut self, wanted: Option<&str>) -> Result<String, ContainerError> {
        let engine = self.containers.engine;
        if let Some(name) = wanted {
            if let Some(owner) = folders::reserve(engine, name, self.id)? {
                let (name, id) = (name.to_owned(), owner.to_string());
                return Err(ContainerError::NameTaken { name, id });
            }
            self.name = Some(name.to_owned());
            return Ok(name.to_owned());
        }
        for attempt in 0..ATTEMPTS {
            let mut random = [0_u8; 4];
            super::fill_random(&mut random)
                .map_err(file("read random numbers from", Path::new("the kernel")))?;
            let name = names::generate(random, attempt);
            if folders::reserve(engine, &name, self.id)?.is_none() {
                self.name = Some(name.clone());
                return Ok(name);
            }
        }
        Err(ContainerError::Busy {
            name: "(every name that was tried)".into(),
        })
    }

    fn fill(
        &mut self,
        spec: &ContainerSpec,
        name: String,
        durable: bool,
    ) -> Result<Filled, ContainerError> {
        let engine = self.containers.engine;
        // What is no platform names none: the command line has refused it by then.
        let platform: Option<Platform> = spec.platform.as_ref().and_then(|text| text.parse().ok());
        let (image_id, image) = self.containers.image(&spec.image, platform.as_ref())?;
        // Held until the document says it: a collection in between must not take the image.
        let lease = engine.store()?.lease()?;
        if !lease.image(&image_id)? {
            return Err(ContainerError::NoImage {
                name: spec.image.clone(),
            });
        }
        let merged = merge::merge(spec, &image.config).ok_or(ContainerError::NoCommand)?;
        let mut spec = spec.clone();
        let unfit = support::fit_here(&mut spec.resources)?;
        self.name_donors(&mut spec)?;
        self.containers.check_links(&spec.links, &spec.network)?;
        let spec = &spec;
        let lowers = engine.store()?.layers().lowers(&image.rootfs.diff_ids)?;
        let most = || self.highest_id(&lowers);
        let decided = userns::decide(engine, spec, most)?;
        let (id_ranges, held) = match decided {
            Some(decided) => (Some(decided.ranges), decided.held),
            None => (None, None),
        };
        self.on_disk = userns::shifted(id_ranges.as_ref()).cloned();
        self.make_root(&lowers)?;
        self.keep_seccomp_profile(spec)?;
        // Refused now rather than at the start.
        confinement::names(spec, self.id.as_str())?;
        let mounts = self.mounts(spec, &merged.process.volumes, &lowers)?;
        for mount in &mounts {
            if let ResolvedMountKind::Image { image_id, .. } = &mount.kind
                && !lease.image(image_id)?
            {
                return Err(ContainerError::NoImage {
                    name: image_id.to_string(),
                });
            }
        }
        let record = ContainerRecord {
            version: VERSION,
            id: self.id.clone(),
            name,
            created: state::now(),
            spec: spec.clone(),
            image_id,
            image_name: spec.image.clone(),
            layers: image.rootfs.diff_ids.clone(),
            healthcheck: merged.process.healthcheck.clone(),
            process: merged.process,
            args: merged.args,
            mounts,
            id_ranges,
        };
        self.folders.write_record(&record, durable)?;
        drop(held);
        let warnings = [unfit, warnings(spec, &image)].concat();
        Ok((record, lowers, warnings))
    }

    /// Namespaces of other containers are theirs whatever they are called later.
    fn name_donors(&self, spec: &mut ContainerSpec) -> Result<(), ContainerError> {
        let engine = self.containers.engine;
        for mode in [&mut spec.pid_mode, &mut spec.ipc_mode] {
            if let Some(name) = spec::shared_with(mode) {
                *mode = format!("container:{}", folders::resolve(engine, name)?);
            }
        }
        if let NetworkMode::Container(name) = &mut spec.network {
            *name = folders::resolve(engine, name)?.to_string();
        }
        Ok(())
    }

    /// The writable layer: its root looks like that of the image.
    fn make_root(&self, lowers: &[PathBuf]) -> Result<(), ContainerError> {
        let upper = self.folders.upper();
        make_folder(&upper, 0o755)?;
        make_folder(&self.folders.work(), 0o700)?;
        make_folder(&self.folders.logs(), 0o700)?;
        let Some(top) = lowers.last() else {
            return Ok(());
        };
        let metadata = fs::metadata(top).map_err(file("look at", top))?;
        let (uid, gid) = self.owner_on_disk(metadata.uid(), metadata.gid())?;
        if uid != 0 || gid != 0 {
            chown(&upper, Some(uid), Some(gid)).map_err(file("set the owner of", &upper))?;
        }
        fs::set_permissions(&upper, metadata.permissions()).map_err(file("set the mode of", &upper))
    }

    /// The numbers that a user and a group of the container's have on the disk.
    fn owner_on_disk(&self, uid: u32, gid: u32) -> Result<(u32, u32), ContainerError> {
        let Some(own) = &self.on_disk else {
            return Ok((uid, gid));
        };
        let known = own.outside(uid, gid);
        known.ok_or_else(|| StoreError::UnmappedOwner { uid, gid }.into())
    }

    /// The highest ID that an image's files belong to or that its users have.
    fn highest_id(&self, lowers: &[PathBuf]) -> Result<u32, ContainerError> {
        let engine = self.containers.engine;
        let owner = engine.store()?.layers().highest_owner(lowers)?;
        let user = self.containers.highest_user(lowers)?;
        Ok(owner.max(user))
    }

    /// A profile is read once: what its file becomes later is not the container's affair.
    fn keep_seccomp_profile(&self, spec: &ContainerSpec) -> Result<(), ContainerError> {
        let SeccompChoice::File(path) = security::parse(&spec.security_opt)?.seccomp else {
            return Ok(());
        };
        let (text, _) = confinement::profile(Path::new(&path), &[])?;
        let kept = self.folders.seccomp_profile();
        fs::write(&kept, text).map_err(file("write", &kept))
    }
}

fn warnings(spec: &ContainerSpec, image: &ImageConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    let published = !spec.ports.is_empty() || spec.publish_all;
    if published && matches!(spec.network, NetworkMode::Host | NetworkMode::None) {
        warnings.push(format!(
            "Published ports are discarded when using {} network mode",
            spec.network
        ));
    }
    let host = Platform::host();
    if spec.platform.is_none()
        && !image.architecture.is_empty()
        && image.architecture != host.architecture
    {
        warnings.push(format!(
            "The requested image's platform ({}) does not match the detected host platform ({host}) and no specific platform was requested",
            image.platform()
        ));
    }
    warnings
}
