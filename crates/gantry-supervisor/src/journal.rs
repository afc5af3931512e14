//! The journal of events: nobody listens, so whoever does something writes it down.
//!
//! `$RUN/events/journal` gets a line of JSON for each event, by one `write` with `O_APPEND`,
//! which the kernel orders among all writers. It is not synced: after a power cut nothing runs
//! that it speaks of. At [`MOST`] bytes it becomes `journal.1`, whose place a next one takes.
//! Readers wait for it by inotify.

mod reader;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gantry_model::Event;
use gantry_sys::lock::{Kind, try_lock};

pub use reader::Reader;

/// Bytes at which the journal is turned.
const MOST: u64 = 512 << 10;
/// Bytes an event may have with all its attributes; a larger one keeps but the first of them.
const LARGEST: usize = 16 << 10;
/// Attributes that a large event keeps.
const KEPT: [&str; 7] = [
    "name",
    "image",
    "exitCode",
    "signal",
    "container",
    "execID",
    "oldName",
];

/// The journal of one installation.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// The journal below this `$RUN`.
    #[must_use]
    pub fn of(run_root: &Path) -> Self {
        Self {
            folder: run_root.join("events"),
        }
    }

    /// Writes down what just happened.
    ///
    /// # Errors
    /// Those of writing. Nothing that happened is undone for them.
    pub fn append(&self, event: Event) -> io::Result<()> {
        let time_nano = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let line = line(Event { time_nano, ..event })?;
        let mut file = self.open()?;
        file.write_all(&line)?;
        let status = file.metadata()?;
        if status.size() >= MOST {
            self.turn(&status)?;
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.folder.join("journal")
    }

    fn previous(&self) -> PathBuf {
        self.folder.join("journal.1")
    }

    fn open(&self) -> io::Result<File> {
        let open = || {
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(self.path())
        };
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder()?;
                open()
            }
            other => other,
        }
    }

    fn make_folder(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
    }

    /// Makes the journal the previous one; of several writers the first one does.
    fn turn(&self, full: &fs::Metadata) -> io::Result<()> {
        let folder = File::open(&self.folder)?;
        if !try_lock(&folder, Kind::Exclusive)? {
            return Ok(());
        }
        let now = fs::metadata(self.path())?;
        if now.ino() == full.ino() {
            fs::rename(self.path(), self.previous())?;
        }
        Ok(())
    }
}

/// The line of an event. It begins with a line end as well: what a killed writer has left of
/// its own line does not swallow the next one.
fn line(mut event: Event) -> io::Result<Vec<u8>> {
    let encode = |event: &Event| -> io::Result<Vec<u8>> {
        let mut line = vec![b'\n'];
        serde_json::to_writer(&mut line, event)?;
        line.push(b'\n');
        Ok(line)
    };
    let whole = encode(&event)?;
    if whole.len() <= LARGEST {
        return Ok(whole);
    }
    let attributes = &mut event.actor.attributes;
    attributes.retain(|name, value| KEPT.contains(&name.as_str()) && value.len() < 1024);
    if event.action.len() > 1024 {
        event.action = event.action.chars().take(1024).collect();
    }
    encode(&event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::EventType;

    fn event(action: &str) -> Event {
        Event::new(EventType::Container, action, "abc")
    }

    fn actions(reader: &mut Reader) -> Vec<String> {
        let events = reader.read().unwrap();
        events.into_iter().map(|event| event.action).collect()
    }

    #[test]
    fn what_is_written_is_read_in_order() {
        let run = tempfile::tempdir().unwrap();
        let journal = Journal::of(run.path());
        journal.append(event("create")).unwrap();
        let mut reader = journal.reader().unwrap();
        assert_eq!(actions(&mut reader), ["create"]);
        assert_eq!(actions(&mut reader), [""; 0]);
        // A writer was killed in the middle of its line, and another one wrote nonsense.
        let mut file = journal.open().unwrap();
        file.write_all(b"\n{\"Type\":\"contai").unwrap();
        journal.append(event("start")).unwrap();
        file.write_all(b"\n\0\0nonsense\n").unwrap();
        journal.append(event("die")).unwrap();
        assert_eq!(actions(&mut reader), ["start", "die"]);
    }

    #[test]
    fn it_is_bounded_and_nothing_is_lost_to_a_reader_when_it_turns() {
        let run = tempfile::tempdir().unwrap();
        let journal = Journal::of(run.path());
        let mut reader = journal.reader().unwrap();
        let filler = "x".repeat(8 << 10);
        let mut seen = Vec::new();
        for number in 0..200 {
            let event = event(&number.to_string()).with("filler", filler.as_str());
            journal.append(event).unwrap();
            if number % 7 == 0 {
                seen.extend(actions(&mut reader));
            }
        }
        seen.extend(actions(&mut reader));
        let all: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        assert_eq!(seen, all);
        let sizes =
            [journal.path(), journal.previous()].map(|path| fs::metadata(path).unwrap().len());
        assert!(sizes.iter().all(|size| *size < MOST + 10_000), "{sizes:?}");
        // Who comes later finds what is left, in order.
        let kept = actions(&mut journal.reader().unwrap());
        assert!(kept.len() > 60 && all.ends_with(&kept), "{kept:?}");
    }

    #[test]
    fn a_huge_event_keeps_what_counts() {
        let run = tempfile::tempdir().unwrap();
        let journal = Journal::of(run.path());
        let huge = event("die")
            .with("label", "x".repeat(1 << 20))
            .with("exitCode", "3");
        journal.append(huge).unwrap();
        let events = journal.reader().unwrap().read().unwrap();
        let attributes = &events[0].actor.attributes;
        assert_eq!(attributes.keys().collect::<Vec<_>>(), ["exitCode"]);
    }

    #[test]
    fn a_reader_waits_without_asking() {
        let run = tempfile::tempdir().unwrap();
        let journal = Journal::of(run.path());
        let mut reader = journal.reader().unwrap();
        let soon = std::time::Instant::now() + std::time::Duration::from_millis(20);
        assert!(!reader.wait(Some(soon)).unwrap());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                // The file is made before something is in it, and either wakes the reader.
                loop {
                    assert!(reader.wait(None).unwrap());
                    let seen = actions(&mut reader);
                    if !seen.is_empty() {
                        return seen;
                    }
                }
            });
            journal.append(event("create")).unwrap();
            assert_eq!(waiting.join().unwrap(), ["create"]);
        });
    }
}
