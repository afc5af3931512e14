//! The part of the version 2 hierarchy that was given to an ordinary user.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::layout::Layout;

/// The topmost cgroup of version 2, absolute below the mount point, that this process is in and may
/// change: where its user can have cgroups made and processes moved. `None` when none was delegated.
pub fn delegated() -> Option<PathBuf> {
    let layout = Layout::detect().ok()?;
    let mount_point = &layout.v2.as_ref()?.mount_point;
    let own = unified_path(&fs::read_to_string("/proc/self/cgroup").ok()?)?;
    topmost(&own, |path| {
        let below = path.strip_prefix("/").unwrap_or(path);
        let directory = mount_point.join(below);
        let writable = |path: &Path| rustix::fs::access(path, Access::WRITE_OK).is_ok();
        writable(&directory) && writable(&directory.join("cgroup.procs"))
    })
}

/// The path of version 2 in a process's list of cgroups (cgroups(7)).
fn unified_path(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    path.starts_with('/').then(|| PathBuf::from(path))
}

/// The last of `path` and its ancestors, from the bottom, that can be changed without a gap. The
/// root of the hierarchy has no limits and is nobody's.
fn topmost(path: &Path, can_change: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    path.ancestors()
        .take_while(|path| path.parent().is_some() && can_change(path))
        .last()
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_without_a_gap() {
        let path = Path::new("/user.slice/user-7.slice/user@7.service/app.slice/x.scope");
        let found = |allowed: &[&str]| {
            topmost(path, |path| {
                allowed.iter().any(|name| path.ends_with(Path::new(name)))
            })
        };
        let service = PathBuf::from("/user.slice/user-7.slice/user@7.service");
        let all = ["x.scope", "app.slice", "user@7.service"];
        assert_eq!(found(&all), Some(service.clone()));
        assert_eq!(found(&["x.scope", "user@7.service"]), Some(path.to_owned()));
        assert_eq!(found(&["app.slice"]), None);
        assert_eq!(topmost(Path::new("/"), |_| true), None);
    }

    #[test]
    fn the_unified_line_is_found() {
        let text = "4:memory:/a\n0::/b/c\n";
        assert_eq!(unified_path(text), Some(PathBuf::from("/b/c")));
        assert_eq!(unified_path("4:memory:/a\n"), None);
    }
}
