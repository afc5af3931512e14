//! Reading a container's log: the end of it, a span of time, or as it grows.

mod files;
mod follower;
mod time;

use std::collections::{BTreeMap, VecDeque};
use std::io;

use gantry_supervisor::client::{ClientError, Session};
use gantry_supervisor::log::{Entry, LogFiles, Stream};
use jiff::Timestamp;

use super::error::{ContainerError, file};
use super::folders::Folders;
use super::status::is_live;
use super::{Containers, logging};
use files::LogFile;
use follower::Follower;

pub use time::parse_time;

/// What of a log is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on while the container runs.
    pub follow: bool,
    /// Only so many lines from the end.
    pub tail: Option<u64>,
    /// Only from this time on.
    pub since: Option<Timestamp>,
    /// Only before this time.
    pub until: Option<Timestamp>,
}

/// One line, or a part of a very long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where it came from.
    pub stream: Stream,
    /// When, RFC 3339 with nanoseconds.
    pub time: String,
    /// Labels, variables and a tag that were kept with it.
    pub attributes: BTreeMap<String, String>,
    /// The text; ends in a newline unless it is a part that goes on.
    pub text: String,
}

/// Gives the lines of a log one by one.
#[derive(Debug)]
pub struct LogReader {
    settings: LogFiles,
    options: LogOptions,
    /// The file being read.
    current: Option<LogFile>,
    /// Files to be read after it.
    next: VecDeque<LogFile>,
    line: Vec<u8>,
    follower: Option<Follower>,
    done: bool,
}

impl Containers<'_> {
    /// The log of a container.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn logs(&self, name: &str, options: LogOptions) -> Result<LogReader, ContainerError> {
        let (record, state) = self.look(name)?;
        let folders = Folders::of(self.engine, &record.id);
        let log = &self.engine.config().log;
        let settings =
            logging::files_of(&record, log, &folders.folder)?.ok_or(ContainerError::NotReadable)?;
        let follower = if options.follow && is_live(state.status) {
            let session = match Session::connect(&folders.run_folder) {
                Ok(mut session) => {
                    session.watch_for_end()?;
                    Some(session)
                }
                Err(ClientError::NotRunning) => None,
                Err(error) => return Err(error.into()),
            };
            Some(Follower::new(&settings, session).map_err(file("watch", &settings.path))?)
        } else {
            None
        };
        let path = settings.path.clone();
        LogReader::open(settings, options, follower).map_err(file("read", &path))
    }
}

impl LogReader {
    fn open(
        settings: LogFiles,
        options: LogOptions,
        follower: Option<Follower>,
    ) -> io::Result<Self> {
        let mut files = files::all(&settings)?;
        if let Some(since) = options.since {
            // The newest may grow.
            let newest = files.pop();
            files.retain(|file| !file.is_before(since));
            files.extend(newest);
        }
        if let Some(lines) = options.tail {
            files = files::last_lines(files, lines)?;
        } else if let (Some(since), Some(oldest)) = (options.since, files.first_mut()) {
            oldest.go_to(since)?;
        }
        let mut next: VecDeque<LogFile> = files.into();
        let current = next.pop_front();
        Ok(Self {
            settings,
            options,
            current,
            next,
            line: Vec::new(),
            follower,
            done: false,
        })
    }

    /// The next line; `None` at the end. When it follows, it waits for more until the
    /// container has ended.
    ///
    /// # Errors
    /// [`ContainerError::File`].
    pub fn next_line(&mut self) -> Result<Option<LogLine>, ContainerError> {
        loop {
            if self.done {
                return Ok(None);
            }
            let read = self.raw_line();
            if !read.map_err(file("read", &self.settings.path))? {
                self.done = true;
                return Ok(None);
            }
            // A line that is torn (the power was cut) is left out.
            let parsed = serde_json::from_slice::<Entry<'_>>(&self.line).ok();
            let line = parsed.map(|entry| LogLine {
                stream: entry.stream,
                time: entry.time.into_owned(),
                attributes: entry.attrs,
                text: entry.log.into_owned(),
            });
            self.line.clear();
            let Some(line) = line else { continue };
            if self.options.since.is_none() && self.options.until.is_none() {
                return Ok(Some(line));
            }
            let time = line.time.parse::<Timestamp>().ok();
            if let (Some(since), Some(time)) = (self.options.since, time)
                && time < since
            {
                continue;
            }
            if let (Some(until), Some(time)) = (self.options.until, time)
                && time > until
            {
                self.done = true;
                return Ok(None);
            }
            return Ok(Some(line));
        }
    }

    /// Reads a whole line into `self.line`; false at the end.
    fn raw_line(&mut self) -> io::Result<bool> {
        let mut last_look = false;
        loop {
            if self.line.ends_with(b"\n") {
                return Ok(true);
            }
            if let Some(current) = &mut self.current {
                let before = self.line.len();
                if current.read_line(&mut self.line)? {
                    return Ok(true);
                }
                if self.line.len() > before {
                    continue;
                }
            }
            if self.advance()? {
                last_look = false;
                continue;
            }
            if last_look {
                return Ok(false);
            }
            match &mut self.follower {
                Some(follower) => last_look = !follower.wait()?,
                None => return Ok(false),
            }
        }
    }

    /// Goes on to the file after the one that was read to its end; false when it is the newest.
    fn advance(&mut self) -> io::Result<bool> {
        if let Some(next) = self.next.pop_front() {
            self.begin(next);
            return Ok(true);
        }
        if self.follower.is_none() {
            return Ok(false);
        }
        let Some(current) = &mut self.current else {
            let mut there = VecDeque::from(files::all(&self.settings)?);
            let Some(oldest) = there.pop_front() else {
                return Ok(false);
            };
            self.next = there;
            self.begin(oldest);
            return Ok(true);
        };
        if current.is_at(&self.settings.path)? {
            // A single file that is kept short starts over.
            let cut = current.restart_if_cut()?;
            if cut {
                self.line.clear();
            }
            return Ok(cut);
        }
        // It was renamed: what was written between our end of file and that is still to be read.
        if current.read_line(&mut self.line)? {
            // `raw_line` finds it whole.
            return Ok(true);
        }
        let mut there = VecDeque::from(files::all(&self.settings)?);
        // A file that is gone for good is followed by the oldest there is.
        if let Some(at) = there.iter().position(|file| file.is(current)) {
            there.drain(..=at);
        }
        let Some(next) = there.pop_front() else {
            return Ok(false);
        };
        self.next = there;
        self.begin(next);
        Ok(true)
    }

    fn begin(&mut self, next: LogFile) {
        // The end of a file is the end of a line.
        self.line.clear();
        self.current = Some(next);
    }
}

#[cfg(test)]
mod tests;
