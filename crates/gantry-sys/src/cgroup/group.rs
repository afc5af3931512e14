//! One cgroup in all the hierarchies it lives in.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::CgroupError;
use super::devices;
use super::layout::Layout;
use super::settings::{Settings, Write};
use super::stats::keyed;

/// The directory of a cgroup in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// v1: the controllers of the hierarchy; v2: `None`.
    pub controllers: Option<Vec<String>>,
    /// Where the directory is.
    pub path: PathBuf,
}

/// One cgroup in all the hierarchies it lives in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
    directories: Vec<Directory>,
}

/// How long [`Cgroup::remove`] waits for killed processes to be gone.
const REMOVE_DEADLINE: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

impl Cgroup {
    /// Makes the cgroup `path` (absolute, below the mount point of each hierarchy) in every
    /// hierarchy and applies `settings` to it. On failure nothing is left behind.
    pub fn create(
        layout: &Layout,
        path: &Path,
        settings: &Settings,
    ) -> Result<Cgroup, CgroupError> {
        let cgroup = Cgroup::at(layout, path)?;
        let made = cgroup
            .make_directories(layout, settings)
            .and_then(|()| cgroup.apply(settings))
            .and_then(|()| cgroup.apply_devices(settings));
        if let Err(error) = made {
            cgroup.remove();
            return Err(error);
        }
        Ok(cgroup)
    }

    /// The cgroup `path`, whether it exists or not.
    pub fn at(layout: &Layout, path: &Path) -> Result<Cgroup, CgroupError> {
        let mut components = path.components();
        let absolute = components.next() == Some(Component::RootDir);
        let relative = components.as_path();
        let plain = components.all(|component| matches!(component, Component::Normal(_)));
        if !absolute || !plain || relative.as_os_str().is_empty() {
            return Err(CgroupError::InvalidPath {
                path: path.to_owned(),
            });
        }
        let v1 = layout.v1.iter().map(|hierarchy| Directory {
            controllers: Some(hierarchy.controllers.clone()),
            path: hierarchy.mount_point.join(relative),
        });
        let v2 = layout.v2.iter().map(|hierarchy| Directory {
            controllers: None,
            path: hierarchy.mount_point.join(relative),
        });
        Ok(Cgroup {
            path: path.to_owned(),
            directories: v1.chain(v2).collect(),
        })
    }

    /// A cgroup whose directories are known from before.
    pub fn from_directories(path: PathBuf, directories: Vec<Directory>) -> Cgroup {
        Cgroup { path, directories }
    }

    /// The path the cgroup was named by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its directories, version 2 last.
    pub fn directories(&self) -> &[Directory] {
        &self.directories
    }

    /// The directory of version 2.
    pub fn v2(&self) -> Option<&Path> {
        self.directories
            .iter()
            .find(|directory| directory.controllers.is_none())
            .map(|directory| directory.path.as_path())
    }

    /// Opens the directory of version 2, for a clone straight into it.
    pub fn open_v2(&self) -> Option<io::Result<OwnedFd>> {
        self.v2().map(open_directory)
    }

    pub(super) fn has_v1(&self, controller: &str) -> bool {
        self.v1_of(controller).is_some()
    }

    fn v1_of(&self, controller: &str) -> Option<&Path> {
        let has = |directory: &&Directory| match &directory.controllers {
            Some(controllers) => controllers.iter().any(|own| own == controller),
            None => false,
        };
        let directory = self.directories.iter().find(has)?;
        Some(&directory.path)
    }

    /// Reads a file of a controller, wherever the controller is.
    pub(super) fn read(&self, controller: &str, file: &str) -> Option<String> {
        let directory = self.v1_of(controller).or_else(|| self.v2())?;
        fs::read_to_string(directory.join(file)).ok()
    }

    fn make_directories(&self, layout: &Layout, settings: &Settings) -> Result<(), CgroupError> {
        for directory in &self.directories {
            make_directory(&directory.path)?;
        }
        if let Some(cpuset) = self.v1_of("cpuset") {
            inherit_cpuset(cpuset)?;
        }
        if let (Some(v2), Some(hierarchy)) = (self.v2(), &layout.v2) {
            let needed: Vec<String> = settings
                .v2_writes()
                .into_iter()
                .map(|write| write.controller)
                .collect();
            let mut wanted = hierarchy.controllers.clone();
            // Beside version 1, other runtimes refuse to work once version 2 has a controller.
            if !layout.is_unified() {
                wanted.retain(|name| needed.contains(name));
            }
            enable_controllers(&hierarchy.mount_point, v2, &wanted, &needed)?;
        }
        Ok(())
    }

    /// Applies limits to the cgroup; what is not asked for stays as it is. Device rules are only
    /// applied when the cgroup is made.
    pub fn apply(&self, settings: &Settings) -> Result<(), CgroupError> {
        let mut v1 = settings.v1_writes();
        self.order_memory_writes(&mut v1);
        let v2 = settings.v2_writes();
        for write in &v1 {
            if let Some(directory) = self.v1_of(&write.controller) {
                write_value(&directory.join(&write.file), &write.value)?;
            } else if self.v2().is_none() {
                return Err(missing(write));
            }
        }
        let Some(directory) = self.v2() else {
            return match settings.unified.first_key_value() {
                Some((file, _)) => Err(CgroupError::MissingController {
                    controller: "version 2".to_owned(),
                    file: file.clone(),
                }),
                None => Ok(()),
            };
        };
        for write in &v2 {
            let v1_controller = if write.controller == "io" {
                "blkio"
            } else {
                &write.controller
            };
            let raw = settings.unified.contains_key(&write.file);
            if self.has_v1(v1_controller) && !raw {
                continue;
            }
            write_v2(directory, write)?;
        }
        Ok(())
    }

    /// Version 1 refuses a memory limit above the memory+swap limit and the reverse, so that the
    /// right order depends on where the limits were.
    fn order_memory_writes(&self, writes: &mut [Write]) {
        let position = |file: &str| writes.iter().position(|write| write.file == file);
        let (Some(memory), Some(swap)) = (
            position("memory.limit_in_bytes"),
            position("memory.memsw.limit_in_bytes"),
        ) else {
            return;
        };
        let current = self
            .read("memory", "memory.memsw.limit_in_bytes")
            .and_then(|text| text.trim().parse::<i64>().ok());
        let wanted = writes[memory].value.parse::<i64>().ok();
        let unlimited = wanted.is_some_and(|wanted| wanted < 0);
        if unlimited
            || matches!((wanted, current), (Some(wanted), Some(current)) if wanted > current)
        {
            writes.swap(memory, swap);
        }
    }

    fn apply_devices(&self, settings: &Settings) -> Result<(), CgroupError> {
        let Some(rules) = &settings.devices else {
            return Ok(());
        };
        if let Some(directory) = self.v1_of("devices") {
            for (file, value) in devices::v1_writes(rules) {
                write_value(&directory.join(file), &value)?;
            }
            return Ok(());
        }
        let Some(directory) = self.v2() else {
            return Err(CgroupError::MissingController {
                controller: "devices".to_owned(),
                file: "devices.allow".to_owned(),
            });
        };
        open_directory(directory)
            .and_then(|opened| devices::attach(opened.as_fd(), rules))
            .map_err(|error| CgroupError::io("attach the device filter to", directory, error))
    }

    /// Moves a process into the cgroup. With `cloned_into_v2` the process is in the directory of
    /// version 2 already.
    pub fn join(&self, pid: i32, cloned_into_v2: bool) -> Result<(), CgroupError> {
        for directory in &self.directories {
            if directory.controllers.is_none() && cloned_into_v2 {
                continue;
            }
            write_value(&directory.path.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// The process IDs in the cgroup and its children.
    pub fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        let directory = self
            .v2()
            .or_else(|| self.v1_of("pids"))
            .or_else(|| self.directories.first().map(|first| first.path.as_path()));
        let mut pids = Vec::new();
        if let Some(directory) = directory {
            visit(directory, &mut |directory| {
                let file = directory.join("cgroup.procs");
                match fs::read_to_string(&file) {
                    Ok(text) => {
                        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
                        Ok(())
                    }
                    Err(error) if is_gone(&error) => Ok(()),
                    Err(error) => Err(CgroupError::io("read", file, error)),
                }
            })?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Kills every process of the cgroup and its children.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        if let Some(directory) = self.v2() {
            let file = directory.join("cgroup.kill");
            match fs::write(&file, "1") {
                Ok(()) => return Ok(()),
                // Linux before 5.14, or a cgroup that is gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(CgroupError::io("write", file, error)),
            }
        }
        // Frozen processes cannot fork away from the list. They die when thawed.
        let frozen = self.freeze();
        let killed = self.pids().map(|pids| {
            for pid in pids {
                signal(pid, Signal::KILL);
            }
        });
        if frozen.is_ok() {
            self.thaw()?;
        }
        killed
    }

    /// Stops every process of the cgroup until [`Cgroup::thaw`]; returns when all have stopped.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen(true)
    }

    /// Lets the processes of the cgroup go on.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.set_frozen(false)
    }

    /// Whether the cgroup is frozen.
    pub fn is_frozen(&self) -> bool {
        if let Some(text) = self
            .v2()
            .and_then(|directory| fs::read_to_string(directory.join("cgroup.events")).ok())
            && keyed(&text, "frozen") == Some(1)
        {
            return true;
        }
        let state = self.v1_of("freezer").map(|own| own.join("freezer.state"));
        state
            .and_then(|file| fs::read_to_string(file).ok())
            .is_some_and(|state| state.trim() != "THAWED")
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), CgroupError> {
        if let Some(directory) = self.v2() {
            let file = directory.join("cgroup.freeze");
            if file.exists() {
                write_value(&file, if frozen { "1" } else { "0" })?;
                return wait_for_event(directory, "frozen", u64::from(frozen));
            }
        }
        let Some(directory) = self.v1_of("freezer") else {
            return Err(CgroupError::MissingController {
                controller: "freezer".to_owned(),
                file: "freezer.state".to_owned(),
            });
        };
        let file = directory.join("freezer.state");
        let (wish, reached) = if frozen {
            ("FROZEN", "FROZEN")
        } else {
            ("THAWED", "THAWED")
        };
        // Version 1 gives no event, and a process in the middle of a fork can keep the group in
        // FREEZING until it is asked again.
        for _ in 0..1000 {
            write_value(&file, wish)?;
            let state =
                fs::read_to_string(&file).map_err(|error| CgroupError::io("read", &file, error))?;
            if state.trim() == reached {
                return Ok(());
            }
            rustix::thread::sched_yield();
        }
        Err(CgroupError::io(
            "freeze",
            directory,
            io::Error::from(io::ErrorKind::TimedOut),
        ))
    }

    /// How many processes the out-of-memory killer has killed here; 0 when nobody counts.
    pub fn oom_kills(&self) -> u64 {
        let text = if self.has_v1("memory") {
            self.read("memory", "memory.oom_control")
        } else {
            self.read("memory", "memory.events")
        };
        text.and_then(|text| keyed(&text, "oom_kill"))
            .unwrap_or_default()
    }

    /// Removes the cgroup and its children from every hierarchy. What is gone already is no error.
    /// Processes that are about to end are waited for, those that stay make it fail.
    pub fn remove(&self) -> Vec<CgroupError> {
        let mut errors = Vec::new();
        for directory in self.directories.iter().rev() {
            let mut removed = remove_tree(&directory.path);
            if matches!(&removed, Err(error) if is_busy(error)) {
                removed = self
                    .wait_until_empty()
                    .and_then(|()| remove_tree(&directory.path));
            }
            errors.extend(removed.err());
        }
        errors
    }

    /// Waits until every process of the cgroup has ended, up to a deadline.
    fn wait_until_empty(&self) -> Result<(), CgroupError> {
        if let Some(directory) = self.v2() {
            return wait_for_event(directory, "populated", 0);
        }
        for pid in self.pids()? {
            let opened = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
            if let Some(Ok(pidfd)) = opened {
                let mut interest = [PollFd::new(&pidfd, PollFlags::IN)];
                // A process that outlives the deadline shows in the removal that follows.
                poll(&mut interest, Some(&REMOVE_DEADLINE)).ok();
            }
        }
        Ok(())
    }
}

fn signal(pid: i32, signal: Signal) {
    // A process that is gone by now is what the caller wanted.
    if let Some(Ok(pidfd)) = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        pidfd_send_signal(&pidfd, signal).ok();
    }
}

fn missing(write: &Write) -> CgroupError {
    CgroupError::MissingController {
        controller: write.controller.clone(),
        file: write.file.clone(),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENODEV | libc::ENOTDIR)
    )
}

fn is_busy(error: &CgroupError) -> bool {
    matches!(error, CgroupError::Io { source, .. } if source.raw_os_error() == Some(libc::EBUSY))
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn make_directory(path: &Path) -> Result<(), CgroupError> {
    let made = match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(path),
        other => other,
    };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|error| CgroupError::io("make the cgroup", path, error)),
    }
}

fn write_value(file: &Path, value: &str) -> Result<(), CgroupError> {
    let wrote = rustix::fs::open(file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|opened| rustix::io::write(&opened, value.as_bytes()));
    match wrote {
        Ok(_) => Ok(()),
        Err(errno) => Err(CgroupError::Write {
            path: file.to_owned(),
            value: value.to_owned(),
            source: errno.into(),
        }),
    }
}

fn write_v2(directory: &Path, write: &Write) -> Result<(), CgroupError> {
    match write_value(&directory.join(&write.file), &write.value) {
        Err(CgroupError::Write { source, .. }) if is_gone(&source) => Err(missing(write)),
        other => other,
    }
}

/// A new v1 cpuset is empty and takes no process: give it what its parents have.
fn inherit_cpuset(directory: &Path) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        inherit_file(directory, file)?;
    }
    Ok(())
}

fn inherit_file(directory: &Path, file: &str) -> Result<String, CgroupError> {
    let path = directory.join(file);
    let own = fs::read_to_string(&path).map_err(|error| CgroupError::io("read", &path, error))?;
    if !own.trim().is_empty() {
        return Ok(own);
    }
    let Some(parent) = directory.parent() else {
        return Ok(own);
    };
    let inherited = inherit_file(parent, file)?;
    write_value(&path, inherited.trim())?;
    Ok(inherited)
}

/// Lets the children of every directory from `top` down to the parent of `directory` use the
/// controllers. One that cannot be enabled is an error only if a limit needs it, which then shows
/// when its file is missing.
fn enable_controllers(
    top: &Path,
    directory: &Path,
    controllers: &[String],
    needed: &[String],
) -> Result<(), CgroupError> {
    if controllers.is_empty() {
        return Ok(());
    }
    let mut levels: Vec<&Path> = directory
        .ancestors()
        .skip(1)
        .take_while(|level| level.starts_with(top))
        .collect();
    levels.reverse();
    for level in levels {
        let file = level.join("cgroup.subtree_control");
        let enabled =
            fs::read_to_string(&file).map_err(|error| CgroupError::io("read", &file, error))?;
        let lacking: Vec<&String> = controllers
            .iter()
            .filter(|wanted| !enabled.split_whitespace().any(|own| own == *wanted))
            .collect();
        if lacking.is_empty() {
            continue;
        }
        let all: Vec<String> = lacking.iter().map(|name| format!("+{name}")).collect();
        if write_value(&file, &all.join(" ")).is_ok() {
            continue;
        }
        for name in lacking {
            match write_value(&file, &format!("+{name}")) {
                Err(error) if needed.contains(name) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Calls `see` for a directory and its children, parents first.
fn visit(
    directory: &Path,
    see: &mut dyn FnMut(&Path) -> Result<(), CgroupError>,
) -> Result<(), CgroupError> {
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        see(&directory)?;
        waiting.extend(children(&directory)?);
    }
    Ok(())
}

fn children(directory: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let failed = |error| CgroupError::io("list", directory, error);
    let entries = match fs::read_dir(directory) {
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = match entry {
            Err(error) if is_gone(&error) => break,
            other => other.map_err(failed)?,
        };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Removes a directory; the children only when it has any, which is rare.
fn remove_tree(directory: &Path) -> Result<(), CgroupError> {
    let remove = |path: &Path| match rustix::fs::rmdir(path) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(CgroupError::io("remove the cgroup", path, errno)),
    };
    if remove(directory).is_ok() {
        return Ok(());
    }
    let mut found = Vec::new();
    visit(directory, &mut |path| {
        found.push(path.to_owned());
        Ok(())
    })?;
    found.iter().rev().try_for_each(|path| remove(path))
}

/// Waits until a key of `cgroup.events` has a value, up to a deadline.
fn wait_for_event(directory: &Path, key: &str, value: u64) -> Result<(), CgroupError> {
    let file = directory.join("cgroup.events");
    let failed = |error: io::Error| CgroupError::io("watch", &file, error);
    let events = match fs::File::open(&file) {
        Err(error) if is_gone(&error) => return Ok(()),
        other => other.map_err(failed)?,
    };
    loop {
        let mut text = [0; 256];
        let length = match rustix::io::pread(&events, &mut text, 0) {
            Err(errno) if is_gone(&errno.into()) => return Ok(()),
            other => other.map_err(|errno| failed(errno.into()))?,
        };
        let text = String::from_utf8_lossy(&text[..length]);
        if keyed(&text, key).is_none_or(|own| own == value) {
            return Ok(());
        }
        let mut interest = [PollFd::new(&events, PollFlags::PRI)];
        match poll(&mut interest, Some(&REMOVE_DEADLINE)) {
            Ok(0) => return Err(failed(io::ErrorKind::TimedOut.into())),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests;
