//! One cgroup in all the hierarchies it lives in.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use super::CgroupError;
use super::devices;
use super::layout::Layout;
use super::settings::{Settings, Write};
use super::tree::{
    enable_controllers, inherit_cpuset, is_gone, make_directory, open_directory, write_value,
};

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

    /// The cgroup `path`, which somebody else has made, with `settings` applied to it.
    pub fn adopt(layout: &Layout, path: &Path, settings: &Settings) -> Result<Cgroup, CgroupError> {
        let cgroup = Cgroup::at(layout, path)?;
        for Directory { path, .. } in &cgroup.directories {
            open_directory(path)
                .map_err(|error| CgroupError::io("open the cgroup", path, error))?;
        }
        cgroup.apply(settings)?;
        cgroup.apply_devices(settings)?;
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

    pub(super) fn v1_of(&self, controller: &str) -> Option<&Path> {
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
                let file = directory.join(&write.file);
                // A kernel that does not count swap does not limit it either.
                let unlimited_swap =
                    write.file == "memory.memsw.limit_in_bytes" && write.value == "-1";
                if !unlimited_swap || file.exists() {
                    write_value(&file, &write.value)?;
                }
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
            if write.file == "memory.swap.max"
                && write.value == "max"
                && !directory.join(&write.file).exists()
            {
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

    /// Applies device rules to a cgroup that was made without any.
    pub fn apply_devices(&self, settings: &Settings) -> Result<(), CgroupError> {
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
}

fn missing(write: &Write) -> CgroupError {
    CgroupError::MissingController {
        controller: write.controller.clone(),
        file: write.file.clone(),
    }
}

fn write_v2(directory: &Path, write: &Write) -> Result<(), CgroupError> {
    match write_value(&directory.join(&write.file), &write.value) {
        Err(CgroupError::Write { source, .. }) if is_gone(&source) => Err(missing(write)),
        other => other,
    }
}

#[cfg(test)]
mod tests;
