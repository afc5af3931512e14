//! Entering a cgroup from inside.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use super::{Cgroup, CgroupError};

/// The thread that writes it.
const MYSELF: &str = "0";

/// The ways into a cgroup, opened by one who may, for a child of its to go in by.
///
/// A single thread that moves itself (`tasks` of version 1) keeps nobody waiting. To move another
/// process, the kernel holds up every fork and exec of the machine first, which takes a grace
/// period of RCU: milliseconds.
#[derive(Debug)]
pub struct Entrance(Vec<(PathBuf, OwnedFd)>);

impl Cgroup {
    /// The ways in. With `born_inside` the child is in the directory of version 2 already.
    pub fn entrance(&self, born_inside: bool) -> Result<Entrance, CgroupError> {
        let open = |path: PathBuf| match rustix::fs::open(
            &path,
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            Ok(file) => Ok((path, file)),
            Err(errno) => Err(CgroupError::io("open", path, errno)),
        };
        self.directories()
            .iter()
            .filter_map(|directory| match directory.controllers {
                Some(_) => Some(directory.path.join("tasks")),
                // A thread alone cannot go into an ordinary cgroup of version 2.
                None if !born_inside => Some(directory.path.join("cgroup.procs")),
                None => None,
            })
            .map(open)
            .collect::<Result<_, _>>()
            .map(Entrance)
    }
}

impl Entrance {
    /// Moves the calling process, which must have no other thread, into the cgroup.
    pub fn enter(&self) -> Result<(), CgroupError> {
        for (path, file) in &self.0 {
            rustix::io::write(file, MYSELF.as_bytes()).map_err(|errno| CgroupError::Write {
                path: path.clone(),
                value: MYSELF.to_owned(),
                source: errno.into(),
            })?;
        }
        Ok(())
    }
}
