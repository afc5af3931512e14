//! The record `state.json`: what the last run of a container came to.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use gantry_model::ContainerState;

/// Name of the record in the container's folder below `$ROOT`.
pub const FILE: &str = "state.json";

/// Most bytes of a record that are read.
const MAX: u64 = 1 << 20;

/// Writes the record aside and renames it, so that a reader sees the old one or the new.
/// Nothing is synced: after a power cut no container runs, whatever the record says.
///
/// # Errors
/// Those of writing.
pub fn write(folder: &Path, state: &ContainerState) -> io::Result<()> {
    let aside = folder.join(".state.json");
    let mut file = File::create(&aside)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    std::fs::rename(aside, folder.join(FILE))
}

/// Reads the record; the default (never started) when there is none.
///
/// # Errors
/// Those of reading, and of a record that is none.
pub fn read(folder: &Path) -> io::Result<ContainerState> {
    use std::io::Read;
    let mut text = Vec::new();
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
    fn a_process_has_a_start() {
        assert!(process_start(std::process::id()).unwrap() > 0);
        assert_eq!(process_start(u32::MAX), None);
    }
}
