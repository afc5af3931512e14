//! The cgroup of a container as a transient unit of systemd.
//!
//! Where systemd runs the host, callers of an OCI runtime may have it make the cgroup (runc's and
//! crun's `--systemd-cgroup`): `linux.cgroupsPath` is then `SLICE:PREFIX:NAME`. The limits are
//! given to the unit as well as written to the cgroup's files: to the unit because systemd writes
//! its own idea of them again when its configuration is reloaded, to the files because some it does
//! not know and others it rounds.

use std::path::{Path, PathBuf};

use gantry_sys::cgroup::{Cgroup, Layout, Settings};
use gantry_systemd::{Manager, Property, SystemdError, Value};
use serde::{Deserialize, Serialize};

use crate::cgroup::CgroupHandle;
use crate::error::{PlanError, StartError};

mod properties;

use properties::{of_annotations, of_settings};

/// Which systemd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Systemd {
    /// The system's.
    System,
    /// That of the user whose `XDG_RUNTIME_DIR` this is.
    User(PathBuf),
}

impl Systemd {
    fn reach(&self) -> Result<Manager, SystemdError> {
        match self {
            Systemd::System => Manager::of_system(),
            Systemd::User(runtime_folder) => Manager::of_user(runtime_folder),
        }
    }

    /// The slice of units that name none.
    const fn default_slice(&self) -> &'static str {
        match self {
            Systemd::System => "system.slice",
            Systemd::User(_) => "user.slice",
        }
    }
}

/// A conversation that is going on.
#[derive(Debug)]
pub(crate) struct Talk {
    systemd: Systemd,
    manager: Manager,
    place: Place,
}

/// Where the units of a manager are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The manager's own cgroup; empty for the whole tree.
    pub control_group: String,
    pub default_slice: &'static str,
}

impl Talk {
    /// Begins a conversation.
    pub(crate) fn begin(systemd: &Systemd) -> Result<Talk, StartError> {
        let mut manager = systemd.reach()?;
        let place = Place {
            control_group: manager.control_group()?,
            default_slice: systemd.default_slice(),
        };
        Ok(Talk {
            systemd: systemd.clone(),
            manager,
            place,
        })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Has a scope made with this process in it, and limits it. On failure the scope ends with the
    /// process.
    pub(crate) fn start(
        &mut self,
        scope: &Scope,
        layout: &Layout,
        settings: &Settings,
        pid: i32,
    ) -> Result<CgroupHandle, StartError> {
        let mut properties = scope.properties(pid);
        properties.extend(of_settings(settings));
        properties.extend(scope.extra.iter().cloned());
        self.manager.start(&scope.unit, &properties)?;
        let cgroup = Cgroup::adopt(layout, &scope.path, settings)
            .map_err(|source| StartError::Cgroup { source })?;
        let unit = Unit {
            systemd: self.systemd.clone(),
            name: scope.unit.clone(),
        };
        Ok(CgroupHandle::of(&cgroup).with(unit))
    }
}

/// A scope to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub unit: String,
    pub slice: String,
    /// Its cgroup.
    pub path: PathBuf,
    /// What the document's annotations give it.
    pub extra: Vec<Property>,
}

impl Scope {
    /// The scope that `linux.cgroupsPath` names.
    pub(crate) fn named(
        cgroups_path: &str,
        place: &Place,
        annotations: &[(&str, &str)],
    ) -> Result<Scope, PlanError> {
        let invalid = |reason| PlanError::Invalid {
            field: "linux.cgroupsPath",
            value: cgroups_path.to_owned(),
            reason,
        };
        let parts: Vec<&str> = cgroups_path.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            return Err(invalid(
                "is not of the form \"slice:prefix:name\", which systemd cgroups need",
            ));
        };
        if name.is_empty() || name.contains('/') || name.ends_with(".slice") {
            return Err(invalid("names no scope"));
        }
        let slice = match slice {
            "" => place.default_slice,
            given => given,
        };
        let below = slice_path(slice).ok_or_else(|| invalid("names no slice of systemd"))?;
        let unit = match prefix {
            "" => format!("{name}.scope"),
            prefix => format!("{prefix}-{name}.scope"),
        };
        let root = Path::new("/").join(place.control_group.trim_start_matches('/'));
        Ok(Scope {
            path: root.join(below).join(&unit),
            slice: slice.to_owned(),
            unit,
            extra: of_annotations(annotations)?,
        })
    }

    /// What every scope of a container is given.
    fn properties(&self, pid: i32) -> Vec<Property> {
        let text = |text: &str| Value::Text(text.to_owned());
        let accounting = [
            "CPUAccounting",
            "MemoryAccounting",
            "IOAccounting",
            "TasksAccounting",
        ];
        let mut properties = vec![
            Property::new("Description", text("A container of gantry runtime")),
            Property::new("Slice", text(&self.slice)),
            Property::new("PIDs", Value::Processes(vec![pid.unsigned_abs()])),
            // What lies below is the container's, and systemd leaves filters of ours alone.
            Property::new("Delegate", Value::Bool(true)),
            Property::new("DefaultDependencies", Value::Bool(false)),
            // Nobody has to ask for it to be forgotten.
            Property::new("CollectMode", text("inactive-or-failed")),
        ];
        properties.extend(accounting.map(|name| Property::new(name, Value::Bool(true))));
        properties
    }
}

/// Where a slice is below its manager's cgroup: each dash of its name is a slice above it
/// (systemd.slice(5)). `None` for what is no slice.
fn slice_path(slice: &str) -> Option<PathBuf> {
    let name = slice.strip_suffix(".slice")?;
    if name == "-" {
        return Some(PathBuf::new());
    }
    let mut path = PathBuf::new();
    let mut above = String::new();
    for part in name.split('-') {
        if part.is_empty() || part.contains('/') {
            return None;
        }
        above.push_str(part);
        path.push(format!("{above}.slice"));
        above.push('-');
    }
    Some(path)
}

/// The unit of a container that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    systemd: Systemd,
    name: String,
}

impl Unit {
    /// Gives the unit other limits.
    pub(crate) fn update(&self, settings: &Settings) -> Result<(), SystemdError> {
        let properties = of_settings(settings);
        if properties.is_empty() {
            return Ok(());
        }
        self.systemd.reach()?.set(&self.name, &properties)
    }

    /// Ends the unit. One that has ended with its last process is no error.
    pub(crate) fn stop(&self) -> Result<(), SystemdError> {
        self.systemd.reach()?.stop(&self.name)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> Place {
        Place {
            control_group: String::new(),
            default_slice: "system.slice",
        }
    }

    #[test]
    fn a_scope_has_its_place_in_the_tree() {
        let user = Place {
            control_group: "/user.slice/user-7.slice/user@7.service".to_owned(),
            default_slice: "user.slice",
        };
        let cases = [
            ("system.slice:docker:x", "/system.slice/docker-x.scope"),
            (
                "a-b-c.slice:p:x",
                "/a.slice/a-b.slice/a-b-c.slice/p-x.scope",
            ),
            ("::x", "/system.slice/x.scope"),
            ("-.slice:p:x", "/p-x.scope"),
        ];
        for (given, path) in cases {
            let scope = Scope::named(given, &system(), &[]).unwrap();
            assert_eq!(scope.path, Path::new(path), "{given}");
        }
        let scope = Scope::named(":libpod:x", &user, &[]).unwrap();
        let path = "/user.slice/user-7.slice/user@7.service/user.slice/libpod-x.scope";
        assert_eq!(scope.path, Path::new(path));
        assert_eq!(
            (scope.slice.as_str(), scope.unit.as_str()),
            ("user.slice", "libpod-x.scope")
        );
    }

    #[test]
    fn other_names_are_refused() {
        for given in [
            "/docker/x",
            "",
            "a:b",
            "a:b:c:d",
            "system.slice:p:",
            "system.slice:p:a/b",
            "system.slice:p:a.slice",
            "system:p:x",
            "a--b.slice:p:x",
            "-a.slice:p:x",
            "a-.slice:p:x",
            "a/b.slice:p:x",
        ] {
            assert!(Scope::named(given, &system(), &[]).is_err(), "{given:?}");
        }
    }
}
