//! The living processes of an installation's namespace.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use gantry_sys::lock::{self, Kind};
use gantry_sys::process::{self, Namespace};

use super::RootlessError;
use super::mapping::Mapping;

/// Names the command that was the last to make or join a namespace.
const NEWEST: &str = "namespace";

/// Joins the namespace of a supervisor that lives.
pub(super) fn join_supervisor(run_root: &Path, mapping: &Mapping) -> bool {
    let Ok(containers) = fs::read_dir(run_root.join("containers")) else {
        return false;
    };
    containers.flatten().any(|container| {
        fs::read_to_string(container.path().join(gantry_supervisor::LOCK_FILE))
            .is_ok_and(|text| join(&text, mapping))
    })
}

/// The note on the newest command, held: whoever holds it decides whether a namespace is made.
#[derive(Debug)]
pub(super) struct Newest(File);

impl Newest {
    pub(super) fn hold(run_root: &Path) -> Result<Newest, RootlessError> {
        let path = run_root.join(NEWEST);
        let open = || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            lock::lock(&file, Kind::Exclusive)?;
            Ok(file)
        };
        open().map(Newest).map_err(|source| RootlessError::Folder {
            path: path.clone(),
            source,
        })
    }

    /// Joins the namespace of the command that is noted, if that lives.
    pub(super) fn join(&mut self, mapping: &Mapping) -> bool {
        let mut text = String::new();
        self.0.read_to_string(&mut text).is_ok() && join(&text, mapping)
    }

    /// Notes this process, and lets others look.
    pub(super) fn note(mut self) -> io::Result<()> {
        self.0.rewind()?;
        self.0.set_len(0)?;
        self.0.write_all(std::process::id().to_string().as_bytes())
    }
}

/// Joins the namespace of a process, if it is one of this mapping. What is noted may be old, and
/// the number another process's: then its namespace is not such a one, or as good.
fn join(pid: &str, mapping: &Mapping) -> bool {
    let Ok(pid) = pid.trim().parse::<i32>() else {
        return false;
    };
    let same = process::id_maps(Some(pid))
        .is_ok_and(|(uids, gids)| (uids, gids) == (mapping.uids.clone(), mapping.gids.clone()));
    same && File::open(format!("/proc/{pid}/ns/user"))
        .and_then(|namespace| process::join(namespace, Namespace::User))
        .is_ok()
}
