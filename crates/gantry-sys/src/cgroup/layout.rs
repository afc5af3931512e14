//! Which cgroup hierarchies are mounted where.

use std::path::{Path, PathBuf};

use super::CgroupError;
use crate::system::{MountInfo, parse_mountinfo};

/// One hierarchy of version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1Hierarchy {
    /// Its controllers, or `name=…` for one without.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount_point: PathBuf,
}

impl V1Hierarchy {
    /// Whether the hierarchy has this controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|own| own == controller)
    }
}

/// The hierarchy of version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V2Hierarchy {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The controllers that are not taken by version 1.
    pub controllers: Vec<String>,
}

/// All mounted hierarchies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The hierarchies of version 1.
    pub v1: Vec<V1Hierarchy>,
    /// The hierarchy of version 2.
    pub v2: Option<V2Hierarchy>,
}

/// Mount options of a v1 hierarchy that are no controllers.
const V1_OPTIONS: [&str; 8] = [
    "rw",
    "ro",
    "xattr",
    "noprefix",
    "clone_children",
    "cpuset_v2_mode",
    "favordynmods",
    "all",
];

impl Layout {
    /// Looks at the mount table of this process.
    pub fn detect() -> Result<Layout, CgroupError> {
        const TABLE: &str = "/proc/self/mountinfo";
        let table = std::fs::read(TABLE).map_err(|error| CgroupError::io("read", TABLE, error))?;
        let mut layout = Layout::from_mounts(&parse_mountinfo(&table));
        if let Some(v2) = &mut layout.v2 {
            let file = v2.mount_point.join("cgroup.controllers");
            let names = std::fs::read_to_string(&file)
                .map_err(|error| CgroupError::io("read", file, error))?;
            v2.controllers = names.split_whitespace().map(str::to_owned).collect();
        }
        if layout.v1.is_empty() && layout.v2.is_none() {
            return Err(CgroupError::NotMounted);
        }
        Ok(layout)
    }

    /// The hierarchies in a mount table; the controllers of version 2 are left empty.
    pub fn from_mounts(mounts: &[MountInfo]) -> Layout {
        let mut layout = Layout::default();
        for mount in mounts {
            match mount.fs_type.as_str() {
                "cgroup2" if layout.v2.is_none() => {
                    layout.v2 = Some(V2Hierarchy {
                        mount_point: mount.mount_point.clone(),
                        controllers: Vec::new(),
                    });
                }
                "cgroup" => layout.add_v1(mount),
                _ => {}
            }
        }
        layout
    }

    fn add_v1(&mut self, mount: &MountInfo) {
        let controllers: Vec<String> = mount
            .super_options
            .split(',')
            .filter(|option| !V1_OPTIONS.contains(option) && !option.starts_with("release_agent="))
            .map(str::to_owned)
            .collect();
        // The same hierarchy mounted a second time is the same hierarchy.
        let known = self.v1.iter().any(|own| own.controllers == controllers);
        if !controllers.is_empty() && !known {
            self.v1.push(V1Hierarchy {
                controllers,
                mount_point: mount.mount_point.clone(),
            });
        }
    }

    /// Whether every controller is with version 2.
    pub fn is_unified(&self) -> bool {
        self.v1.is_empty()
    }

    /// The v1 hierarchy of a controller.
    pub fn v1_of(&self, controller: &str) -> Option<&V1Hierarchy> {
        self.v1.iter().find(|hierarchy| hierarchy.has(controller))
    }

    /// Whether some hierarchy has this controller.
    pub fn has(&self, controller: &str) -> bool {
        self.v1_of(controller).is_some()
            || self
                .v2
                .as_ref()
                .is_some_and(|v2| v2.controllers.iter().any(|own| own == controller))
    }

    /// Whether swap can be limited.
    pub fn limits_swap(&self) -> bool {
        if let Some(memory) = self.v1_of("memory") {
            return memory
                .mount_point
                .join("memory.memsw.limit_in_bytes")
                .exists();
        }
        // In version 2 the file exists in every group but the root.
        self.has("memory") && Path::new("/proc/swaps").exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
36 31 0:32 / /mnt/again rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,release_agent=/lib/agent,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn hybrid_is_recognised() {
        let layout = Layout::from_mounts(&parse_mountinfo(HYBRID));
        let controllers: Vec<_> = layout
            .v1
            .iter()
            .map(|hierarchy| hierarchy.controllers.join(","))
            .collect();
        assert_eq!(controllers, ["cpu,cpuacct", "memory", "name=systemd"]);
        assert_eq!(
            layout.v1_of("cpuacct").map(|own| own.mount_point.as_path()),
            Some(Path::new("/sys/fs/cgroup/cpu,cpuacct"))
        );
        assert_eq!(
            layout.v2.as_ref().map(|v2| v2.mount_point.as_path()),
            Some(Path::new("/sys/fs/cgroup/unified"))
        );
        assert!(!layout.is_unified());
    }

    #[test]
    fn unified_is_recognised() {
        let table = b"29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let layout = Layout::from_mounts(&parse_mountinfo(table));
        assert!(layout.is_unified());
        assert!(layout.v2.is_some());
    }
}
