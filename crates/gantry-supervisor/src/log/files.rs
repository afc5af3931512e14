//! The files: lines in batches, full files set aside.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use gantry_sys::process::Process;
use jiff::{SignedDuration, Timestamp};

use super::entry::EntryWriter;
use super::lines::Line;
use super::{LogFiles, compress};

const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);
/// Bytes of encoded lines written at once.
const BATCH: usize = 64 * 1024;

/// Writes the files of one log.
///
/// A log that cannot be written (disk full) never stops the container: what is lost is counted
/// and said by [`FileWriter::take_failure`].
#[derive(Debug)]
pub struct FileWriter {
    settings: LogFiles,
    entries: EntryWriter,
    file: File,
    size: u64,
    batch: Vec<u8>,
    compressor: Option<Process>,
    clock: Clock,
    failure: Option<io::Error>,
}

impl FileWriter {
    /// Opens the log for appending, creating it when it is missing. `attributes` go with every
    /// line.
    ///
    /// # Errors
    /// Those of opening the file.
    pub fn open(settings: LogFiles, attributes: &BTreeMap<String, String>) -> io::Result<Self> {
        let file = open(&settings.path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            settings,
            entries: EntryWriter::new(attributes),
            file,
            size,
            batch: Vec::new(),
            compressor: None,
            clock: Clock::default(),
            failure: None,
        })
    }

    /// Adds a line that came at `time`; [`FileWriter::flush`] writes it.
    pub(super) fn push(&mut self, line: Line<'_>, time: &str) {
        let written = self.size + self.batch.len() as u64;
        if self.settings.max_size.is_some_and(|max| written >= max) {
            self.flush();
            self.clock.turn();
            if let Err(error) = self.rotate() {
                self.failure.get_or_insert(error);
            }
        }
        if self.batch.len() >= BATCH {
            self.flush();
        }
        self.entries
            .write(&mut self.batch, line, self.clock.read(time));
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        match self.file.write_all(&self.batch) {
            Ok(()) => self.size += self.batch.len() as u64,
            Err(error) => {
                // A torn line would make the next one unreadable: cut back to the last whole.
                if let Err(error) = self.file.set_len(self.size) {
                    self.failure.get_or_insert(error);
                }
                self.failure.get_or_insert(error);
            }
        }
        if self.batch.capacity() > BATCH * 2 {
            self.batch = Vec::new();
        } else {
            self.batch.clear();
        }
    }

    /// The first failure since the last call, to be reported once.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Gives back the memory of the batch when the container is quiet.
    pub(super) fn release(&mut self) {
        if self.batch.is_empty() {
            self.batch = Vec::new();
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.settings.max_files <= 1 {
            self.file.set_len(0)?;
            self.size = 0;
            return Ok(());
        }
        // Against the compressor, which puts its file in the place of the one it read.
        let guard = compress::guard(&self.settings)?;
        let oldest = self.settings.max_files - 1;
        for path in [self.settings.file(oldest), self.settings.compressed(oldest)] {
            absent(std::fs::remove_file(path))?;
        }
        for age in (0..oldest).rev() {
            absent(std::fs::rename(
                self.settings.file(age),
                self.settings.file(age + 1),
            ))?;
            if age > 0 {
                absent(std::fs::rename(
                    self.settings.compressed(age),
                    self.settings.compressed(age + 1),
                ))?;
            }
        }
        self.file = open(&self.settings.path)?;
        self.size = self.file.metadata()?.len();
        let at_work = compress::at_work(&self.settings);
        drop(guard);
        self.compress(at_work)
    }

    /// Has full files compressed beside the container, by one process at a time.
    fn compress(&mut self, at_work: bool) -> io::Result<()> {
        if !self.settings.compress {
            return Ok(());
        }
        if at_work
            && let Some(compressor) = &self.compressor
            && matches!(compressor.try_wait(), Ok(None))
        {
            // It takes what is there once it is done with its present file.
            return Ok(());
        }
        self.compressor = Some(compress::begin(&self.settings)?);
        Ok(())
    }
}

/// Gives the lines of every file later times than those of the file before, however many files one
/// read fills: readers tell files by the time of their first line.
#[derive(Debug, Default)]
struct Clock {
    /// What was given last, and for what.
    asked: String,
    given: String,
    /// No line may be earlier.
    floor: Option<Timestamp>,
}

impl Clock {
    /// A new file begins.
    fn turn(&mut self) {
        let last: Option<Timestamp> = self.given.parse().ok();
        self.floor = last.and_then(|last| last.checked_add(NANOSECOND).ok());
        self.asked.clear();
    }

    fn read(&mut self, time: &str) -> &str {
        if self.asked != time {
            time.clone_into(&mut self.asked);
            time.clone_into(&mut self.given);
            if let Some(floor) = self.floor
                && time.parse().is_ok_and(|time: Timestamp| time < floor)
            {
                self.given = floor.to_string();
            }
        }
        &self.given
    }
}

impl AsFd for FileWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
}

pub(super) fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
