//! The directories and files of the hierarchies.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use super::CgroupError;
use super::stats::keyed;

/// How long a change that processes must follow may take.
pub(super) const DEADLINE: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENODEV | libc::ENOTDIR)
    )
}

pub(super) fn is_busy(error: &CgroupError) -> bool {
    matches!(error, CgroupError::Io { source, .. } if source.raw_os_error() == Some(libc::EBUSY))
}

pub(super) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

pub(super) fn make_directory(path: &Path) -> Result<(), CgroupError> {
    let made = match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(path),
        other => other,
    };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|error| CgroupError::io("make the cgroup", path, error)),
    }
}

pub(super) fn write_value(file: &Path, value: &str) -> Result<(), CgroupError> {
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

/// A new v1 cpuset is empty and takes no process: give it what its parents have.
pub(super) fn inherit_cpuset(directory: &Path) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        inherit_file(directory, file)?;
    }
    Ok(())
}

pub(super) fn inherit_file(directory: &Path, file: &str) -> Result<String, CgroupError> {
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
pub(super) fn enable_controllers(
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
pub(super) fn visit(
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

pub(super) fn children(directory: &Path) -> Result<Vec<PathBuf>, CgroupError> {
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
pub(super) fn remove_tree(directory: &Path) -> Result<(), CgroupError> {
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
pub(super) fn wait_for_event(directory: &Path, key: &str, value: u64) -> Result<(), CgroupError> {
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
        match poll(&mut interest, Some(&DEADLINE)) {
            Ok(0) => return Err(failed(io::ErrorKind::TimedOut.into())),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
    }
}
