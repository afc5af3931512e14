//! Entering the namespace: joined where it is, made where it is not.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use gantry_sys::process::{self, Namespace, NamespaceSet};

use super::RootlessError;
use super::knobs;
use super::mapping::{Mapping, words};
use super::members::{self, Newest};

impl From<io::Error> for RootlessError {
    fn from(source: io::Error) -> Self {
        refused("make a user namespace")(source)
    }
}

fn refused(action: &'static str) -> impl FnOnce(io::Error) -> RootlessError {
    move |source| RootlessError::Refused {
        action,
        knob: knobs::explain(&source),
        source,
    }
}

/// Enters the namespace of this mapping, and a mount namespace of this process's own in it.
pub(super) fn enter(run_root: &Path, mapping: &Mapping) -> Result<(), RootlessError> {
    if !members::join_supervisor(run_root, mapping) {
        let mut newest = Newest::hold(run_root)?;
        // While this command waited, another one may have begun a container.
        if !members::join_supervisor(run_root, mapping) && !newest.join(mapping) {
            let made = make(mapping)?;
            process::join(made, Namespace::User).map_err(refused("enter a user namespace"))?;
        }
        newest.note().map_err(|source| RootlessError::Folder {
            path: run_root.to_owned(),
            source,
        })?;
    }
    let mounts: NamespaceSet = [Namespace::Mount].into_iter().collect();
    mounts
        .unshare()
        .map_err(refused("make a mount namespace in a user namespace"))
}

/// A new namespace. Without the helpers, or without IDs for them, it has one user.
fn make(mapping: &Mapping) -> Result<OwnedFd, RootlessError> {
    process::user_namespace_mapped_by(|pid| {
        if mapping.is_single() {
            return process::write_id_maps(pid, &mapping.uids, &mapping.gids)
                .map_err(refused("map the user of a user namespace"));
        }
        let start = |program: &'static str, mappings: &[process::IdMapping]| {
            Command::new(program)
                .arg(pid.to_string())
                .args(words(mappings))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| RootlessError::Helper {
                    program,
                    said: error.to_string(),
                })
        };
        // Both at once: neither waits for the other.
        let users = start("newuidmap", &mapping.uids)?;
        let groups = start("newgidmap", &mapping.gids);
        let users = finished("newuidmap", users);
        finished("newgidmap", groups?)?;
        users
    })
}

fn finished(program: &'static str, mut helper: Child) -> Result<(), RootlessError> {
    let mut said = String::new();
    if let Some(stderr) = helper.stderr.take() {
        // What it says is not worth more than a few lines.
        stderr.take(4096).read_to_string(&mut said).ok();
    }
    let status = helper.wait().map_err(refused("wait for a helper"))?;
    if status.success() {
        return Ok(());
    }
    Err(RootlessError::Helper {
        program,
        said: said.trim().to_owned(),
    })
}
