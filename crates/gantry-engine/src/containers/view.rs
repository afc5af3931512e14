//! A container's file system as a descriptor that cannot be left.
//!
//! Of a running container it is the root of its first process, in its own mount namespace, with
//! all that is mounted there. Of a stopped one the overlay and its volumes are mounted in a
//! namespace that nobody is in. In both cases every path is resolved by the kernel relative to
//! that descriptor (`RESOLVE_IN_ROOT`): no code of the container runs, nothing of it is loaded,
//! and a link that is changed meanwhile still leads nowhere else.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_model::ContainerRecord;
use gantry_model::record::ResolvedMountKind;
use gantry_model::userns::IdRanges;
use gantry_store::Lowers;
use gantry_supervisor::state::{self, process_start};
use gantry_sys::mount::{self, Attributes, Change, Mount, Overlay, Propagation};
use gantry_sys::path::Directory;
use gantry_sys::process::{self, Namespace, NamespaceSet};
use rustix::fs::{FileType, Mode, OFlags};

use super::Containers;
use super::error::{ContainerError, file};
use super::folders::Folders;
use super::status::{is_live, observe, supervisor_lives};
use super::userns;

/// A container's root held open.
#[derive(Debug)]
pub(crate) struct RootView {
    /// The root.
    pub(crate) root: Directory,
    /// The container's users, where its files show them by the host's numbers.
    pub(crate) users: Option<IdRanges>,
    /// The mount namespace of a running container.
    live: Option<OwnedFd>,
    /// Keeps the mounts of a stopped container.
    _namespace: Option<OwnedFd>,
    /// Keeps a stopped container from being started meanwhile.
    _lock: Option<File>,
}

/// How often a container that is started or ends meanwhile is looked at again.
const ATTEMPTS: usize = 8;

impl Containers<'_> {
    /// Opens the root of a container, running or not. As long as that of a stopped one is open,
    /// it cannot be started.
    pub(crate) fn view(&self, name: &str) -> Result<(ContainerRecord, RootView), ContainerError> {
        self.view_with(name, true)
    }

    fn view_with(
        &self,
        name: &str,
        mounts: bool,
    ) -> Result<(ContainerRecord, RootView), ContainerError> {
        let (record, _) = self.look(name)?;
        let folders = Folders::of(self.engine, &record.id);
        let busy = || ContainerError::Busy {
            name: name.to_owned(),
        };
        for _ in 0..ATTEMPTS {
            let Some(seen) = observe(self.engine, &record)? else {
                break;
            };
            if let (true, Some(pid)) = (is_live(seen.status), seen.pid) {
                if let Some((root, live)) = live_root(pid, seen.pid_start)? {
                    let view = RootView {
                        root,
                        users: record.id_ranges.clone(),
                        live: Some(live),
                        _namespace: None,
                        _lock: None,
                    };
                    return Ok((record, view));
                }
                continue;
            }
            let alive = || {
                state::read(&folders.folder).is_ok_and(|seen| {
                    is_live(seen.status)
                        && seen.pid.is_some()
                        && supervisor_lives(&seen, record.id.as_str())
                })
            };
            let Some(lock) = folders.lock_unless(alive)? else {
                if alive() {
                    continue;
                }
                return Err(busy());
            };
            // Removed, or changed, while this command waited.
            let Some(record) = folders.record()? else {
                break;
            };
            let view = self.mounted(&record, &folders, lock, mounts)?;
            return Ok((record, view));
        }
        Err(ContainerError::NotFound {
            name: name.to_owned(),
        })
    }

    /// The same without what is mounted in it: the container's own files alone. As long as that
    /// of a stopped one is open, it cannot be started.
    pub(crate) fn bare_view(
        &self,
        name: &str,
    ) -> Result<(ContainerRecord, RootView), ContainerError> {
        let (record, mut view) = self.view_with(name, false)?;
        if let Some(namespace) = view.live.take() {
            let folder = Folders::of(self.engine, &record.id).folder;
            view.root = alone(&view.root, &namespace).map_err(file("look into", &folder))?;
        }
        Ok((record, view))
    }

    /// The lower directories of a container as its users see them, base first.
    pub(super) fn seen_lowers(&self, record: &ContainerRecord) -> Result<Lowers, ContainerError> {
        let lowers = self.engine.store()?.layers().lowers(&record.layers)?;
        self.as_seen(record, lowers)
    }

    /// The same of those lower directories.
    pub(super) fn as_seen(
        &self,
        record: &ContainerRecord,
        lowers: Vec<PathBuf>,
    ) -> Result<Lowers, ContainerError> {
        let Some(own) = userns::on_disk(record).filter(|_| !lowers.is_empty()) else {
            return Ok(lowers.into());
        };
        let merged = || match image_root(lowers.clone().into())? {
            Some(root) => root.directory_in_root("."),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        Ok(self.engine.store()?.layers().mapped(&lowers, own, merged)?)
    }

    /// What the mounts of a container show while it does not run.
    fn shown(&self, record: &ContainerRecord) -> Result<Vec<Shown>, ContainerError> {
        let layers = self.engine.store()?.layers();
        let mut all = Vec::new();
        for mount in &record.mounts {
            let (source, subpath) = match &mount.kind {
                ResolvedMountKind::Bind {
                    source,
                    non_recursive,
                    ..
                } => (Source::Path(source.into(), !non_recursive), None),
                ResolvedMountKind::Volume {
                    source,
                    mounted,
                    subpath,
                    ..
                } => {
                    let source = match mounted {
                        None => source,
                        Some(mounted) if mounted.kind == "none" => &mounted.device,
                        // It is there while the container runs.
                        Some(_) => continue,
                    };
                    (Source::Path(source.into(), true), subpath.clone())
                }
                ResolvedMountKind::Image {
                    layers: ids,
                    subpath,
                    ..
                } => {
                    let mut lowers = layers.lowers(ids)?;
                    lowers.reverse();
                    (Source::Layers(lowers), subpath.clone())
                }
                // Memory has no content while nothing runs.
                ResolvedMountKind::Tmpfs { .. } => continue,
            };
            all.push(Shown {
                target: mount.target.clone(),
                read_only: mount.read_only || matches!(source, Source::Layers(_)),
                source,
                subpath,
            });
        }
        Ok(all)
    }

    fn mounted(
        &self,
        record: &ContainerRecord,
        folders: &Folders,
        lock: File,
        mounts: bool,
    ) -> Result<RootView, ContainerError> {
        let mut lowers = self.seen_lowers(record)?;
        lowers.folders.reverse();
        let (mut shown, mut files) = (Vec::new(), Vec::new());
        if mounts {
            shown = self.shown(record)?;
            files.extend([
                ("/etc/resolv.conf", folders.resolv_conf()),
                ("/etc/hostname", folders.hostname()),
                ("/etc/hosts", folders.hosts()),
            ]);
        }
        let stopped = Stopped {
            lowers: &lowers,
            upper: &folders.upper(),
            work: &folders.work(),
            read_only: record.spec.read_only,
            mounts: &shown,
            files: &files,
        };
        let mounted = aside(|| stopped.mount());
        let (root, namespace) =
            mounted.map_err(file("mount the file system of", &folders.folder))?;
        Ok(RootView {
            root,
            users: userns::on_disk(record).cloned(),
            live: None,
            _namespace: Some(namespace),
            _lock: Some(lock),
        })
    }
}

/// The root of a running process and its mount namespace; `None` when it has ended. Its number
/// may have gone to another process, which is told apart by when that started.
fn live_root(
    pid: u32,
    started: Option<u64>,
) -> Result<Option<(Directory, OwnedFd)>, ContainerError> {
    let path = PathBuf::from(format!("/proc/{pid}"));
    let open = || -> io::Result<(Directory, OwnedFd)> {
        let namespace = File::open(path.join("ns/mnt"))?;
        Ok((Directory::open(&path.join("root"))?, namespace.into()))
    };
    match open() {
        // Asked after it was opened: had the number been given away before, it would show now.
        Ok(live) => Ok((process_start(pid) == started).then_some(live)),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) =>
        {
            Ok(None)
        }
        Err(error) => Err(file("look into", &path)(error)),
    }
}

/// Does something in a thread of its own, which may leave the namespaces of this process.
fn aside<T: Send>(task: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        scope
            .spawn(task)
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the mounting thread panicked")))
    })
}

fn leave_mount_namespace() -> io::Result<()> {
    let mounts: NamespaceSet = [Namespace::Mount].into_iter().collect();
    mounts.unshare()
}

/// The file system that a directory of another mount namespace is in, without what is mounted
/// below: a mount that no path leads to.
fn alone(root: &Directory, namespace: &OwnedFd) -> io::Result<Directory> {
    aside(|| {
        leave_mount_namespace()?;
        process::join(namespace, Namespace::Mount)?;
        let copy = Mount::copy_of_fd(root, false).map_err(|error| error.source)?;
        Ok(copy.into())
    })
}

/// The root of an image by its layers, base first: a mount that no path leads to. `None` for
/// an image without any.
pub(crate) fn image_root(mut lowers: Lowers) -> io::Result<Option<Directory>> {
    match &lowers.folders[..] {
        [] => return Ok(None),
        [only] if lowers.data.is_empty() => return Directory::open(only).map(Some),
        _ => lowers.folders.reverse(),
    }
    aside(|| {
        leave_mount_namespace()?;
        mount::change_everything(Propagation::Private).map_err(|error| error.source)?;
        let mount = Overlay::to_read(&lowers.folders, &lowers.data);
        mount
            .map(|mount| Some(mount.into()))
            .map_err(|error| error.source)
    })
}

/// One mount of a container, as it is seen while it does not run.
struct Shown {
    target: String,
    read_only: bool,
    source: Source,
    /// The folder or file of the source that is shown instead of all of it.
    subpath: Option<String>,
}

enum Source {
    /// A path of the host, and whether what is mounted below it is shown.
    Path(PathBuf, bool),
    /// The layers of an image, top first.
    Layers(Vec<PathBuf>),
}

impl Source {
    /// A mount of it; `None` when it is not there any more.
    fn mount(&self, subpath: Option<&str>) -> io::Result<Option<Mount>> {
        let plain = |error: mount::MountError| error.source;
        let (folder, recursive) = match self {
            Self::Path(path, recursive) => (path, *recursive),
            Self::Layers(lowers) if lowers.len() == 1 => (&lowers[0], false),
            Self::Layers(lowers) => {
                let whole = Overlay::to_read(lowers, &[]).map_err(plain)?;
                return match subpath {
                    None => Ok(Some(whole)),
                    Some(_) => part(whole.into(), subpath, false),
                };
            }
        };
        if !folder.exists() {
            return Ok(None);
        }
        match subpath {
            None => Mount::copy_of(folder, recursive).map_err(plain).map(Some),
            Some(_) => part(Directory::open(folder)?.into(), subpath, recursive),
        }
    }
}

/// A mount of what is at `subpath` below an open directory, which cannot be left on the way.
fn part(whole: OwnedFd, subpath: Option<&str>, recursive: bool) -> io::Result<Option<Mount>> {
    let opened = Directory::from(whole).open_in_root(subpath.unwrap_or("."), OFlags::PATH, 0);
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(part) => Mount::copy_of_fd(&part, recursive)
            .map_err(|error| error.source)
            .map(Some),
    }
}

/// What is mounted to see a stopped container's files.
struct Stopped<'a> {
    /// Top first.
    lowers: &'a Lowers,
    upper: &'a Path,
    work: &'a Path,
    read_only: bool,
    mounts: &'a [Shown],
    files: &'a [(&'static str, PathBuf)],
}

impl Stopped<'_> {
    /// Mounts it all in a new mount namespace, which lives as long as the second descriptor.
    fn mount(&self) -> io::Result<(Directory, OwnedFd)> {
        leave_mount_namespace()?;
        mount::change_everything(Propagation::Private).map_err(|error| error.source)?;
        let overlay = Overlay {
            lowers: &self.lowers.folders,
            data: &self.lowers.data,
            upper: Some((self.upper, self.work)),
            or_program: true,
            ..Overlay::default()
        };
        let attributes = Attributes::NO_DEVICES.with(Attributes::NO_SETUID);
        let mount = overlay.mount(attributes).map_err(|error| error.source)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = rustix::fs::open(self.upper, flags, Mode::empty())?;
        mount.attach(&place).map_err(|error| error.source)?;
        let root = Directory::from(mount);
        for shown in self.mounts {
            if let Some(mount) = shown.source.mount(shown.subpath.as_deref())? {
                attach(&root, &mount, &shown.target, shown.read_only)?;
            }
        }
        for (target, source) in self.files {
            if source.exists() {
                let mount = Mount::copy_of(source, false).map_err(|error| error.source)?;
                attach(&root, &mount, target, false)?;
            }
        }
        if self.read_only {
            let change = Change {
                set: Attributes::READ_ONLY,
                ..Change::default()
            };
            mount::change(root.as_fd(), &change, false).map_err(|error| error.source)?;
        }
        let namespace = File::open("/proc/thread-self/ns/mnt")?;
        Ok((root, namespace.into()))
    }
}

/// Shows a mount at `target` inside, which is made if it is missing.
fn attach(root: &Directory, mount: &Mount, target: &str, read_only: bool) -> io::Result<()> {
    let status = rustix::fs::fstat(mount)?;
    let is_directory = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
    let place = match root.open_in_root(target, OFlags::PATH, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_target(root, target, is_directory)?
        }
        other => other?,
    };
    if read_only {
        let change = Change {
            set: Attributes::READ_ONLY,
            ..Change::default()
        };
        mount.change(&change, true).map_err(|error| error.source)?;
    }
    mount.attach(&place).map_err(|error| error.source)
}

fn make_target(root: &Directory, target: &str, is_directory: bool) -> io::Result<OwnedFd> {
    if is_directory {
        return root.create_all_in_root(target, 0o755).map(OwnedFd::from);
    }
    let path = Path::new(target);
    let parent = path.parent().unwrap_or(Path::new("/"));
    let parent = root.create_all_in_root(parent.as_os_str(), 0o755)?;
    parent.create_file(path.file_name().unwrap_or_default(), 0o644)
}
