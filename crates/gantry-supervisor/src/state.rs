//! The record `state.json`: what the last run of a container came to.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use gantry_model::ContainerState;

/// Name of the record in the container's folder below `$ROOT`.
pub const FILE: &str = "state.json";

/// Most bytes of a record that are read.
const MAX: u64 = 1 << 20;

/// Room that a new record has: what a container comes to fits, however full it makes the disk.
const ROOM: usize = 4 << 10;

/// Makes the record of a container that was never started, with room for what follows.
///
/// # Errors
/// Those of writing.
pub fn reserve(folder: &Path) -> io::Result<()> {
    let mut text = serde_json::to_vec(&ContainerState::default())?;
    // Space behind a document is none of it.
    text.resize(ROOM.max(text.len()), b' ');
    std::fs::write(folder.join(FILE), text)
}

/// Writes the record aside and renames it, so that a reader sees the old one or the new.
/// Nothing is synced: after a power cut no container runs, whatever the record says. On a full
/// disk the record is written where the old one is, which takes no more room; where it would,
/// without what the probes of the health check said.
///
/// # Errors
/// Those of writing.
pub fn write(folder: &Path, state: &ContainerState) -> io::Result<()> {
    let aside = folder.join(".state.json");
    let text = serde_json::to_vec(state)?;
    let written = File::create(&aside).and_then(|mut file| file.write_all(&text));
    match written {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ) =>
        {
            // What there is of it holds an inode that others may need.
            std::fs::remove_file(&aside).ok();
            let path = folder.join(FILE);
            write_over(&path, &text)
                .or_else(|_| write_over(&path, &serde_json::to_vec(&shortened(state))?))
                .map_err(|_| error)
        }
        written => written.and_then(|()| std::fs::rename(aside, folder.join(FILE))),
    }
}

/// The record without the words of the probes, which are most of a long one.
fn shortened(state: &ContainerState) -> ContainerState {
    let mut short = state.clone();
    if let Some(health) = &mut short.health {
        health.log.clear();
    }
    short
}

/// Writes over a file that is there, unless it has too little room. A reader that comes in
/// between sees a record that is none, and takes it for one whose supervisor was killed.
fn write_over(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let status = file.metadata()?;
    let room = status.len().max(status.blocks() * 512);
    if text.len() as u64 > room {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all(text)?;
    file.set_len(text.len() as u64)
}

/// Reads the record; the default (never started) when there is none.
///
/// # Errors
/// Those of reading, and of a record that is none.
pub fn read(folder: &Path) -> io::Result<ContainerState> {
    use std::io::Read;
    let mut text = Vec::with_capacity(2 << 10);
    match File::open(folder.join(FILE)) {
        Ok(file) => file.take(MAX).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(ContainerState::default());
        }
        Err(error) => return Err(error),
    };
    Ok(serde_json::from_slice(&text)?)
}

/// Start time of a process in clock ticks since boot: field 22 of its `stat`.
#[must_use]
pub fn process_start(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything: what follows starts behind the last one.
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Now, as records and logs say it: RFC 3339 with nanoseconds, UTC.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now().to_string()
}

#[cfg(test)]
mod tests {
    use gantry_model::record::{HealthProbe, HealthState};

    use super::*;

    #[test]
    fn a_record_round_trips() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), ContainerState::default());
        let state = ContainerState {
            exit_code: 3,
            ..ContainerState::default()
        };
        write(folder.path(), &state).unwrap();
        assert_eq!(read(folder.path()).unwrap(), state);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_record_is_written_over_where_there_is_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let state = |error: &str| ContainerState {
            error: error.into(),
            ..ContainerState::default()
        };
        reserve(folder.path()).unwrap();
        assert_eq!(read(folder.path()).unwrap(), ContainerState::default());
        for error in ["a rather long reason", "short", &"r".repeat(2000)] {
            let text = serde_json::to_vec(&state(error)).unwrap();
            write_over(&path, &text).unwrap();
            assert_eq!(read(folder.path()).unwrap(), state(error));
        }
        let before = read(folder.path()).unwrap();
        assert!(write_over(&path, &vec![b'x'; ROOM + 1]).is_err());
        assert_eq!(read(folder.path()).unwrap(), before, "nothing of it");
    }

    #[test]
    fn what_a_probe_said_is_what_a_record_can_do_without() {
        let mut state = ContainerState {
            exit_code: 3,
            health: Some(HealthState {
                failing_streak: 2,
                log: vec![HealthProbe::default()],
                ..HealthState::default()
            }),
            ..ContainerState::default()
        };
        let short = shortened(&state);
        state.health.as_mut().unwrap().log.clear();
        assert_eq!(short, state);
    }

    #[test]
    fn a_process_has_a_start() {
        assert!(process_start(std::process::id()).unwrap() > 0);
        assert_eq!(process_start(u32::MAX), None);
    }
}
