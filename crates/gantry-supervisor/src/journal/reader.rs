//! Reading the journal, from its beginning and then as it grows.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use gantry_model::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use super::Journal;

/// Most bytes of a line that are kept while its end is not there.
const LONGEST: usize = 1 << 20;

/// Reads events in the order in which they were written.
#[derive(Debug)]
pub struct Reader {
    journal: Journal,
    news: OwnedFd,
    file: Option<File>,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
    /// Those of the journal before.
    earlier: Vec<Event>,
}

impl Journal {
    /// A reader that begins with the oldest event there is.
    ///
    /// # Errors
    /// Those of opening and watching.
    pub fn reader(&self) -> io::Result<Reader> {
        self.make_folder()?;
        let news = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let what = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&news, &self.folder, what)?;
        let mut reader = Reader {
            journal: self.clone(),
            news,
            file: None,
            rest: Vec::new(),
            earlier: Vec::new(),
        };
        reader.begin()?;
        Ok(reader)
    }
}

impl Reader {
    fn begin(&mut self) -> io::Result<()> {
        loop {
            let current = open(&self.journal.path())?;
            let previous = open(&self.journal.previous())?;
            let inode = |file: &Option<File>| {
                let status = file.as_ref().map(File::metadata).transpose()?;
                Ok::<_, io::Error>(status.map(|status| status.ino()))
            };
            // Turned between the two: that one is both.
            if current.is_some() && inode(&current)? == inode(&previous)? {
                continue;
            }
            if let Some(mut previous) = previous {
                self.earlier = self.drain(&mut previous)?;
                self.rest.clear();
            }
            self.file = current;
            return Ok(());
        }
    }

    /// The events that were written since the last call.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read(&mut self) -> io::Result<Vec<Event>> {
        let mut scratch = [0_u8; 4096];
        while rustix::io::read(&self.news, &mut scratch[..]).is_ok_and(|count| count > 0) {}
        let mut events = std::mem::take(&mut self.earlier);
        loop {
            // Looked at before the rest is read: what is written after the turn is in the next.
            let turned = self.is_turned()?;
            if let Some(mut file) = self.file.take() {
                events.extend(self.drain(&mut file)?);
                self.file = Some(file);
            }
            if !turned {
                return Ok(events);
            }
            self.rest.clear();
            self.file = open(&self.journal.path())?;
            if self.file.is_none() {
                return Ok(events);
            }
        }
    }

    /// Waits until there may be something to read; false when the time came first.
    ///
    /// # Errors
    /// Those of waiting.
    pub fn wait(&self, until: Option<Instant>) -> io::Result<bool> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let timeout = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            });
            let mut fds = [PollFd::new(&self.news, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn is_turned(&self) -> io::Result<bool> {
        let Some(file) = &self.file else {
            return Ok(true);
        };
        match fs::metadata(self.journal.path()) {
            Ok(there) => Ok(there.ino() != file.metadata()?.ino()),
            // Between the two names; the next one's birth is news.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads to the end; lines that are no events are left out.
    fn drain(&mut self, file: &mut File) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut chunk = vec![0_u8; 64 << 10];
        loop {
            let count = match file.read(&mut chunk) {
                Ok(0) => return Ok(events),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for part in chunk[..count].split_inclusive(|byte| *byte == b'\n') {
                self.rest.extend_from_slice(part);
                if part.ends_with(b"\n") {
                    events.extend(serde_json::from_slice::<Event>(&self.rest).ok());
                    self.rest.clear();
                } else if self.rest.len() > LONGEST {
                    self.rest.clear();
                }
            }
        }
    }
}

fn open(path: &std::path::Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
