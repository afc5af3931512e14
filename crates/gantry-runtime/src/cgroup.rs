//! The cgroup of a container as its caller keeps it.

use std::path::{Path, PathBuf};

use gantry_sys::cgroup::{Cgroup, CgroupError, Directory, Entrance, Stats};
use serde::{Deserialize, Serialize};

use crate::unit::Unit;

/// The cgroup of a container: serializable, so that a later process can count, freeze, kill and
/// remove what an earlier one made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupHandle {
    path: PathBuf,
    directories: Vec<CgroupDirectory>,
    /// The unit of systemd's that it belongs to, if it does to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<Unit>,
}

/// One directory in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CgroupDirectory {
    /// v1: the controllers of the hierarchy; v2: `None`.
    controllers: Option<Vec<String>>,
    path: PathBuf,
}

impl CgroupHandle {
    pub(crate) fn of(cgroup: &Cgroup) -> CgroupHandle {
        CgroupHandle {
            path: cgroup.path().to_owned(),
            directories: cgroup
                .directories()
                .iter()
                .map(|directory| CgroupDirectory {
                    controllers: directory.controllers.clone(),
                    path: directory.path.clone(),
                })
                .collect(),
            unit: None,
        }
    }

    /// The same as the cgroup of a unit.
    pub(crate) fn with(self, unit: Unit) -> CgroupHandle {
        CgroupHandle {
            unit: Some(unit),
            ..self
        }
    }

    /// The unit of systemd's that it belongs to.
    pub(crate) fn unit(&self) -> Option<&Unit> {
        self.unit.as_ref()
    }

    /// The cgroup itself.
    pub fn open(&self) -> Cgroup {
        Cgroup::from_directories(
            self.path.clone(),
            self.directories
                .iter()
                .map(|directory| Directory {
                    controllers: directory.controllers.clone(),
                    path: directory.path.clone(),
                })
                .collect(),
        )
    }

    /// A cgroup below this one that is there already, in the hierarchies of these controllers
    /// only, the others staying as they are; `None` for a path that leads elsewhere or a
    /// controller that there is not.
    pub fn below(&self, path: &Path, controllers: Option<&[&str]>) -> Option<CgroupHandle> {
        use std::path::Component;
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside {
            return None;
        }
        let mut below = self.clone();
        let mut found = false;
        for directory in &mut below.directories {
            let own = directory.controllers.as_deref().unwrap_or_default();
            let meant = controllers
                .is_none_or(|wanted| own.iter().any(|own| wanted.contains(&own.as_str())));
            if meant {
                directory.path.push(path);
                found = true;
            }
        }
        found.then_some(below)
    }

    /// The way in for a child that somebody else makes.
    pub fn entrance(&self) -> Result<Entrance, CgroupError> {
        self.open().entrance(false)
    }

    /// The directory of the hierarchy that [`CgroupHandle::freeze`] uses; `None` when there is
    /// none.
    pub fn freezer(&self) -> Option<PathBuf> {
        self.open().freezer().map(Path::to_owned)
    }

    /// The path of the cgroup as the document named it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Kills every process of the cgroup.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        self.open().kill_all()
    }

    /// Stops every process of the cgroup until [`CgroupHandle::thaw`].
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.open().freeze()
    }

    /// Lets the processes of the cgroup go on.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.open().thaw()
    }

    /// How many processes of the cgroup the out-of-memory killer has killed; 0 when nobody counts.
    pub fn oom_kills(&self) -> u64 {
        self.open().oom_kills()
    }

    /// The process IDs in the cgroup, its children included.
    pub fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        self.open().pids()
    }

    /// What the container has used.
    pub fn stats(&self) -> Stats {
        self.open().stats()
    }

    /// Removes the cgroup with its children. One that is gone already is no error.
    pub fn remove(&self) -> Vec<CgroupError> {
        let stopped = self.unit.as_ref().map_or(Ok(()), Unit::stop);
        let mut errors = self.open().remove();
        if let (Err(error), Some(unit)) = (stopped, &self.unit) {
            errors.push(CgroupError::Io {
                action: "have systemd stop",
                path: unit.name().into(),
                source: std::io::Error::other(error),
            });
        }
        errors
    }
}
